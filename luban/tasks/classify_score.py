"""Score a classifier on labelled rows."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.examples import CLASSES, LabelForm, read_examples, read_labelled
from luban.errors import DataError
from luban.evaluate.intervals import Plan, Statistic, bootstrap, interval_text, ratio, signature
from luban.evaluate.metrics import calibration_table, classification, confusion, per_class_table
from luban.files import Manifest, hash_path
from luban.log import Log
from luban.records import Example
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.classify_settings import TextSettings
from luban.tasks.predict import Classifier, Prediction, load_classifier
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import BagSettings, ScoreSettings
from luban.tasks.task import Closed, Trained

SPLITS = ("train", "validation", "test")
LATENCY_TEXTS = 50
"""Texts timed one by one; the median is reported."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows to score and which part of the file they are."""

    examples: list[Example]
    split: str
    warnings: list[str]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score a classifier on labelled rows."""
    rows = rows_to_score(settings, model, data)
    for text in rows.warnings:
        log.warn(text)
    classifier = load_classifier(model)
    known = check_labels(classifier.labels, rows.examples, log)
    predictions = classifier.predict([e.text for e in rows.examples])
    plan = plan_of(settings)
    facts = score_predictions(rows.examples, predictions, plan)
    facts |= {
        "counts": {"n": len(rows.examples), "unknown_labels": len(rows.examples) - known},
        "signature": signature("accuracy", len(rows.examples), plan, rows.split, hash_path(data)),
        "latency_ms": latency_ms(classifier, [e.text for e in rows.examples]),
        "parameters": classifier.n_parameters,
        "family": classifier.family,
        "split": rows.split,
    }
    return keep_scores(facts, map(_row, rows.examples, predictions), model, data, out)


def close(trained: Trained) -> Closed:
    """Score validation and test rows with intervals, side by side."""
    scores = score_held_out(trained.out, trained.settings, trained.inputs["data"], trained.inputs.get("eval"))
    table = [
        (split, name, f"{s['value']:.4f}", str(s["n"]), interval_text(s))
        for split, metrics in scores.items()
        for name, s in metrics.items()
        if name in ("accuracy", "macro_f1", "calibration_error", "coverage", "answered_accuracy")
    ]
    return Closed(
        {"out": str(trained.out), **scores},
        lines=("", f'luban predict {trained.out} --text "..."     luban serve {trained.out}'),
        header=("rows", "score", "value", "n", "interval"),
        table=tuple(table),
    )


def rows_to_score(settings: ScoreSettings, model: Path, data: Path, form: LabelForm = CLASSES) -> Rows:
    """Return the rows of the wanted split, or all rows of a file that has no splits.

    A file without a split column is scored whole, unless the model was trained on this very file:
    then the rows that training held out are scored.
    """
    trained = _trained_on(model, data)
    if trained is not None:
        examples = read_examples(data, settings.columns, eval_path=trained.eval_path, form=form)
        chosen, warnings = examples.part(settings.split), examples.warnings
        there = {name: len(examples.part(name)) for name in SPLITS}
    else:
        rows, rejects = read_labelled(data, settings.columns, form)
        warnings = [f"{len(rejects)} rows cannot be used, such as {_where(rejects[0])}"] if rejects else []
        if all(part is None for _, part in rows):
            return Rows([example for example, _ in rows], "all", warnings)
        there = Counter(part for _, part in rows if part)
        wanted: str = settings.split
        if wanted == "test" and not there["test"] and there["validation"]:
            wanted = "validation"
            warnings.append("there is no test part: the dev part is scored")
        chosen = [example for example, part in rows if part == wanted]
    if not chosen:
        listed = ", ".join(f"{n} {name}" for name, n in there.items())
        raise DataError(
            f"{data} has no rows of the split {settings.split}; it has {listed}", fix="choose another --split"
        )
    return Rows(chosen, settings.split, warnings)


@dataclass(frozen=True, slots=True)
class _Trained:
    """That the model was trained on the file that is to be scored, and with which test rows."""

    eval_path: Path | None


def _trained_on(model: Path, data: Path) -> _Trained | None:
    manifest = Manifest.read(model)
    inputs = manifest.inputs if manifest else {}
    if (inputs.get("data") or {}).get("key") != input_key(data):
        return None
    eval_path = Path(inputs["eval"]["path"]) if "eval" in inputs else None
    return _Trained(eval_path if eval_path and eval_path.exists() else None)


def _where(reject: Mapping[str, Any]) -> str:
    return f"line {reject['line']}: {reject['reason']}"


def check_labels(labels: Sequence[str], rows: Sequence[Example], log: Log) -> int:
    """Return how many rows have a label the model knows; warn of others, refuse if there is none."""
    unknown = sorted({row.label for row in rows} - set(labels))
    n_known = sum(row.label in labels for row in rows)
    if rows and not n_known:
        raise DataError(
            f"the model knows none of the labels in the rows: {', '.join(unknown[:10])}",
            fix=f"name the rows' labels as the model does: {', '.join(labels[:20])}",
        )
    if unknown:
        log.warn(
            f"{len(rows) - n_known} of {len(rows)} rows have a label that the model has never seen "
            f"({', '.join(unknown[:5])}); they count as errors"
        )
    return n_known


def score_predictions(
    rows: Sequence[Example], predictions: Sequence[Prediction], plan: Plan
) -> dict[str, Any]:
    """Return metrics with intervals, the table of classes, the confusion matrix and the calibration."""
    names = list(predictions[0].probabilities) if predictions else []
    names += sorted({row.label for row in rows} - set(names))  # the model cannot guess these: all errors
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[row.label] for row in rows], dtype=np.int64)
    predicted = np.array([number[_likeliest(p)] for p in predictions], dtype=np.int64)
    confidence = np.array([p.probability for p in predictions], dtype=np.float64)
    answered = np.array([p.label is not None for p in predictions])
    statistic = classification(labels, predicted, len(names), confidence)
    if not answered.all():
        statistic = _with_coverage(statistic, answered, labels == predicted)
    counts = confusion(labels, predicted, len(names))
    return {
        "metrics": {name: s.plain() for name, s in bootstrap(statistic, len(rows), plan).items()},
        "per_class": per_class_table(counts, names),
        "confusion": {"labels": names, "counts": counts.tolist()},
        "calibration": calibration_table(confidence, (labels == predicted).astype(np.int64)),
    }


def _likeliest(prediction: Prediction) -> str:
    """The label that was said, or would have been if one had to be."""
    if prediction.label is not None:
        return prediction.label
    return next(name for name, p in prediction.probabilities.items() if p == prediction.probability)


def _with_coverage(
    statistic: Statistic, answered: NDArray[np.bool_], correct: NDArray[np.bool_]
) -> Statistic:
    """Add the share of rows that were given a label at all, and the share of these that is right."""

    def both(rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        said = answered[rows]
        right = (said & correct[rows]).sum(-1)
        found = {"coverage": said.mean(-1), "answered_accuracy": ratio(right, said.sum(-1))}
        return statistic(rows) | found

    return both


def score_held_out(
    folder: Path, settings: TextSettings | BagSettings, data: Path, eval_path: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Return metrics with intervals on the rows that training a classifier held out, by split."""
    examples = read_examples(data, settings.columns, eval_path=eval_path)
    classifier = load_classifier(folder)
    scores = {}
    for split, rows in (("validation", examples.validation), ("test", examples.test)):
        if rows:
            predictions = classifier.predict([row.text for row in rows])
            scores[split] = score_predictions(rows, predictions, Plan())["metrics"]
    return scores


def held_out_scores(
    trained: Trained,
    form: LabelForm,
    statistic: Callable[[Sequence[Example]], Statistic],
    names: Sequence[str],
) -> Closed:
    """Return scores with intervals on the rows that training held out; a table shows those named."""
    data, eval_path = trained.inputs["data"], trained.inputs.get("eval")
    examples = read_examples(data, trained.settings.columns, eval_path=eval_path, form=form)
    scores = {
        split: {k: s.plain() for k, s in bootstrap(statistic(rows), len(rows), Plan()).items()}
        for split, rows in (("validation", examples.validation), ("test", examples.test))
        if rows
    }
    table = [
        (split, name, f"{s[name]['value']:.4f}", str(s[name]["n"]), interval_text(s[name]))
        for split, s in scores.items()
        for name in names
    ]
    return Closed(
        {"out": str(trained.out), **scores},
        lines=("", f'luban predict {trained.out} --text "..."     luban serve {trained.out}'),
        header=("rows", "score", "value", "n", "interval"),
        table=tuple(table),
    )


def latency_ms(classifier: Classifier, texts: Sequence[str]) -> float | None:
    """Return the median time of one text alone, in milliseconds, after a first that warms up."""
    return median_ms(classifier.predict, texts)


def median_ms(ask: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float | None:
    """Return the median time that a question about one text takes, after a first that warms up."""
    if not texts:
        return None
    ask(texts[:1])
    seconds = []
    for text in texts[:LATENCY_TEXTS]:
        start = time.perf_counter()
        ask([text])
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1000, 3)


def _row(example: Example, prediction: Prediction) -> dict[str, Any]:
    return {
        "id": example.id,
        "text": example.text,
        "label": example.label,
        "predicted": prediction.label,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
    }
