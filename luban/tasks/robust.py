"""How much of a score is lost on perturbed copies of the rows, and on sets from elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, table_in
from luban.data.perturb import Perturb, perturb
from luban.data.tables import TEXT_COLUMNS, find_column, read_rows
from luban.errors import ConfigError, DataError
from luban.evaluate.compare import PREDICTIONS
from luban.evaluate.intervals import Plan, apart_bootstrap, paired_bootstrap
from luban.evaluate.row_shapes import statistic_of
from luban.files import read_jsonl, write_jsonl
from luban.log import Log
from luban.stages import Facts
from luban.tasks.robust_settings import RobustSettings
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Row, Task

Scorer = Callable[[ScoreSettings, Path, Path, Path, Log], Facts]
QUESTIONS = ("question", "source", "instruction", "prompt")
"""Columns with what a model reads, where a task's rows have no text."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What has been scored as it is, and how it was."""

    task: Task
    scorer: Scorer
    settings: ScoreSettings
    model: Path
    data: Path
    out: Path
    log: Log

    @property
    def plan(self) -> Plan:
        """How intervals are drawn."""
        return Plan(self.settings.resamples, self.settings.confidence, self.settings.seed)


def robust_scores(scored: Scored) -> dict[str, Any]:
    """Return for each kind of perturbation the scores with it beside those without it, row by row.

    {"typos": {"changed": 80, "n": 100, "metrics": {"accuracy": {first, second, value, low, high, ...}}}}
    """
    settings = scored.settings.robust
    clean = list(read_jsonl(scored.out / PREDICTIONS))
    column, rows = _rows_scored(scored, clean)
    how = Perturb(settings.share, settings.seed, _paraphrases(settings))
    found: dict[str, Any] = {}
    for kind in settings.kinds:
        changed: list[Row] = [{**row, column: perturb(str(row[column]), kind, how)} for row in rows]
        n_changed = sum(a[column] != b[column] for a, b in zip(rows, changed, strict=True))
        if n_changed:
            found[kind] = {"changed": n_changed, **_beside(scored, clean, changed, kind)}
        else:
            scored.log.warn(f"{kind} changes none of the {len(rows)} rows, and is left out")
    return found


def domain_scores(scored: Scored, paths: Sequence[Path]) -> dict[str, Any]:
    """Return the scores on sets from elsewhere, and how far they are from those in domain.

    The drop is a difference of two sets of rows that are drawn apart.
    """
    names = scored.settings.domains or tuple(path.name.partition(".")[0] for path in paths)
    if len(names) != len(paths) or len(set(names)) < len(names):
        raise ConfigError(
            f"domains = {list(names)} does not name {len(paths)} sets", fix="name each set once: NAME=FILE"
        )
    inside = list(read_jsonl(scored.out / PREDICTIONS))
    found: dict[str, Any] = {}
    for name, path in zip(names, paths, strict=True):
        rows, facts = _scores_of(scored, path)
        statistics = statistic_of(inside, scored.data), statistic_of(rows, path)
        drop = apart_bootstrap(*statistics, (len(inside), len(rows)), scored.plan)
        found[name] = {
            "n": len(rows),
            "data": str(path),
            "metrics": facts["metrics"],
            "signature": facts["signature"],
            "drop": {metric: d.plain() for metric, d in drop.items()},
        }
    return found


def _beside(scored: Scored, clean: Sequence[Row], changed: Sequence[Row], kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix=f"luban-{kind}-") as name:
        path = Path(name) / "rows.jsonl"
        write_jsonl(path, changed)
        rows, _ = _scores_of(scored, path)
    after = {_index(row, path, changed): row for row in rows}
    both = [i for i in range(len(clean)) if i in after]
    if not both:
        raise DataError(f"no row is left to score after {kind}", fix="leave this kind out")
    before = statistic_of([clean[i] for i in both], scored.data)
    differences = paired_bootstrap(
        before, statistic_of([after[i] for i in both], kind), len(both), scored.plan
    )
    return {"n": len(both), "metrics": {name: d.plain() for name, d in differences.items()}}


def _scores_of(scored: Scored, path: Path) -> tuple[list[dict[str, Any]], Facts]:
    plain = replace(scored.settings, robust=RobustSettings(), domains=(), rows=None)
    with tempfile.TemporaryDirectory(prefix="luban-scores-") as name:
        facts = scored.scorer(plain, scored.model, path, Path(name), Log(quiet=True))
        return list(read_jsonl(Path(name) / PREDICTIONS)), facts


def _rows_scored(scored: Scored, clean: Sequence[Row]) -> tuple[str, list[Row]]:
    """Return the column that is perturbed, and the rows of the file behind the predictions, in order."""
    path = table_in(scored.data)
    if not path.is_file():
        raise ConfigError(f"{path} is no table of rows, which --robust perturbs", fix="leave --robust out")
    rows = [(line, row) for line, row in read_rows(path) if not isinstance(row, Unreadable)]
    columns = list(rows[0][1])
    own, first = scored.settings.columns, next(iter(scored.task.rows))
    usual = TEXT_COLUMNS if first == "text" else (first, *QUESTIONS)
    column = find_column(own.text, usual, columns, str(path))
    if column is None or scored.task.name == "pairs":
        raise ConfigError(f"{path} has no column with a text to perturb", fix="leave --robust out")
    split = find_column(own.split, SPLIT_COLUMNS, columns, str(path))
    by_name: dict[str, Row] = {}
    for line, row in rows:
        bare = {name: value for name, value in row.items() if name != split}
        for name in (f"{path.name}:{line}", str(line), str(row.get("id", ""))):
            by_name[name] = bare
    names = [str(p.get("id", p.get("line"))) for p in clean]
    if missing := [name for name in names if name not in by_name]:
        raise DataError(f"{path} has no row {missing[0]}, which was scored", fix="leave --robust out")
    return column, [by_name[name] for name in names]


def _index(row: Row, path: Path, changed: Sequence[Row]) -> int:
    """Return the place of a scored row in the file of changed rows."""
    name = str(row.get("id", row.get("line")))
    if name.startswith(f"{path.name}:"):
        return int(name.rpartition(":")[2]) - 1
    places = {str(r.get("id")): i for i, r in enumerate(changed)}
    return places[name] if name in places else int(name) - 1


def _paraphrases(settings: RobustSettings) -> Mapping[str, Sequence[str]]:
    if settings.paraphrases is None:
        return {}
    path = Path(settings.paraphrases)
    found: dict[str, list[str]] = {}
    for line, row in read_rows(path):
        if isinstance(row, Unreadable) or not isinstance(row.get("paraphrases"), list):
            raise DataError(f"{path}:{line}: a row is {{text, paraphrases: [...]}}", fix="write the row anew")
        found.setdefault(str(row.get("text")), []).extend(map(str, row["paraphrases"]))
    return found
