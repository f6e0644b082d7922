"""The training loop: the one place where gradients are computed and weights change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn

from luban.device import seed_step
from luban.errors import DataError, LubanError
from luban.records import Batch, Loss, Step
from luban.train.prefetch import Batches, ahead
from luban.train.settings import TrainSettings

Objective = Callable[[nn.Module, Batch], Loss]


class DivergedError(LubanError):
    """A loss or gradient is not finite. `batches` are the step's micro-batches."""

    def __init__(self, problem: str, *, fix: str, step: int = 0, batches: list[Batch] | None = None):
        super().__init__(problem, fix=fix)
        self.step, self.batches = step, batches or []


def train(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    lr_at: Callable[[int], float],
    settings: TrainSettings,
    first_step: int = 1,
) -> Generator[Step, None, None]:
    """Yield a Step after each update. The caller logs, evaluates, saves, and stops by breaking.

    Gradients are the mean over all targets of a step, however unevenly micro-batches are filled.
    Randomness is seeded from (seed, step): a run resumed at any step repeats an undisturbed one.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    device = parameters[0].device
    start = time.perf_counter()
    for number, micro_batches in ahead(batches, range(first_step, settings.steps + 1)):
        model.train()  # the caller may have switched to eval between steps
        seed_step(settings.seed, number)
        lr = lr_at(number)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]

        total, n_targets = torch.zeros((), device=device), 0
        for batch in micro_batches:
            loss = objective(model, batch.to(device))
            loss.total.backward()  # type: ignore[no-untyped-call]
            total, n_targets = total + loss.total.detach(), n_targets + int(loss.n_targets)
        mean, grad_norm = _mean_and_norm(parameters, total, n_targets, settings.max_grad_norm)
        _check(number, mean, grad_norm, n_targets, micro_batches)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        n_padding = sum(b.n_padding for b in micro_batches)
        n_positions = sum(b.n_positions for b in micro_batches)
        seconds = time.perf_counter() - start
        yield Step(
            number, mean, grad_norm, lr, n_targets, n_positions - n_padding, n_padding / n_positions, seconds
        )
        start = time.perf_counter()  # what the caller did is not the step's time


def _mean_and_norm(
    parameters: list[nn.Parameter], total: Tensor, n_targets: int, max_norm: float
) -> tuple[float, float]:
    """Divide the summed gradients by the number of targets, clip them, and return loss and norm."""
    grads = [p.grad for p in parameters if p.grad is not None]  # none where no batch reached a layer
    if not n_targets:
        return 0.0, 0.0
    torch._foreach_div_(grads, n_targets)
    return total.item() / n_targets, nn.utils.clip_grad_norm_(parameters, max_norm).item()


def _check(number: int, loss: float, grad_norm: float, n_targets: int, batches: list[Batch]) -> None:
    if not n_targets:
        raise DataError(
            f"step {number}: every target is ignored, so there is nothing to learn",
            fix="look at the rows with `luban inspect batch`; answers may be cut off by the context length",
        )
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(
            f"step {number}: loss is {loss}, gradient norm is {grad_norm}; weights were not updated",
            fix="lower lr, raise warmup_share, or inspect the batch saved beside the run",
            step=number,
            batches=batches,
        )
