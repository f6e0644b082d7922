"""A number for each text: rows with numbers → a model folder that estimates them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.examples import Examples, LabelForm
from luban.errors import DataError
from luban.evaluate.amounts import numbers
from luban.evaluate.intervals import bootstrap, signature
from luban.files import hash_path
from luban.log import Log
from luban.models.families import FAMILIES
from luban.models.folder import read_config
from luban.records import Example
from luban.stages import Facts
from luban.tasks.answers import Answers, a_number
from luban.tasks.classify_score import held_out_scores, median_ms, rows_to_score
from luban.tasks.classify_settings import RegressSettings
from luban.tasks.labelling import Labelling, prepare_labelling
from luban.tasks.prepared import Prepared
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Closed, Predictor, Trained
from luban.tasks.text_model import advise, class_head
from luban.tasks.text_scores import TextScorer, open_scorer

ANSWER = "number"


def read_number(value: object) -> str:
    """Return a finite number as text, whatever its type; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return ""
    return repr(number) if math.isfinite(number) else ""


NUMBERS = LabelForm(
    read=read_number,
    what="number",
    columns=("score", "rating", "stars", "value", "number", "label", "target", "y", "分数", "评分", "得分"),
    are_classes=False,
)


def prepare(settings: RegressSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows and build the model."""

    def answers(settings: RegressSettings, train: Sequence[Example], examples: Examples) -> Answers:
        if len({e.label for e in train}) < 2:
            raise DataError(
                f"{inputs['data']}: the number of all {len(train)} training rows is "
                f"{train[0].label if train else 'missing'}",
                fix="check the column (--set train.columns.label=NAME)",
            )
        return a_number(
            train, settings.columns.label or "score", can_shift=_has_bias(settings, inputs, train)
        )

    return prepare_labelling(Labelling(form=NUMBERS, answers=answers), settings, inputs, out, log)


def open_numbers(folder: Path) -> Predictor:
    """Open a folder to ask it for the numbers of texts."""
    scorer = open_scorer(folder, ANSWER)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{"value": v} for v in values_of(scorer, [row["text"] for row in rows])]

    return Predictor(("text",), predict, ("value",), {"values": list(scorer.head.labels)})


def values_of(scorer: TextScorer, texts: Sequence[str]) -> list[float]:
    """Return the number of each text."""
    return [float(v) for v in scorer.logits(texts)[:, 0]]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score numbers: errors, and correlations with what the rows say."""
    rows = rows_to_score(settings, model, data, NUMBERS)
    for text in rows.warnings:
        log.warn(text)
    scorer = open_scorer(model, ANSWER)
    texts = [e.text for e in rows.examples]
    found, wanted = values_of(scorer, texts), [float(e.label) for e in rows.examples]
    plan, n = plan_of(settings), len(texts)
    scores = bootstrap(numbers(np.array(wanted), np.array(found)), n, plan)
    facts = {
        "metrics": {name: s.plain() for name, s in scores.items()},
        "counts": {"n": n},
        "signature": signature("mean_squared_error", n, plan, rows.split, hash_path(data)),
        "latency_ms": median_ms(scorer.logits, texts),
        "parameters": scorer.n_parameters,
        "family": scorer.family,
        "split": rows.split,
    }
    kept = (
        {"id": e.id, "text": e.text, "expected": want, "value": value, "score": -abs(value - want)}
        for e, want, value in zip(rows.examples, wanted, found, strict=True)
    )
    return keep_scores(facts, kept, model, data, out)


def close(trained: Trained) -> Closed:
    """Score validation and test rows with intervals, side by side."""
    scorer = open_scorer(trained.out, ANSWER)

    def statistic(examples: Sequence[Example]) -> Any:
        found = values_of(scorer, [e.text for e in examples])
        return numbers(np.array([float(e.label) for e in examples]), np.array(found))

    return held_out_scores(trained, NUMBERS, statistic, ("mean_squared_error", "pearson", "spearman"))


def _has_bias(settings: RegressSettings, inputs: Mapping[str, Path], train: Sequence[Example]) -> bool:
    """Whether the last layer of the model that will be made adds something."""
    if folder := inputs.get("model"):
        family = read_config(folder).family
        head = class_head(("score",), ANSWER, settings.pool, family, True)
        return read_config(folder, head=head).head.bias
    family = (settings.model or advise(len(train))[0]).family
    head = class_head(("score",), ANSWER, settings.pool, family, False)
    return FAMILIES[family].config("tiny", vocab_size=300, head=head).head.bias
