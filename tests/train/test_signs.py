"""What is said of a run in trouble, on curves that show it and on curves that do not."""

import math
import random

import pytest
import torch

from luban.records import Step
from luban.train.signs import QUIET_STEPS, Watch
from tests.train.toy_run import settings

N = 400


def said(losses, norms=None, *, wait=0.0, n_tokens=95, first=1, **changes):
    """Return (step, kind) of every sign that a run with these losses gives."""
    watch = Watch(settings(**({"steps": N, "lr": 1e-3, "warmup_share": 0.1} | changes)))
    norms = norms or [0.5] * len(losses)
    found = []
    for number, (loss, norm) in enumerate(zip(losses, norms, strict=True), first):
        step = Step(
            number=number, loss=loss, grad_norm=norm, lr=1e-3, n_targets=90, n_tokens=n_tokens, n_positions=100,
            seconds=1.0, wait_seconds=wait,
        )  # fmt: skip
        found += [(number, sign.kind) for sign in watch.step(step)]
    return found


def falling(n=N, noise=0.05, seed=0):
    draw = random.Random(seed)
    return [1 + 3 * math.exp(-i / 80) + draw.gauss(0, noise) for i in range(n)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.01, 0.1, 0.2])
def test_a_healthy_run_is_left_in_peace(seed, noise):
    assert said(falling(noise=noise, seed=seed)) == []


def test_losses_of_small_batches_with_a_long_tail_are_no_spikes():
    draw = random.Random(1)
    losses = [
        0.3 + 1.5 * math.exp(-i / 60) + sum(draw.expovariate(16 / 0.3) for _ in range(16)) for i in range(N)
    ]
    assert said(losses) == []


def test_a_spike_is_said_at_its_step_and_only_once_in_a_while():
    losses = falling()
    losses[199], losses[259] = 4.0, 4.5
    assert said(losses) == [(200, "spike")]
    longer = falling(1000)
    longer[199], longer[199 + QUIET_STEPS] = 4.0, 4.5
    assert said(longer) == [(200, "spike"), (200 + QUIET_STEPS, "spike")]


def test_a_loss_that_stays_at_a_blind_guess_is_a_dead_run():
    draw = random.Random(2)
    found = said([math.log(8192) + draw.gauss(0, 0.05) for _ in range(N)])
    assert [kind for _, kind in found] == ["dead"]


def test_the_dead_run_names_what_it_guesses_among():
    watch = Watch(settings(steps=200, warmup_share=0.0))
    step = {"grad_norm": 0.1, "lr": 0.02, "n_targets": 1, "n_tokens": 1, "n_positions": 1, "seconds": 1.0}
    texts = [
        str(sign) for i in range(1, 201) for sign in watch.step(Step(number=i, loss=math.log(8192), **step))
    ]
    assert "a blind guess among 8,192" in texts[0]


def test_a_rising_loss_says_that_the_learning_rate_is_too_high():
    losses = falling(200, noise=0.02) + [1.2 + 0.02 * i for i in range(200)]
    assert "rising" in {kind for _, kind in said(losses)}


def test_vanished_gradients_are_told_from_a_loss_that_is_learnt_away():
    assert (30, "no gradient") in said([2.0] * 60, [1e-9] * 60)
    watch = Watch(settings(steps=60))
    step = {
        "loss": 0.0,
        "grad_norm": 0.0,
        "lr": 0.02,
        "n_targets": 1,
        "n_tokens": 1,
        "n_positions": 1,
        "seconds": 1.0,
    }
    texts = [str(sign) for i in range(1, 61) for sign in watch.step(Step(number=i, **step))]
    assert len(texts) == 1
    assert "nothing is left to learn" in texts[0]


def test_gradients_that_are_always_cut_are_said_with_a_better_limit():
    draw = random.Random(3)
    cut = [4 + draw.random() for _ in range(N)]
    assert [kind for _, kind in said(falling(), cut)] == ["clipped"]
    assert said(falling(), [0.5 if i % 20 == 0 else x for i, x in enumerate(cut)]) == []


def test_waiting_for_data_and_padding_are_said():
    assert [kind for _, kind in said(falling(100), wait=0.3)] == ["waiting"]
    assert [kind for _, kind in said(falling(100), n_tokens=60)] == ["padding"]


def test_watching_draws_no_random_number():
    before = torch.get_rng_state()
    python = random.getstate()
    losses = [math.log(50)] * N
    said(losses, wait=0.5)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


def test_a_skipped_step_is_not_part_of_the_curve():
    watch = Watch(settings())
    step = Step(1, math.nan, math.inf, 1e-3, 1, 1, 1, 1.0, bad=("a batch",))
    assert watch.step(step) == []
