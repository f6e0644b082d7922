"""A few steps tell what a whole run will take."""

import pytest

from luban.train.probe import _survey, n_looks, probe
from luban.train.run import Run
from tests.train.toy_run import Rows, Toy, evaluation, objective, run, settings


class Uneven(Rows):
    """Rows of which step 7 has most."""

    def at(self, step):
        made = super().at(step)
        return made * 5 if step == 7 else made


class Longest(Rows):
    """Rows of which step 7 is the longest."""

    def batch(self, step, i):
        made = super().batch(step, i)
        if step != 7:
            return made
        wide = {n: getattr(made, n).repeat(1, 3) for n in ("tokens", "documents", "targets")}
        return type(made)(**wide)


def toy(**changes):
    model = Toy()
    return Run(
        model=model,
        batches=changes.pop("batches", Rows()),
        objective=objective,
        settings=settings(**changes),
        evaluate=lambda: evaluation(model),
    )


def test_parts_are_the_bytes_of_their_tensors() -> None:
    found = probe(toy(steps=12, ema_decay=0.9))
    assert found.parameters == found.trainable
    assert found.gradients == found.average == 4 * found.trainable
    assert found.optimizer == pytest.approx(8 * found.trainable, abs=100)  # and a count for each tensor
    assert 0 < found.activations < 100_000
    assert found.peak > found.weights + found.gradients + found.optimizer + found.rest - 1


def test_what_is_computed_again_is_not_held() -> None:
    model_bytes = probe(toy(steps=3)).activations
    assert probe(toy(steps=3, n_micro_batches=2)).activations == model_bytes  # one micro-batch at a time


def test_the_longest_step_of_the_run_is_among_those_tried() -> None:
    assert _survey(Longest(), 12).chosen[0] == 7
    assert probe(toy(batches=Longest())).activations > probe(toy()).activations
    assert len(_survey(Rows(), 1).chosen) >= 3


def test_the_mean_is_over_the_whole_run() -> None:
    assert _survey(Uneven(), 12).mean_positions == pytest.approx((11 * 24 + 5 * 24) / 12)


def test_looks_are_counted_as_the_run_takes_them(tmp_path) -> None:
    for steps, every in ((12, 4), (12, 5), (3, 10)):
        taken = []
        run(
            tmp_path / f"{steps}-{every}",
            steps=steps,
            evaluate_every_steps=every,
            on_evaluate=lambda step, taken=taken: taken.append(step) or [],
        )
        assert len(taken) == n_looks(steps, every)


def test_time_is_steps_and_looks() -> None:
    found = probe(toy(steps=12))
    assert found.seconds == pytest.approx(12 * found.seconds_per_step + 4 * found.look_seconds)
    assert found.tokens_per_second > 0
