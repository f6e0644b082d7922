"""Proof: a run that was stopped and went on ends, bit for bit, as one that never stopped."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from luban.files import read_json, read_jsonl
from luban.log import Log
from luban.records import Batch
from luban.train.metrics import METRICS
from luban.train.prefetch import Batches
from luban.train.proofs.subject import Few, Finding, Subject
from luban.train.run import CHECKPOINTS, Run, run_training
from luban.train.settings import TrainSettings

STEPS, EVERY = 8, 2
STOPS = (4, 7)
"""The steps whose data do not come: one right after a checkpoint, one that loses a step."""
COMPARED = ("step", "loss", "lr", "grad_norm", "n_targets", "n_tokens", "padding", "skipped", "validation")
"""What a row of metrics says apart from the clock and the machine."""


class _Stopped(Exception):
    """Ends a run in the middle, as a kill would."""


@dataclass(slots=True, eq=False)
class _Breaking:
    """Batches that end the run at one step."""

    batches: Batches
    stop: int

    def at(self, step: int) -> list[Batch]:
        if step == self.stop:
            raise _Stopped
        return self.batches.at(step)


def resumed(subject: Subject) -> Finding:
    """Show it with the run's own dropout, optimizer, schedule, mean of weights and patience.

    One run goes through; the other is stopped twice, and each time a new process's state, a fresh
    model among it, goes on from the checkpoints.
    """
    settings = _shortened(subject.settings)
    with tempfile.TemporaryDirectory(prefix="luban-certify-") as folder:
        whole, parted = Path(folder) / "whole", Path(folder) / "parted"
        kept = _run(subject, settings, whole, stop=0)
        for stop in (*STOPS, 0):
            left = _run(subject, settings, parted, stop)
        wrong = _difference(kept, left, whole, parted)
    looks = "weights, optimizer, state and metrics"
    words = f"{STEPS} steps, stopped before steps {STOPS[0]} and {STOPS[1]}: {looks} equal to the last bit"
    return Finding(words=wrong[0] or words, difference=wrong[1])


def _shortened(settings: TrainSettings) -> TrainSettings:
    return replace(
        settings,
        steps=STEPS,
        evaluate_every_steps=EVERY,
        save_every_steps=EVERY,
        best_by="",  # the only score here is the loss
        compile="off",
        trackers=(),
        on_change="refuse",
        unproven=(),
    )


def _run(subject: Subject, settings: TrainSettings, out: Path, stop: int) -> dict[str, torch.Tensor]:
    """Train until the end, or until `stop`; return the weights that the model is left with."""
    out.mkdir(exist_ok=True)
    model = subject.build(True)
    run = Run(
        model=model,
        batches=_Breaking(Few(subject.batches), stop),
        objective=subject.objective,
        settings=settings,
        evaluate=lambda: _evaluate(subject, model),
        lr_scale=subject.lr_scale,
    )
    n_threads = torch.get_num_threads()
    try:
        with contextlib.suppress(_Stopped):  # the stop that was asked for
            run_training(run, out, Log(quiet=True))
    finally:
        torch.set_num_threads(n_threads)
    return {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}


def _evaluate(subject: Subject, model: nn.Module) -> dict[str, float]:
    """Return the loss on rows of a step that is not trained."""
    device = next(model.parameters()).device
    batch = Few(subject.batches).at(STEPS + 1)[0].to(device)
    loss = subject.objective(model, batch)
    return {"loss": float(loss.total) / max(1, int(loss.n_targets))}


def _difference(
    a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor], whole: Path, parted: Path
) -> tuple[str, float]:
    """Say what differs first, and by how much; nothing and 0 if all is equal."""
    if found := _tensors_differ(a, b):
        return f"after two stops, {found[0]} of the final weights differs", found[1]
    ours, theirs = (sorted((f / CHECKPOINTS).rglob("*.safetensors")) for f in (whole, parted))
    names = [[str(p.relative_to(f)) for p in found] for f, found in ((whole, ours), (parted, theirs))]
    if names[0] != names[1]:
        return "after two stops, other checkpoints are there", float("inf")
    for name in names[0]:
        if found := _tensors_differ(load_file(whole / name), load_file(parted / name)):
            return f"after two stops, {found[0]} in {name} differs", found[1]
    if _rows(whole) != _rows(parted):
        return f"after two stops, {METRICS} holds other rows", float("inf")
    states = [[_untimed(read_json(p)) for p in sorted(f.rglob("state.json"))] for f in (whole, parted)]
    if states[0] != states[1]:
        return "after two stops, the run knows other scores or counts", float("inf")
    return "", 0.0


def _tensors_differ(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> tuple[str, float] | None:
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b or a[name].shape != b[name].shape:
            return name, float("inf")
        if not torch.equal(a[name], b[name]):
            gap = float((a[name].double() - b[name].double()).abs().max())
            return name, gap or float("inf")
    return None


def _rows(out: Path) -> list[dict[str, Any]]:
    return [{k: row[k] for k in COMPARED if k in row} for row in read_jsonl(out / METRICS)]


def _untimed(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if not k.endswith("seconds")}
