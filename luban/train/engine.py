"""The training loop: the one place where gradients are computed and weights change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luban.device import own_part, seed_step, sum_dtype
from luban.errors import DataError
from luban.optim.noise import add_noise
from luban.optim.penalties import add_penalties
from luban.records import Batch, Loss, Step
from luban.train.precision import Precision
from luban.train.prefetch import Batches, ahead
from luban.train.ranks import ALONE, Ranks
from luban.train.settings import TrainSettings

Objective = Callable[[nn.Module, Batch], Loss]


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What the loop needs: where to descend, by which rule, and who else takes part."""

    model: nn.Module
    batches: Batches
    objective: Objective
    optimizer: torch.optim.Optimizer
    lr_at: Callable[[int], float]
    """Step → learning rate; asked once a step."""
    settings: TrainSettings
    first_step: int = 1
    precision: Precision | None = None
    """None: float32."""
    ranks: Ranks = ALONE


def train(course: Course) -> Generator[Step, None, None]:
    """Yield a Step after each update. The caller logs, evaluates, saves, and stops by breaking.

    Gradients are the mean over all targets of a step, however unevenly micro-batches and processes are
    filled. Randomness is seeded from (seed, step, micro-batch): a run resumed at any step repeats one
    that was never stopped. A step whose loss or gradient is not finite changes nothing, and says so.
    """
    settings, optimizer = course.settings, course.optimizer
    parameters = [p for p in course.model.parameters() if p.requires_grad]
    precision = course.precision or Precision(torch.float32, parameters[0].device)
    start = time.perf_counter()
    for number, micro_batches in ahead(course.batches, range(course.first_step, settings.steps + 1)):
        wait_seconds = time.perf_counter() - start
        course.model.train()  # the caller may have switched to eval between steps
        lr = course.lr_at(number)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]

        total, n_targets = _add_gradients(course, precision, number, micro_batches)
        _rest(optimizer, number)
        course.ranks.reduce(parameters)
        _divide(parameters, n_targets * precision.scale)
        add_penalties(optimizer.param_groups, settings.l1, settings.l2)
        grad_norm = course.ranks.norm_and_clip(parameters, settings.max_grad_norm)
        loss = total / n_targets
        is_sound = math.isfinite(loss) and math.isfinite(grad_norm)
        if is_sound:
            if settings.grad_noise:
                seed_step(settings.seed, number)
                add_noise(parameters, settings.grad_noise, number)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        precision.update(is_sound)

        n_positions = sum(b.n_positions for b in micro_batches)
        yield Step(
            number=number,
            loss=loss,
            grad_norm=grad_norm,
            lr=lr,
            n_targets=n_targets,
            n_tokens=n_positions - sum(b.n_padding for b in micro_batches),
            n_positions=n_positions,
            seconds=time.perf_counter() - start,
            wait_seconds=wait_seconds,
            bad=() if is_sound else tuple(micro_batches),
        )
        start = time.perf_counter()  # what the caller did is not the step's time


def _add_gradients(
    course: Course, precision: Precision, number: int, micro_batches: list[Batch]
) -> tuple[float, int]:
    """Add up the gradients of this process's share; return the loss and the targets of all processes."""
    device = next(course.model.parameters()).device
    sums = torch.zeros(2, dtype=sum_dtype(device), device=device)
    for share in course.ranks.deal(micro_batches):
        seed_step(course.settings.seed, number, share.number)
        with precision.forward():
            loss = course.objective(course.model, share.batch.to(device))
        total = loss.total.float() if share.counts else loss.total.float() * 0
        (total * precision.scale).backward()  # type: ignore[no-untyped-call]
        if share.counts:
            sums[0] += total.detach()
            sums[1] += loss.n_targets
    loss_sum, n_targets = course.ranks.sum(sums).tolist()
    if not n_targets:
        raise DataError(
            f"step {number}: every target is ignored, so there is nothing to learn",
            fix="look at the rows with `luban inspect batch`; answers may be cut off by the context length",
        )
    return loss_sum, int(n_targets)


def _rest(optimizer: torch.optim.Optimizer, number: int) -> None:
    """Drop the gradients of what learns from a later step on: without one, no rule touches it."""
    for group in optimizer.param_groups:
        if number < group.get("first_step", 1):
            for p in group["params"]:
                p.grad = None


def _divide(parameters: list[nn.Parameter], divisor: float) -> None:
    grads: list[Tensor] = [own_part(p.grad) for p in parameters if p.grad is not None]  # some go unreached
    torch._foreach_div_(grads, divisor)
