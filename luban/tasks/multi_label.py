"""Texts with several labels, or none: rows with lists of labels → a model folder that knows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.examples import LABEL_COLUMNS, Examples, LabelForm, label_name, label_order
from luban.errors import DataError
from luban.evaluate.intervals import bootstrap, signature
from luban.evaluate.many_labels import many_labels, per_label_table
from luban.files import hash_path
from luban.log import Log
from luban.records import Example
from luban.stages import Facts
from luban.tasks.answers import Answers, several_labels
from luban.tasks.classify_score import held_out_scores, median_ms, rows_to_score
from luban.tasks.classify_settings import MultiLabelSettings
from luban.tasks.labelling import Labelling, prepare_labelling
from luban.tasks.prepared import Prepared
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Closed, Predictor, Trained
from luban.tasks.text_scores import TextScorer, open_scorer

ANSWER = "several"


def read_labels(value: object) -> str:
    """Return labels as a JSON list: of a list, of the text of one, or of "a;b"; "" for what is none.

    An empty list, or an empty text, is a text without labels.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip().startswith("[") else _divided(value)
        except ValueError:
            value = _divided(str(value))
    elif isinstance(value, (bool, int, float)):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        return ""
    names = [label_name(v) for v in value]
    return json.dumps(sorted(set(names)), ensure_ascii=False) if all(names) else ""


LABELS = LabelForm(
    read=read_labels,
    what="list of labels",
    columns=("labels", "标签", *LABEL_COLUMNS),
    are_classes=False,
)


def prepare(settings: MultiLabelSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows and build the model."""

    def answers(settings: MultiLabelSettings, train: Sequence[Example], examples: Examples) -> Answers:
        labels = sorted({name for e in train for name in json.loads(e.label)}, key=label_order)
        if not labels:
            raise DataError(
                f"{inputs['data']}: none of {len(train)} training rows has a label",
                fix="check the label column (--set train.columns.label=NAME)",
            )
        others = {name for e in examples.validation for name in json.loads(e.label)} - set(labels)
        if others:
            log.warn(f"labels only in validation, which no row teaches: {', '.join(sorted(others)[:5])}")
        return several_labels(settings, train, labels)

    return prepare_labelling(Labelling(form=LABELS, answers=answers), settings, inputs, out, log)


def open_labels(folder: Path) -> Predictor:
    """Open a folder to ask it for the labels of texts."""
    scorer = open_scorer(folder, ANSWER)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return answers_of(scorer, [row["text"] for row in rows])

    return Predictor(("text",), predict, ("labels",), {"labels": list(scorer.head.labels)})


def answers_of(scorer: TextScorer, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the labels of each text and the probability of every label."""
    names = scorer.head.labels
    likely = scorer.decision.likelihoods(scorer.logits(texts))
    said = scorer.decision.choices(likely)
    return [
        {
            "labels": [name for name, is_said in zip(names, row, strict=True) if is_said],
            "probabilities": {name: float(p) for name, p in zip(names, p_row, strict=True)},
        }
        for row, p_row in zip(said, likely, strict=True)
    ]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score the labels of rows: F1 over all and by label, and how often all labels of a text are right."""
    rows = rows_to_score(settings, model, data, LABELS)
    for text in rows.warnings:
        log.warn(text)
    scorer = open_scorer(model, ANSWER)
    found = answers_of(scorer, [e.text for e in rows.examples])
    truth, said, names = _tables(scorer, rows.examples, found)
    plan, n = plan_of(settings), len(rows.examples)
    facts = {
        "metrics": {k: s.plain() for k, s in bootstrap(many_labels(truth, said), n, plan).items()},
        "per_label": per_label_table(truth, said, names),
        "counts": {"n": n, "unknown_labels": len(names) - len(scorer.head.labels)},
        "signature": signature("micro_f1", n, plan, rows.split, hash_path(data)),
        "latency_ms": median_ms(scorer.logits, [e.text for e in rows.examples]),
        "parameters": scorer.n_parameters,
        "family": scorer.family,
        "split": rows.split,
    }
    exact = (truth == said).all(-1)
    kept = (
        {"id": e.id, "text": e.text, "expected": json.loads(e.label), **row, "score": float(right)}
        for e, row, right in zip(rows.examples, found, exact, strict=True)
    )
    return keep_scores(facts, kept, model, data, out)


def close(trained: Trained) -> Closed:
    """Score validation and test rows with intervals, side by side."""
    scorer = open_scorer(trained.out, ANSWER)

    def statistic(examples: Sequence[Example]) -> Any:
        truth, said, _ = _tables(scorer, examples, answers_of(scorer, [e.text for e in examples]))
        return many_labels(truth, said)

    return held_out_scores(trained, LABELS, statistic, ("micro_f1", "macro_f1", "exact_match"))


def _tables(
    scorer: TextScorer, examples: Sequence[Example], found: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return labels and answers as tables over all labels, those that the model does not know last."""
    wanted = [json.loads(e.label) for e in examples]
    names = list(scorer.head.labels)
    names += sorted({name for row in wanted for name in row} - set(names))
    number = {name: k for k, name in enumerate(names)}
    truth, said = (np.zeros((len(examples), len(names)), np.int64) for _ in range(2))
    for i, (row, answer) in enumerate(zip(wanted, found, strict=True)):
        truth[i, [number[name] for name in row]] = 1
        said[i, [number[name] for name in answer["labels"]]] = 1
    return truth, said, names


def _divided(text: str) -> list[str]:
    return [part.strip() for part in text.replace("；", ";").split(";") if part.strip()]
