"""Score answers found in texts: exact match and F1 with intervals, apart for rows without an answer."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.errors import DataError
from luban.evaluate.intervals import Plan, Score, Statistic, bootstrap, interval_text, signature
from luban.files import Manifest, hash_path
from luban.log import Log
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.qa_answers import Answerer, load_answerer, plain
from luban.tasks.qa_metrics import Definition, definition, exact_match, f1, language_of
from luban.tasks.qa_parts import read_questions
from luban.tasks.qa_rows import Asked, Columns, Questions, read_rows_of
from luban.tasks.qa_settings import QaColumns
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Closed, Trained

Floats = NDArray[np.float64]
LATENCY_ROWS = 20
"""Rows timed one by one; the median is reported."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows to score and which part of the file they are."""

    rows: list[Asked]
    split: str
    warnings: list[str]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score a model on questions with answers, by the definition of their language's benchmark."""
    rows = rows_to_score(settings.split, model, data)
    for text in rows.warnings:
        log.warn(text)
    answerer = load_answerer(model)
    said = predicted(answerer, rows.rows)
    plan = plan_of(settings)
    language = language_of(row.question for row in rows.rows)
    how = definition(language)
    facts = {
        "metrics": scored([p["answer"] for p in said], rows.rows, plan),
        "counts": {"n": len(rows.rows), "no_answer": sum(row.is_impossible for row in rows.rows)},
        "signature": signature(f"f1|def:{how.name}", len(rows.rows), plan, rows.split, hash_path(data)),
        "language": language,
        "latency_ms": latency_ms(answerer, rows.rows),
        "parameters": sum(p.numel() for p in answerer.model.parameters()),
        "family": answerer.model.config.family,
        "split": rows.split,
    }
    return keep_scores(facts, map(partial(_row, how), rows.rows, said), model, data, out)


def scored(texts: Sequence[str], rows: Sequence[Asked], plan: Plan) -> dict[str, dict[str, float]]:
    """Return every score of predicted texts ("": no answer) with its interval.

    Where some rows have no answer, they and the others are scored apart too (arXiv:1806.03822).
    """
    how = definition(language_of(row.question for row in rows))
    pairs = list(zip(texts, rows, strict=True))
    values = {
        "f1": np.array([f1(text, row.texts, how) for text, row in pairs], np.float64),
        "exact_match": np.array([exact_match(text, row.texts, how) for text, row in pairs], np.float64),
    }
    found = {name: s.plain() for name, s in bootstrap(_means(values), len(rows), plan).items()}
    has_answer = np.array([not row.is_impossible for row in rows])
    if has_answer.any() and not has_answer.all():
        for part, which in (("has_answer", has_answer), ("no_answer", ~has_answer)):
            chosen = {f"{part}_{name}": v[which] for name, v in values.items()}
            own: dict[str, Score] = bootstrap(_means(chosen), int(which.sum()), plan)
            found |= {name: s.plain() for name, s in own.items()}
    return found


def _means(values: dict[str, Floats]) -> Statistic:
    return lambda rows: {name: value[rows].mean(-1) for name, value in values.items()}


def predicted(answerer: Answerer, rows: Sequence[Asked]) -> list[dict[str, Any]]:
    """Return what a model says to each row, as plain data."""
    threshold = answerer.asking.threshold
    return [plain(row, a, threshold) for row, a in zip(rows, answerer.answer(rows), strict=True)]


def rows_to_score(wanted: str, model: Path, data: Path) -> Rows:
    """Return the rows of the wanted split, or all rows of a file that has no splits.

    A file without a split column is scored whole, unless the model was trained on this very file:
    then the rows that training held out are scored.
    """
    manifest = Manifest.read(model)
    inputs = manifest.inputs if manifest else {}
    columns = _columns(manifest.settings if manifest else {})
    warnings: list[str]
    if (inputs.get("data") or {}).get("key") == input_key(data):
        eval_path = Path(inputs["eval"]["path"]) if "eval" in inputs else None
        questions = read_questions(
            data, columns, eval_path=eval_path if eval_path and eval_path.exists() else None
        )
        chosen, warnings = questions.part(wanted), questions.warnings
        there = Counter({name: len(questions.part(name)) for name in ("train", "validation", "test")})
    else:
        found = Questions()
        rows = read_rows_of(data, columns, found)
        warnings = found.warnings
        if found.rejects:
            first = found.rejects[0]
            warnings.append(
                f"{len(found.rejects)} rows cannot be used, such as line {first['line']}: {first['reason']}"
            )
        there = Counter(row.part for row in rows if row.part)
        if not there:
            chosen, wanted = rows, "all"
        else:
            if wanted == "test" and not there["test"] and there["validation"]:
                wanted = "validation"
                warnings.append("there is no test part: the dev part is scored")
            chosen = [row for row in rows if row.part == wanted]
    if not chosen:
        listed = ", ".join(f"{n} {name}" for name, n in there.items()) or "none at all"
        raise DataError(
            f"{data} has no rows of the split {wanted}; it has {listed}", fix="choose another --split"
        )
    return Rows(chosen, wanted, warnings)


def _columns(settings: dict[str, Any]) -> Columns:
    """Return the columns that a model was trained with."""
    named = settings.get("columns") or {}
    known = {k: v for k, v in named.items() if k in QaColumns.__slots__ and isinstance(v, str)}
    return QaColumns(**known)


def close(trained: Trained) -> Closed:
    """Score validation and test rows with intervals, side by side."""
    inputs = trained.inputs
    questions = read_questions(inputs["data"], trained.settings.columns, eval_path=inputs.get("eval"))
    answerer = load_answerer(trained.out)
    scores = {}
    for split in ("validation", "test"):
        if rows := questions.part(split):
            scores[split] = scored([p["answer"] for p in predicted(answerer, rows)], rows, Plan())
    table = [
        (split, name, f"{s['value']:.4f}", str(s["n"]), interval_text(s))
        for split, metrics in scores.items()
        for name, s in metrics.items()
    ]
    how = f'luban predict {trained.out} --row \'{{"question": "...", "context": "..."}}\'     '
    return Closed(
        {"out": str(trained.out), **scores},
        lines=("", how + f"luban serve {trained.out}"),
        header=("rows", "score", "value", "n", "interval"),
        table=tuple(table),
    )


def latency_ms(answerer: Answerer, rows: Sequence[Asked]) -> float | None:
    """Return the median time of one question alone, in milliseconds, after a first that warms up."""
    ask: Callable[[Asked], object] = lambda row: answerer.answer([row])  # noqa: E731
    if not rows:
        return None
    ask(rows[0])
    seconds = []
    for row in rows[:LATENCY_ROWS]:
        start = time.perf_counter()
        ask(row)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1000, 3)


def _row(how: Definition, row: Asked, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "question": row.question,
        "answers": list(row.texts),
        **said,
        "f1": f1(said["answer"], row.texts, how),
        "exact_match": exact_match(said["answer"], row.texts, how),
    }
