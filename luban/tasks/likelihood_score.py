"""Score language models by what they find likelier: answers to multiple choice, and minimal pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.tables import find_column, read_rows
from luban.device import choose_device
from luban.errors import DataError
from luban.evaluate.choice import answer_questions, chance, read_choices
from luban.evaluate.intervals import signature
from luban.evaluate.pairs import judge_pairs, read_pairs
from luban.evaluate.row_scores import scores_of
from luban.files import hash_path, write_jsonl
from luban.log import Log
from luban.models.model import Model
from luban.stages import Facts
from luban.tasks.opened import open_tuned
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tokenizer import Tokenizer

Rejects = list[dict[str, Any]]
REJECTS = "rejects.jsonl"


def score_choices(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score answers to multiple choice, by their own words or by their letters."""
    table = read_table(data, settings)
    found = read_choices(table.rows, settings.choices)
    if not found.questions:
        raise _nothing(data, found.rejects)
    network, tokenizer = _open(model)
    rows, too_long = answer_questions(network, tokenizer, found.questions)
    _tell(found.rejects + too_long, log)
    told = {"chance": chance(found.questions), "choices": settings.choices}
    name = f"accuracy|choices:{settings.choices}"
    return _keep(
        _Scored(rows, found.rejects + too_long, "subject", name, told, model), settings, table, network, out
    )


def score_pairs(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score how often the good one of two sentences is the likelier."""
    table = read_table(data, settings)
    found = read_pairs(table.rows)
    if not found.pairs:
        raise _nothing(data, found.rejects)
    network, tokenizer = _open(model)
    rows, too_long = judge_pairs(network, tokenizer, found.pairs)
    _tell(found.rejects + too_long, log)
    scored = _Scored(rows, found.rejects + too_long, "phenomenon", "accuracy|pairs", {"chance": 0.5}, model)
    return _keep(scored, settings, table, network, out)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to score as they stand in a file, and which part of it they are."""

    rows: Sequence[Mapping[str, Any]]
    split: str
    data: Path


@dataclass(frozen=True, slots=True)
class _Scored:
    rows: list[dict[str, Any]]
    rejects: Rejects
    group: str
    """Column by which rows are told apart in a table."""
    name: str
    facts: dict[str, Any]
    folder: Path
    """Of the model."""


def read_table(data: Path, settings: ScoreSettings) -> Table:
    """Return the rows of the wanted split, or all where the file has none; `rows` of them if so set."""
    path = table_in(data)
    try:
        rows = [
            {"unreadable": str(row)} if isinstance(row, Unreadable) else row for _, row in read_rows(path)
        ]
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="give jsonl, csv, tsv or parquet") from None
    column = find_column(settings.columns.split, SPLIT_COLUMNS, list(rows[0]) if rows else [], str(path))
    split = "all"
    if column is not None:
        there = {SPLIT_NAMES.get(str(row.get(column)).strip().lower(), "") for row in rows}
        split = "validation" if settings.split == "test" and "test" not in there else settings.split
        rows = [r for r in rows if SPLIT_NAMES.get(str(r.get(column)).strip().lower()) == split]
    if not rows:
        raise DataError(f"{path} has no row to score in the split {split}", fix="choose another --split")
    if settings.rows is not None and settings.rows < len(rows):
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, settings.rows).round().astype(int)]
    return Table(rows, split, data)


def _named(row: Mapping[str, Any] | Unreadable, line: int, path: Path) -> Mapping[str, Any]:
    """Return a row with its line, and with a name if it has none."""
    if isinstance(row, Unreadable):
        return {"line": line, "unreadable": str(row)}
    named = any(row.get(key) for key in ("id", "uid"))
    return {**row, "line": line} if named else {**row, "line": line, "id": f"{path.name}:{line}"}


def _open(folder: Path) -> tuple[Model, Tokenizer]:
    model, tokenizer = open_tuned(folder)
    return model.to(choose_device()), tokenizer


def _tell(rejects: Rejects, log: Log) -> None:
    if rejects:
        first = rejects[0]
        where = f"line {first['line']}" if first["line"] else f"row {first['id']}"
        log.warn(f"{len(rejects)} rows cannot be scored, such as {where}: {first['reason']}")


def _nothing(data: Path, rejects: Rejects) -> DataError:
    first = f": line {rejects[0]['line']}: {rejects[0]['reason']}" if rejects else ""
    return DataError(
        f"{data} has no row that can be scored{first}", fix="see the columns in docs/en/evaluation.md"
    )


def _keep(scored: _Scored, settings: ScoreSettings, table: Table, model: Model, out: Path) -> Facts:
    plan = plan_of(settings)
    if not scored.rows:
        raise _nothing(table.data, scored.rejects)
    n = len(scored.rows)
    facts = {
        "metrics": scores_of(scored.rows, plan),
        "groups": {"by": scored.group, "scores": _by_group(scored.rows, scored.group, plan)},
        **scored.facts,
        "counts": {"n": n, "rejects": len(scored.rejects)},
        "signature": signature(scored.name, n, plan, table.split, hash_path(table.data)),
        "latency_ms": None,
        "parameters": sum(p.numel() for p in model.parameters()),
        "family": model.config.family,
        "split": table.split,
    }
    write_jsonl(out / REJECTS, scored.rejects)
    return keep_scores(facts, scored.rows, scored.folder, table.data, out)


def _by_group(rows: Sequence[dict[str, Any]], by: str, plan: Any) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[by] or "–", []).append(row)
    if len(groups) == 1:
        return {}
    return {name: scores_of(members, plan) for name, members in sorted(groups.items())}
