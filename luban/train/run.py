"""The usual caller of the training loop: it evaluates, saves, resumes, stops, and reports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from luban.device import (
    choose_device,
    memory_bytes,
    peak_device_memory_bytes,
    peak_memory_bytes,
    seed_step,
    use_threads,
)
from luban.errors import DiskError, Interrupted
from luban.files import disk_errors
from luban.log import Log
from luban.optim.averaging import Average
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.records import Batch, Step
from luban.stages import Facts
from luban.train.checkpoint import write_tensors
from luban.train.compiling import decide, eager, leave_eager, recompiles
from luban.train.engine import Course, Objective, train
from luban.train.kernels import leave_kernels, use_kernels
from luban.train.metrics import MetricsFile
from luban.train.parallel import distribute, gathered, group_by_kind, settle
from luban.train.precision import Precision, choose_precision
from luban.train.prefetch import Batches
from luban.train.progress import Progress
from luban.train.ranks import ALONE, Ranks
from luban.train.recompute import recompute_blocks
from luban.train.saving import RunState, Saver
from luban.train.settings import TrainSettings
from luban.train.shared_saving import choose_saver
from luban.train.signs import Watch
from luban.train.speed import Speed
from luban.train.stopping import StopRequest
from luban.train.trackers import Tracked, open_trackers
from luban.train.watching import DivergedError, refuse_broken, take_note

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a task hands to training: everything but where to write."""

    model: nn.Module
    batches: Batches
    objective: Objective
    settings: TrainSettings
    evaluate: Callable[[], dict[str, float]]
    """Scores the validation split; settings.best_by, or the first score, decides which weights are best."""
    evaluate_train: Callable[[], dict[str, float]] | None = None
    """Scores as many training rows in the same way, once, at the end: the gap tells of over-fitting."""
    on_evaluate: Callable[[int], list[dict[str, Any]]] | None = None
    """Step → more rows for metrics.jsonl, such as samples."""
    stop_early: Callable[[int, dict[str, float]], bool] | None = None
    """(step, validation scores) → whether the run is not worth going on with, as a search may find."""
    lr_scale: Callable[[str], float] | None = None
    """Parameter name → multiple of the learning rate."""
    first_step: Callable[[str], int] | None = None
    """Parameter name → the step from which it learns; before that it rests."""
    flops_per_token: int | None = None
    """Operations a token costs, where the objective does not use every matrix for every token."""


def run_training(run: Run, out: Path, log: Log, ranks: Ranks = ALONE) -> Facts:
    """Train, leave the best weights in the model, and return the facts of the run.

    Every process of a job calls it; each has a model of its own, and all end with the same weights.
    It goes on from out/checkpoints if a run with the same settings was stopped there, to the same bits.
    Asked to stop by SIGTERM or SIGINT, it saves and raises Interrupted.
    """
    settings, model = run.settings, run.model
    use_threads(settings.threads)
    model.to(device := choose_device(settings.device))
    gather = distribute(model, ranks, settings)
    recompute_blocks(model, settings.recompute)
    optimizer = build_optimizer(model, settings, run.lr_scale, run.first_step)
    group_by_kind(optimizer)
    precision = choose_precision(settings.precision, device)
    average = Average(model, settings.ema_decay) if settings.ema_decay else None
    schedule = lr_at(settings)
    with contextlib.ExitStack() as stack:
        kept = (model, optimizer, average, precision, out / CHECKPOINTS, log)
        saver = stack.enter_context(choose_saver(ranks, *kept))
        state = saver.resume(settings)
        ahead = _hasten(run, precision, state, ranks, log)
        steps = train(
            Course(
                model=model,
                batches=run.batches,
                objective=run.objective,
                optimizer=optimizer,
                lr_at=lambda step: schedule(step) * state.lr_factor,
                settings=settings,
                first_step=ahead.start,
                precision=precision,
                ranks=ranks,
            )
        )
        stack.enter_context(contextlib.closing(steps))
        stop = stack.enter_context(StopRequest())
        metrics = stack.enter_context(_open_metrics(settings, out, state, ranks, log))
        progress = stack.enter_context(Progress(log, settings.steps, settings.log_every_steps))
        speed = Speed(model, device, run.flops_per_token, precision.dtype)
        running = _Running(run, state, saver, average, metrics, progress, speed, ranks, Watch(settings))
        if not state.first and settings.look_first:
            running.look()
        for step in steps:
            running.note(step, out, log)
            is_asked = ranks.any(stop.asked)
            running.look_and_save(is_asked)
            if state.stopped:
                break
            if is_asked:
                saver.wait()
                raise _interrupted(state.step, settings.steps, saver.saved_step, stop.signal)
        saver.restore_best(state)
    _leave_plain(model)
    gather()
    return _facts(run, state, speed, metrics.warnings)


@dataclass(slots=True)
class _Running:
    """What happens between two steps."""

    run: Run
    state: RunState
    saver: Saver
    average: Average | None
    metrics: MetricsFile
    progress: Progress
    speed: Speed
    ranks: Ranks
    watch: Watch

    def note(self, step: Step, out: Path, log: Log) -> None:
        """Count a step, write its row, and stop the run if too many were bad."""
        state, settings = self.state, self.run.settings
        state.step = step.number
        state.n_tokens += step.n_tokens
        state.n_positions += step.n_positions
        state.seconds += step.seconds
        state.wait_seconds += step.wait_seconds
        if self.average and not step.bad:
            self.average.update()
        self.speed.add(step.n_tokens / self.ranks.size, step.seconds)
        measured = self.measure() if self.progress.is_due(step.number) else {}
        self.metrics.write(_row(step) | measured)
        self.progress.step(step, measured)
        for sign in self.watch.step(step):
            log.warn(f"step {step.number}: {sign}", step=step.number, sign=sign.kind)
            self.metrics.warn(step.number, f"step {step.number}: {sign}")
        if step.bad and not self.saver.precision.may_overflow:
            state.n_skipped += 1
            problem = f"step {step.number}: loss is {step.loss}, gradient norm is {step.grad_norm}"
            kept = _keep(step, out)
            refuse_broken(self.run.model, self.ranks, step.number, self.saver.saved_step)
            if state.n_skipped > settings.max_skipped_steps:
                raise DivergedError(
                    f"{problem}; {state.n_skipped} steps without a finite gradient, weights not updated",
                    fix=f"lower lr, raise warmup_share, or inspect the batch, {kept}",
                )
            log.warn(
                f"{problem}; skipped, {state.n_skipped} of at most {settings.max_skipped_steps}; batch {kept}"
            )

    def measure(self) -> dict[str, float]:
        """Return what is too dear to measure at every step."""
        share = self.speed.matmul_share()
        memory: dict[str, float] = {"memory_bytes": memory_bytes(self.saver.precision.device)}
        memory |= {"recompiles": recompiles()} if self.state.compiled else {}
        return memory | ({} if share is None else {"matmul_share": round(share, 4)})

    def look_and_save(self, is_asked: bool) -> None:
        """Score and save after a step where that is due, or asked for by a signal."""
        state, settings = self.state, self.run.settings
        is_due = state.step % settings.save_every_steps == 0 or is_asked
        has_no_best = is_due and not state.best  # a checkpoint names the best weights
        if state.step % settings.evaluate_every_steps == 0 or state.step == settings.steps or has_no_best:
            self.look()
        if is_due or state.stopped:
            refuse_broken(self.run.model, self.ranks, state.step, self.saver.saved_step)
            self.metrics.sync()
            self.saver.save(state)

    def look(self) -> None:
        """Score the validation split, write the scores down, and keep the weights if they are the best."""
        run, state = self.run, self.state
        mean = self.average.in_place() if self.average else contextlib.nullcontext()
        with mean, eager(run.model):
            run.model.eval()
            seed_step(run.settings.seed, state.step)
            with torch.no_grad():
                scores = self.ranks.share(run.evaluate())
                with gathered(run.model):
                    rows = run.on_evaluate(state.step) if run.on_evaluate else []
            settle(run.model)
            take_note(state, scores, run.settings)
            if run.stop_early and not state.stopped and run.stop_early(state.step, scores):
                state.stopped = "pruned"
            if state.best["step"] == state.step:
                self.saver.save_best(state)
        for row in ({"validation": scores}, *rows):
            self.metrics.write({"step": state.step, **row})
        self.progress.validation(state.step, scores)


def _hasten(run: Run, precision: Precision, state: RunState, ranks: Ranks, log: Log) -> range:
    """Use native kernels if there are any, compile if that pays for the steps ahead, and return these."""
    n_steps = run.settings.steps
    before = False if state.native is None and state.step else state.native  # a run of an older version
    state.native = use_kernels(run.model, precision, before, ranks)
    ahead = range(n_steps + 1 if state.stopped else state.step + 1, n_steps + 1)
    made = decide(run, precision, log, ahead, before=state.compiled, alone=ranks.mesh is None)
    state.compiled = made.compiled
    return ahead


def _leave_plain(model: nn.Module) -> None:
    leave_eager(model)
    leave_kernels(model)
    recompute_blocks(model, "none")


def _open_metrics(settings: TrainSettings, out: Path, state: RunState, ranks: Ranks, log: Log) -> MetricsFile:
    tracked = Tracked(out, settings, state.step if state.first else -1)
    trackers = open_trackers(tracked, log) if ranks.is_first else []
    return MetricsFile(out, tracked.last_step, log, trackers)


def _row(step: Step) -> dict[str, Any]:
    """Return a step's row for metrics.jsonl."""
    return {
        "step": step.number,
        "loss": step.loss,
        "lr": step.lr,
        "grad_norm": step.grad_norm,
        "n_targets": step.n_targets,
        "n_tokens": step.n_tokens,
        "padding": step.padding,
        "seconds": round(step.seconds, 6),
        "wait_seconds": round(step.wait_seconds, 6),
        "tokens_per_second": round(step.n_tokens / step.seconds, 1),
    } | ({"skipped": True} if step.bad else {})


def _keep(step: Step, out: Path) -> str:
    """Save the batches of a bad step, so that they can be looked at; return in words where they are."""
    tensors = {
        f"{i}.{name}": getattr(batch, name).contiguous()
        for i, batch in enumerate(step.bad)
        for name in Batch.tensor_names()
        if getattr(batch, name) is not None
    }
    path = out / f"bad-step-{step.number:07d}.safetensors"
    try:
        with disk_errors(path):
            write_tensors(tensors, path)
    except DiskError as e:  # a look at the batch is not worth the run
        return f"not saved: {e.problem}"
    return f"saved as {path}"


def _interrupted(step: int, n_steps: int, saved_step: int, signal: int) -> Interrupted:
    saved = "saved" if saved_step == step else f"NOT saved since step {saved_step}"
    return Interrupted(
        f"stopped after step {step} of {n_steps}, {saved}",
        fix="the same command goes on from there",
        signal=signal,
    )


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    model.eval()
    with torch.no_grad():
        yield


def _facts(run: Run, state: RunState, speed: Speed, warnings: list[str]) -> Facts:
    parameters = list(run.model.parameters())
    with _evaluating(run.model):
        on_train = run.evaluate_train() if run.evaluate_train else {}
    return {
        "counts": {
            "parameters": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
            "steps": state.step,
            "tokens": state.n_tokens,
            "skipped_steps": state.n_skipped,
        },
        "first": state.first,
        "best": state.best,
        "last": state.last,
        "on_train": on_train,
        "stopped": state.stopped,
        "compiled": state.compiled,
        "native": state.native,
        "recompiles": recompiles(),
        "train_seconds": round(state.seconds, 3),
        "seconds_per_step": round(state.seconds / max(1, state.step), 5),
        "tokens_per_second": round(state.n_tokens / state.seconds, 1) if state.seconds else 0.0,
        "matmul_share": speed.matmul_share(),
        "wait_share": round(state.wait_seconds / state.seconds, 4) if state.seconds else 0.0,
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_device_memory_bytes": peak_device_memory_bytes(parameters[0].device),
        "warnings": warnings,
        "padding": round(1 - state.n_tokens / max(1, state.n_positions), 4),
    }
