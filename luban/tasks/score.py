"""Score a model folder: every score with interval and signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.examples import table_in
from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
from luban.errors import CheckpointError
from luban.evaluate.compare import PREDICTIONS
from luban.evaluate.intervals import Plan
from luban.files import write_json, write_jsonl
from luban.log import Log
from luban.stages import Facts
from luban.tasks.robust import Scored, domain_scores, robust_scores
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Task, all_tasks, find_task, task_of

SCORES = "scores.json"
LOOKED_AT = 20
"""First rows of a file that tell what its columns are."""


def score(settings: ScoreSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Write scores.json and predictions.jsonl; the facts are the scores."""
    model, data = inputs["model"], inputs["data"]
    task = scoring_task(model, data)
    scorer = task.load("score")
    if scorer is None:
        raise CheckpointError(
            f"{model} was made for {task.name}, which has no score", fix="evaluate a model of another task"
        )
    facts: Facts = scorer(settings, model, data, out, log)
    scored = Scored(task, scorer, settings, model, data, out, log)
    domains = [path for name, path in inputs.items() if name.partition(":")[0] == "domain"]
    more = {
        **({"robust": robust_scores(scored)} if settings.robust.kinds else {}),
        **({"domains": domain_scores(scored, domains)} if domains else {}),
    }
    if more:
        facts |= more
        write_json(out / SCORES, facts)
    return facts


def scoring_task(model: Path, data: Path) -> Task:
    """Return the task whose score is meant: the data's, if it can only be of one; else the model's."""
    own = task_of(model)
    if data.is_dir() and table_in(data) == data:  # token shards
        return find_task("pretrain")
    found = _columns(data)
    fitting = [
        (len(columns), task)
        for task in all_tasks().values()
        for columns in task.scores_rows
        if set(columns) <= found
    ]
    if fitting:  # the rows of a preference are conversations, too: more columns say more
        return max(fitting, key=lambda pair: pair[0])[1]
    return own


def _columns(data: Path) -> set[str]:
    """Return the names of the columns of a table's first rows; none of what is no table."""
    path = table_in(data) if data.is_dir() else data
    if not path.is_file() or suffix_of(path) not in TABLE_SUFFIXES:
        return set()
    try:
        rows = list(islice(read_rows(path), LOOKED_AT))
    except Unreadable:  # the scorer tells it, with the place
        return set()
    return {str(name) for _, row in rows if not isinstance(row, Unreadable) for name in row}


def plan_of(settings: ScoreSettings) -> Plan:
    """Return how intervals are drawn."""
    return Plan(settings.resamples, settings.confidence, settings.seed)


def keep_scores(
    facts: dict[str, Any], rows: Iterable[Mapping[str, Any]], model: Path, data: Path, out: Path
) -> Facts:
    """Write scores.json, and predictions.jsonl with a line for each row; return the facts."""
    facts |= {"model": str(model), "data": str(data)}
    write_json(out / SCORES, facts)
    write_jsonl(out / PREDICTIONS, rows)
    return facts
