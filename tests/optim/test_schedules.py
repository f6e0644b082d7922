"""The learning rate's shape."""

import pytest

from luban.optim.schedules import lr_at
from luban.train.settings import TrainSettings


def rates(**changes: float) -> list[float]:
    settings = TrainSettings(
        **({"steps": 100, "lr": 0.5, "min_lr_share": 0.1, "warmup_share": 0.2} | changes)
    )
    return [lr_at(settings)(step) for step in range(1, settings.steps + 1)]


def test_the_peak_is_reached_exactly_at_the_end_of_the_warm_up() -> None:
    found = rates()
    assert max(found) == found[19] == 0.5
    assert found[0] == 0.5 / 20


def test_the_last_step_has_exactly_the_lowest_rate() -> None:
    assert rates()[-1] == 0.5 * 0.1
    assert rates(min_lr_share=0)[-1] == 0


def test_half_way_down_is_the_mean_of_peak_and_lowest() -> None:
    assert rates()[59] == pytest.approx((0.5 + 0.05) / 2)


def test_it_rises_and_then_only_falls() -> None:
    found = rates()
    assert found[:20] == sorted(found[:20])
    assert found[19:] == sorted(found[19:], reverse=True)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert rates(warmup_share=0)[0] == 0.5


def test_a_run_of_one_step_takes_it_at_the_peak() -> None:
    assert rates(steps=1) == [0.5]
