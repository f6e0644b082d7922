"""Autocast, and the scale of fp16."""

import pytest
import torch

from luban.errors import ConfigError
from luban.train import precision
from luban.train.engine import train
from luban.train.precision import GROW_AFTER, Precision, choose_precision
from tests.train.toy_run import Rows, Toy, course

CPU = torch.device("cpu")


def weights_after(made: Precision | None) -> dict[str, torch.Tensor]:
    model = Toy()
    for _ in train(course(model, Rows(), precision=made)):
        pass
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_float32_computes_as_if_there_were_no_precision() -> None:
    plain, named = weights_after(None), weights_after(choose_precision("float32", CPU))
    assert all(torch.equal(plain[name], named[name]) for name in plain)


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_products_are_narrow_and_weights_stay_wide(name: str, dtype: torch.dtype) -> None:
    with choose_precision(name, CPU).forward():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype
    after = weights_after(choose_precision(name, CPU))
    assert {t.dtype for t in after.values()} == {torch.float32}


@pytest.mark.parametrize("scale", [2.0**4, 2.0**10])
def test_the_scale_of_the_loss_leaves_the_gradient_as_it_is(scale: float) -> None:
    plain = weights_after(Precision(torch.float32, CPU))
    scaled = weights_after(Precision(torch.float32, CPU, scale=scale))  # a power of two loses no bit
    assert all(torch.equal(plain[name], scaled[name]) for name in plain)


def test_a_gradient_too_small_for_fp16_lives_by_the_scale() -> None:
    x = torch.full((1,), 1e-8, dtype=torch.float16)
    assert not x.any()
    assert (torch.tensor(1e-8) * choose_precision("fp16", CPU).scale).half().any()


def test_fp16_halves_the_scale_after_an_overflow_and_doubles_it_after_a_long_calm() -> None:
    made = choose_precision("fp16", CPU)
    first = made.scale
    made.update(False)
    assert (made.scale, made.n_sound) == (first / 2, 0)
    for _ in range(GROW_AFTER - 1):
        made.update(True)
    assert made.scale == first / 2
    made.update(True)
    assert (made.scale, made.n_sound) == (first, 0)


def test_the_scale_never_falls_below_one_where_an_overflow_is_no_longer_its_fault() -> None:
    made = choose_precision("fp16", CPU)
    assert made.may_overflow
    for _ in range(40):
        made.update(False)
    assert made.scale == 1.0
    assert not made.may_overflow


def test_bf16_needs_no_scale() -> None:
    made = choose_precision("bf16", CPU)
    made.update(False)
    made.update(True)
    assert (made.scale, made.may_overflow) == (1.0, False)


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bf16_only_where_it_is_fast(
    is_fast: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "is_fast_at_bf16", lambda device: is_fast)
    assert choose_precision("auto", CPU).dtype is dtype


def test_a_device_without_autocast_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: False)
    with pytest.raises(ConfigError, match="precision = bf16, but torch has no autocast for cpu"):
        choose_precision("bf16", CPU)
    assert choose_precision("float32", CPU).dtype is torch.float32
