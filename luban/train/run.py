"""The usual caller of the training loop: it evaluates, saves, resumes, stops, and reports."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from safetensors.torch import save_file
from torch import nn

from luban.device import choose_device, seed_step, use_threads
from luban.errors import Interrupted, LubanError
from luban.files import disk_errors
from luban.log import Log
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.records import Step
from luban.train.engine import DivergedError, Objective, train
from luban.train.metrics import MetricsFile
from luban.train.prefetch import Batches
from luban.train.progress import Progress
from luban.train.saving import RunState, Saver
from luban.train.settings import TrainSettings
from luban.train.speed import Speed
from luban.train.stopping import StopRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

CHECKPOINTS = "checkpoints"


class _Watch(TypedDict):
    evaluate: Callable[[], dict[str, float]]
    """Scores the validation split; the first score decides which weights are best, lower is better."""


class Watch(_Watch, total=False):
    """What a task adds to a run."""

    on_evaluate: Callable[[int], list[dict[str, Any]]] | None
    """Step → more rows for metrics.jsonl, such as samples."""
    lr_scale: Callable[[str], float] | None
    """Parameter name → multiple of the learning rate."""
    flops_per_token: int
    """Operations a token costs, where the objective does not use every matrix for every token."""


def run_training(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    settings: TrainSettings,
    out: Path,
    log: Log,
    **watch: Unpack[Watch],
) -> dict[str, Any]:
    """Train `model`, leave the best weights in it, and return the facts of the run.

    Goes on from out/checkpoints if a run with the same settings was stopped there, and ends with the
    same weights, bit for bit. Asked to stop by SIGTERM or SIGINT, it saves and raises Interrupted.
    """
    use_threads(settings.threads)
    model.to(device := choose_device(settings.device))
    optimizer = build_optimizer(model, settings, watch.get("lr_scale"))
    saver = Saver(model, optimizer, out / CHECKPOINTS, log)
    state = saver.resume(settings)
    speed = Speed(model, device, watch.get("flops_per_token"))
    first_step = settings.steps + 1 if state.stopped else state.step + 1
    steps = train(model, batches, objective, optimizer, lr_at(settings), settings, first_step)
    with (
        StopRequest() as stop,
        MetricsFile(out, state.step if state.first else -1, log) as metrics,
        Progress(log, settings.steps, settings.log_every_steps, speed) as progress,
        _bad_batches_kept(out),
        contextlib.closing(steps),
    ):

        def look() -> None:
            for row in _look(model, state, settings, watch):
                metrics.write(row)
            progress.validation(state.step, {k: v for k, v in state.last.items() if k != "step"})
            if state.best["step"] == state.step:
                saver.save_best(state)

        if not state.first:
            look()
        for step in steps:
            metrics.write(_note(step, state))
            speed.add(step.n_tokens, step.seconds)
            progress.step(step)
            if step.number % settings.evaluate_every_steps == 0 or step.number == settings.steps:
                look()
            if step.number % settings.save_every_steps == 0 or state.stopped or stop.asked:
                metrics.sync()
                saver.save(state)
            if state.stopped:
                break
            if stop.asked:
                raise _interrupted(step.number, settings.steps, saver.saved_step)
        saver.restore_best(state)
    return _facts(model.eval(), state, speed)


def _look(
    model: nn.Module, state: RunState, settings: TrainSettings, watch: Watch
) -> Iterator[dict[str, Any]]:
    """Evaluate, update `state`, and yield the rows for metrics.jsonl."""
    model.eval()
    seed_step(settings.seed, state.step)
    on_evaluate = watch.get("on_evaluate")
    with torch.no_grad():
        scores = watch["evaluate"]()
        rows = on_evaluate(state.step) if on_evaluate else []
    name, decisive = next(iter(scores.items()))
    if not math.isfinite(decisive):
        raise LubanError(
            f"step {state.step}: validation {name} is {decisive}",
            fix="lower lr or raise warmup_share; at step 0, the model or the data is broken",
        )
    state.last = {"step": state.step, **scores}
    state.first = state.first or state.last
    state.looks_since_best += 1
    if not state.best or decisive < state.best[name]:
        state.best, state.looks_since_best = state.last, 0
    if state.step == settings.steps:
        state.stopped = "steps"
    elif settings.patience and state.looks_since_best >= settings.patience:
        state.stopped = "patience"
    yield {"step": state.step, "validation": scores}
    yield from ({"step": state.step, **row} for row in rows)


def _note(step: Step, state: RunState) -> dict[str, Any]:
    """Count a step in `state`, and return its row for metrics.jsonl."""
    state.step = step.number
    state.n_tokens += step.n_tokens
    state.n_positions += round(step.n_tokens / (1 - step.padding))
    state.seconds += step.seconds
    return {
        "step": step.number,
        "loss": step.loss,
        "lr": step.lr,
        "grad_norm": step.grad_norm,
        "n_targets": step.n_targets,
        "n_tokens": step.n_tokens,
        "padding": step.padding,
        "seconds": round(step.seconds, 6),
        "tokens_per_second": round(step.n_tokens / step.seconds, 1),
    }


def _interrupted(step: int, n_steps: int, saved_step: int) -> Interrupted:
    saved = "saved" if saved_step == step else f"NOT saved since step {saved_step}"
    return Interrupted(
        f"stopped after step {step} of {n_steps}, {saved}", fix="the same command goes on from there"
    )


@contextlib.contextmanager
def _bad_batches_kept(out: Path) -> Iterator[None]:
    """Save the batches of a step that diverged, so that they can be looked at."""
    try:
        yield
    except DivergedError as e:
        tensors = {
            f"{i}.{name}": getattr(batch, name).contiguous()
            for i, batch in enumerate(e.batches)
            for name in ("tokens", "documents", "targets", "source", "source_documents")
            if getattr(batch, name) is not None
        }
        path = out / f"bad-step-{e.step:07d}.safetensors"
        with disk_errors(path):
            save_file(tensors, path)
        raise DivergedError(
            e.problem, fix=f"lower lr, raise warmup_share, or inspect its batch, saved as {path}"
        ) from e


def _facts(model: nn.Module, state: RunState, speed: Speed) -> dict[str, Any]:
    parameters = list(model.parameters())
    return {
        "counts": {
            "parameters": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
            "steps": state.step,
            "tokens": state.n_tokens,
        },
        "first": state.first,
        "best": state.best,
        "last": state.last,
        "stopped": state.stopped,
        "train_seconds": round(state.seconds, 3),
        "seconds_per_step": round(state.seconds / max(1, state.step), 5),
        "tokens_per_second": round(state.n_tokens / state.seconds, 1) if state.seconds else 0.0,
        "matmul_share": speed.matmul_share(),
        "padding": round(1 - state.n_tokens / max(1, state.n_positions), 4),
    }
