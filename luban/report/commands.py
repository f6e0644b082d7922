"""The commands that repeat a run and use what it made."""

from __future__ import annotations

import json
import shlex

from luban.report.chain import StageRun
from luban.report.facts import Run
from luban.report.ladder import Rung
from luban.report.training import Training

PORT = 8000


def repeat_commands(run: Run) -> tuple[str, ...]:
    """Return the commands that make the run again: the one typed, and one for each final folder."""
    typed = [" ".join(["luban", *map(shlex.quote, s.command[1:])]) for s in run.stages if s.command]
    used = {source.stage for s in run.stages for source in s.sources}
    final = [
        f"luban run {shlex.quote(str(run.label(s) / 'recipe.yaml'))}"
        for s in run.stages
        if s.name not in used
    ]
    return (*dict.fromkeys(typed[-1:]), *final)


def serve_command(run: Run, stage: StageRun) -> str:
    """Return the line that starts a server for a model of the run."""
    return f"luban serve {shlex.quote(str(run.label(stage)))} --port {PORT}"


def curl_command(stage: StageRun, prompt: str) -> str:
    """Return a request that the server of this model answers."""
    if stage.use == "pretrain":
        path, body = "completions", {"prompt": prompt or "She said", "max_tokens": 40}
    else:
        path, body = "classify", {"input": prompt or "a fine film"}
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl -s http://127.0.0.1:{PORT}/v1/{path} -H 'Content-Type: application/json' -d {data}"


def servable(run: Run) -> list[tuple[StageRun, str]]:
    """Return models worth serving, each with a text to try: every best classifier, then language models."""
    best: list[Rung] = [ladder.best for ladder in run.ladders if ladder.best]
    found = [(r.model, "这部电影很好看" if r.language == "zh" else "a fine film") for r in best if r.model]
    writers: list[Training] = [t for t in run.trainings if t.is_language_model]
    found += [(t.stage, next((p for p in t.samples if p), "")) for t in writers]
    if not found:
        found = [(t.stage, "") for t in run.trainings if t.stage.use != "vectors"]
    return found
