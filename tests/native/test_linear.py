"""Products with few rows against float64, in every form that weights can be read from."""

import pytest
import torch
from torch import nn

from luban.native.tensors import ThinLinear


def half(*shape):
    return torch.rand(*shape).half().float()


def plain(n_out, n_in):
    return torch.randn(n_out, n_in)


def bfloat16(n_out, n_in):
    return torch.randn(n_out, n_in).bfloat16().float()


def eight_bits(n_out, n_in):
    """GGUF's Q8_0."""
    levels = torch.randint(-127, 128, (n_out, n_in // 32, 32)).float()
    levels[..., 7] = 127
    return (half(n_out, n_in // 32, 1) * levels).flatten(1)


def four_bits_from_least(n_out, n_in):
    """GGUF's Q4_1."""
    levels = torch.randint(0, 16, (n_out, n_in // 32, 32)).float()
    levels[..., 3], levels[..., 30] = 0, 15
    return (half(n_out, n_in // 32, 1) * levels - half(n_out, n_in // 32, 1) * 8).flatten(1)


def four_bits_around_zero(n_out, n_in):
    """GGUF's Q4_0: the scale may be negative, and not all levels occur."""
    levels = torch.randint(3, 12, (n_out, n_in // 32, 32)).float()
    levels[..., 20] = 0
    return ((half(n_out, n_in // 32, 1) - 0.5) * (levels - 8)).flatten(1)


FORMS = {
    plain: "float32",
    bfloat16: "bfloat16",
    eight_bits: "eight bits",
    four_bits_from_least: "four bits",
    four_bits_around_zero: "four bits",
}


@pytest.fixture(autouse=True)
def seed(kernels):
    torch.manual_seed(3)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 5, 8, 9, 16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (17, 31), (33, 33), (5, 64), (50, 97)])
def test_product_is_that_of_float64(shape, n_rows):
    weight, bias, x = torch.randn(*shape), torch.randn(shape[0]), torch.randn(n_rows, shape[1])
    with torch.no_grad():
        got = ThinLinear(weight, bias)(x)
    torch.testing.assert_close(
        got.double(), x.double() @ weight.double().T + bias.double(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("make", FORMS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("n_rows", [1, 3, 9])
def test_every_form_gives_the_product_of_the_float_weights_bit_for_bit(make, n_rows):
    weight, x = make(19, 96), torch.randn(n_rows, 96)
    thin, unpacked = ThinLinear(weight), ThinLinear(weight[:, :95])
    assert (thin.form, unpacked.form) == (FORMS[make], "float32")
    with torch.no_grad():
        torch.testing.assert_close(thin(x).double(), x.double() @ weight.double().T, rtol=1e-5, atol=1e-4)
        broken = weight.clone()
        broken[18, 95] = broken[18, 95] * 1.37 + 1e-3  # one weight that no small form can say
        spoilt = ThinLinear(broken)
        assert spoilt.form == "float32"
        assert torch.equal(spoilt(x)[:, :18], thin(x)[:, :18])


def test_row_does_not_depend_on_its_neighbours():
    thin, x = ThinLinear(torch.randn(37, 70)), torch.randn(13, 70)
    with torch.no_grad():
        together = thin(x)
        alone = torch.cat([thin(row[None]) for row in x])
    assert torch.equal(together, alone)


def test_numbers_may_lie_anywhere_in_memory():
    store = torch.randn(1 + 6 * 33 + 33)
    weight, x = store[1 : 1 + 6 * 33].view(6, 33), store[-33:]
    with torch.no_grad():
        torch.testing.assert_close(ThinLinear(weight)(x), nn.functional.linear(x, weight))


def test_all_axes_before_the_last_are_rows():
    thin = ThinLinear(torch.randn(4, 6))
    with torch.no_grad():
        assert thin(torch.randn(2, 3, 6)).shape == (2, 3, 4)
        assert thin(torch.randn(6)).shape == (4,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_stays_none(value):
    weight = eight_bits(4, 32)
    weight[2, 5] = value
    with torch.no_grad():
        got = ThinLinear(weight)(torch.ones(1, 32))
    assert torch.equal(got.isfinite(), torch.tensor([[True, True, False, True]]))


def test_blocks_of_zeros_and_of_the_smallest_numbers_are_exact():
    for weight in (torch.zeros(2, 32), torch.full((2, 32), 1e-45), torch.full((2, 32), 3e38)):
        with torch.no_grad():
            got = ThinLinear(weight)(torch.eye(32)[:1])
        assert torch.equal(got[0], weight[:, 0])


def test_takes_only_what_it_does_right():
    thin, x = ThinLinear(torch.randn(4, 6)), torch.randn(2, 6)
    assert not thin.takes(x)  # a gradient may be wanted
    with torch.no_grad():
        assert thin.takes(x)
        assert not thin.takes(torch.randn(17, 6))
        assert not thin.takes(x.double())
        assert not thin.takes(torch.randn(6, 2).T)
        assert not thin.takes(x[:0])


def test_suits_only_whole_float_matrices_on_the_cpu():
    weight = torch.randn(4, 6)
    assert ThinLinear.suits(weight, torch.zeros(4))
    assert not ThinLinear.suits(weight.T)
    assert not ThinLinear.suits(weight.bfloat16())
    assert not ThinLinear.suits(weight.to("meta"))


def test_weights_outlive_the_module_they_came_from():
    thin = ThinLinear(torch.ones(64, 64))
    torch.randn(64, 64)  # would take the place of freed weights
    with torch.no_grad():
        assert torch.equal(thin(torch.ones(1, 64)), torch.full((1, 64), 64.0))


def test_two_threads_give_what_one_gives():
    thin, x = ThinLinear(torch.randn(301, 200)), torch.randn(3, 200)
    with torch.no_grad():
        one = thin(x)
        torch.set_num_threads(2)
        two = thin(x)
    assert torch.equal(one, two)
