"""The mean of a run's last checkpoints in place of its best one, where that scores better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from luban.log import Log
from luban.models.model import Model
from luban.optim.averaging import mean_tensors
from luban.train.checkpoint import MODEL, learning_tensors, read_tensors, step_folders

Scores = dict[str, float]


def average_if_better(
    model: Model, root: Path, n: int, look: Callable[[], Scores], log: Log
) -> dict[str, Any]:
    """Put the mean of the `n` newest checkpoints below `root` into the model if its loss is lower.

    Return the steps averaged and the scores of both; nothing is averaged for n < 2. The model holds the
    best weights before. Source: arXiv:1706.03762 section 6.1.
    """
    folders = step_folders(root)[:n]
    if n < 2 or len(folders) < 2:
        return {}
    best = look()
    kept = {name: t.detach().clone() for name, t in learning_tensors(model).items()}
    _put(model, mean_tensors(read_tensors(folder / MODEL) for folder in folders))
    mean = look()
    is_better = mean["loss"] <= best["loss"]
    if not is_better:
        _put(model, kept)
    shown = ", ".join(f"{name} {best[name]:.4g} → {mean[name]:.4g}" for name in best)
    what = "their mean is kept" if is_better else "the best checkpoint is kept"
    log.say(f"  the last {len(folders)} checkpoints averaged: {shown}; {what}")
    steps = [int(folder.name.rpartition("-")[2]) for folder in folders]
    return {"steps": steps, "best": best, "mean": mean, "kept": "mean" if is_better else "best"}


def _put(model: Model, tensors: dict[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, tensor in learning_tensors(model).items():
            tensor.copy_(tensors[name])
