"""Run tasks of lm-eval, EleutherAI's evaluation harness, on a model folder; nothing is downloaded."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luban.data.encoding import open_text
from luban.device import choose_device
from luban.errors import DataError
from luban.evaluate.compare import PREDICTIONS
from luban.evaluate.harness import harness_model, load_harness
from luban.evaluate.intervals import Plan, signature
from luban.evaluate.row_scores import scores_of
from luban.files import hash_path, write_json, write_jsonl
from luban.log import Log
from luban.stages import Facts
from luban.tasks.opened import open_tuned
from luban.tasks.score import SCORES, plan_of
from luban.tasks.settings import ScoreSettings

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_NAME = re.compile(r"^task:\s*[\"']?([\w.-]+)[\"']?\s*$", re.MULTILINE)


def run_harness(
    folder: Path, files: Sequence[Path], settings: ScoreSettings, out: Path | None, log: Log
) -> Facts:
    """Score a model on task files of the harness, whose data is on this machine.

    With `out`, scores.json and a folder for each task with its predictions.jsonl are left there.
    """
    names = {task_name(path): path for path in files}
    os.environ.update(dict.fromkeys(OFFLINE, "1"))  # before the harness reads it
    model, tokenizer = open_tuned(folder)
    lm = harness_model(model.to(choose_device()), tokenizer)
    evaluator, tasks = load_harness("lm_eval.evaluator"), load_harness("lm_eval.tasks")
    folders = sorted({str(path.resolve().parent) for path in files})
    found = evaluator.simple_evaluate(
        lm,
        tasks=list(names),
        task_manager=tasks.TaskManager(include_path=folders, include_defaults=False),
        limit=settings.rows,
        bootstrap_iters=0,
        log_samples=True,
    )
    plan = plan_of(settings)
    with tempfile.TemporaryDirectory() as nowhere:
        place = out or Path(nowhere)
        scored = [_task(name, found, plan, path, place) for name, path in names.items()]
        facts = {
            "metrics": {f"{name}/{k}": v for name, one in scored for k, v in one["metrics"].items()},
            "signature": "\n".join(one["signature"] for _, one in scored),
            "parameters": sum(p.numel() for p in model.parameters()),
            "family": model.config.family,
            "model": str(folder),
            "latency_ms": None,
        }
        write_json(place / SCORES, facts)
    log.say(f"scored on {', '.join(names)}" + (f" → {out}" if out else ""))
    return facts


def task_name(path: Path) -> str:
    """Return the name under which a task file is known to the harness."""
    if not path.is_file():
        raise DataError(f"{path} does not exist", fix="name a task file of lm-eval: --harness TASK.yaml")
    with open_text(path) as f:
        found = _NAME.search(f.read())
    if found is None:
        raise DataError(f"{path} names no task", fix="write a line `task: NAME` into it")
    return found[1]


def _task(
    name: str, found: Mapping[str, Any], plan: Plan, path: Path, out: Path
) -> tuple[str, dict[str, Any]]:
    """Return a task's metrics with intervals over its rows, and keep the rows."""
    samples = [s for s in found["samples"][name] if s.get("filter", "none") == _first_filter(found, name)]
    rows = [row for sample in samples if (row := _row(sample))["score"]]
    metrics: dict[str, dict[str, Any]] = {**scores_of(rows, plan, path)} if rows else {}
    for key, value in found["results"][name].items():  # metrics of the whole set have no rows
        metric = key.partition(",")[0]
        if "," in key and isinstance(value, float) and metric not in metrics and "stderr" not in metric:
            metrics[metric] = {"value": value, "low": None, "high": None, "n": len(samples)}
    version = getattr(load_harness("lm_eval"), "__version__", "")
    told = f"lm-eval:{version}|task:{name}|shots:{found['n-shot'].get(name, 0)}"
    facts = {"metrics": metrics, "signature": signature(told, len(samples), plan, "all", hash_path(path))}
    (out / name).mkdir(parents=True, exist_ok=True)
    write_json(out / name / SCORES, facts)
    write_jsonl(out / name / PREDICTIONS, rows)
    return name, facts


def _first_filter(found: Mapping[str, Any], name: str) -> str:
    return next((str(s.get("filter", "none")) for s in found["samples"][name]), "none")


def _row(sample: Mapping[str, Any]) -> dict[str, Any]:
    scores = {m: sample[m] for m in sample.get("metrics", ()) if isinstance(sample.get(m), int | float)}
    said = sample.get("filtered_resps")
    return {
        "id": str(sample["doc_id"]),
        "target": str(sample.get("target")),
        "said": said if isinstance(said, list) and len(str(said)) < 2000 else None,
        "score": {name: float(value) for name, value in scores.items()},
    }
