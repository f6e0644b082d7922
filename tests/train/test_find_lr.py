"""A search for the learning rate, on models whose best rate is known."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from luban.errors import ConfigError
from luban.log import Log
from luban.records import Batch, Loss
from luban.train.find_lr import HIGHEST, LOWEST, _rounded, find_lr, has_exploded, rates_to_try, read_off
from luban.train.run import Run
from luban.train.settings import TrainSettings
from tests.train.toy_run import Rows, Toy, objective

QUIET = Log(quiet=True)


class Bowl(nn.Module):
    """A parabola of known curvature, its least value above zero: plain descent diverges at 2 / curvature."""

    def __init__(self, curvature: float):
        super().__init__()
        self.curvature = curvature
        self.w = nn.Parameter(torch.full((4,), 3.0))

    def forward(self) -> torch.Tensor:
        return self.curvature / 2 * (self.w**2).sum() + 1


def run(model: nn.Module, **changes) -> Run:
    usual = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "max_grad_norm": 1e9,
    }
    aim = changes.pop("objective", lambda model, batch: Loss(model() * 10, 10))
    settings = TrainSettings(**(usual | {"threads": 1, "device": "cpu", "steps": 500} | changes))
    return Run(model=model, batches=Rows(), objective=aim, settings=settings, evaluate=dict)


@pytest.mark.parametrize("curvature", [5.0, 100.0, 1000.0])
def test_the_rate_suggested_is_near_the_best_of_a_parabola_and_explodes_beyond_it(curvature):
    found = find_lr(run(Bowl(curvature)), QUIET)
    best = 1 / curvature
    assert best / 30 < found.suggestion <= best
    assert found.falls
    assert found.exploded is not None
    assert 2 * best < found.exploded < 20 * best
    assert found.steepest <= found.lowest < found.exploded


def test_a_real_model_learns_at_the_rate_suggested():
    found = find_lr(run(Toy(), optimizer="adamw", objective=objective), QUIET)
    assert 1e-4 < found.suggestion < 0.2


def test_the_model_and_its_run_stay_as_they_are():
    model = Toy()
    before = copy.deepcopy(model.state_dict())
    given = run(model, optimizer="adamw", objective=objective)
    find_lr(given, QUIET)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize(("steps", "n"), [(5, 30), (60, 60), (9999, 100)])
def test_a_short_run_gets_a_short_test(steps, n):
    found = find_lr(run(Bowl(1e-9), steps=steps), QUIET)  # so flat that nothing ever explodes
    assert len(found.rates) == n
    assert found.exploded is None
    assert (found.rates[0], found.rates[-1]) == pytest.approx((LOWEST, HIGHEST))


def test_rates_grow_by_one_factor():
    rates = rates_to_try(10)
    factors = [b / a for a, b in zip(rates, rates[1:], strict=False)]
    assert factors == pytest.approx([factors[0]] * 9)


def test_losses_explode_by_their_trailing_mean_and_not_by_one_outlier():
    assert not has_exploded([2.0] * 20 + [4.5])
    assert has_exploded([2.0] * 20 + [4.5] * 4)
    assert has_exploded([2.0, math.nan])
    assert has_exploded([2.0, math.inf])
    assert not has_exploded([2.0, 1.0, 0.5, 0.2])


def curve(f, n: int = 60) -> tuple[list[float], list[float]]:
    rates = rates_to_try(n)
    return rates, [f(math.log10(r)) for r in rates]


def test_a_clear_fall_is_read_off_where_it_is_steepest():
    rates, losses = curve(lambda x: 8 - 3 / (1 + math.exp(-6 * (x + 3))) + 9 / (1 + math.exp(-6 * x)))
    found = read_off(rates, losses, None)
    assert 5e-4 < found.steepest < 2e-3
    assert found.suggestion == _rounded(found.steepest)


def test_where_nothing_falls_a_tenth_of_the_edge_is_suggested():
    noise = iter([0.01, -0.01] * 60)
    rates, losses = curve(lambda x: 0.7 + next(noise) + (0.5 if x > -1 else 0))
    found = read_off(rates, losses, None)
    assert not found.falls
    assert 0.03 < found.edge < 0.2
    assert found.suggestion == _rounded(found.edge / 10)


def test_a_model_that_explodes_at_once_is_refused():
    broken = dataclasses.replace(
        run(Toy()), objective=lambda model, batch: Loss(objective(model, batch).total / 0, 1)
    )
    with pytest.raises(ConfigError, match="explodes within 1 steps"):
        find_lr(broken, QUIET)


@pytest.mark.parametrize(
    ("rate", "rounded"), [(0.00312, 0.003), (0.00146, 0.0015), (9.7e-5, 1e-4), (1.9, 2.0)]
)
def test_a_suggestion_is_a_round_number(rate, rounded):
    assert _rounded(rate) == pytest.approx(rounded)


def test_batches_are_those_of_the_run_from_its_first_step():
    seen: list[int] = []

    class Noted(Rows):
        def at(self, step: int) -> list[Batch]:
            seen.append(step)
            return super().at(step)

    find_lr(dataclasses.replace(run(Bowl(1e-9), steps=30), batches=Noted()), QUIET)
    assert seen == list(range(1, 31))
