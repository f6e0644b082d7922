"""Activations and their gradients against float64 and against PyTorch's own."""

import math

import pytest
import torch
from torch.nn import functional as F

from luban.native import tensors as native

pytestmark = pytest.mark.usefixtures("kernels")

WORST = 3e-7
"""Error relative to the result, or to 1 if that is larger."""


def plain_gelu(x):
    return F.gelu(x, approximate="tanh")


def plain_silu_times(gate, up):
    return F.silu(gate) * up


def with_gradients(function, inputs, grad=None):
    inputs = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in inputs]
    y = function(*inputs)
    return y.detach(), *torch.autograd.grad(y, inputs, torch.ones_like(y) if grad is None else grad)


KERNELS = {"gelu": (native.gelu_tanh, plain_gelu, 1), "silu": (native.silu_times, plain_silu_times, 2)}
each_kernel = pytest.mark.parametrize("name", KERNELS)


def exact_gelu(x):
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    up, down = torch.sigmoid(2 * u), torch.sigmoid(-2 * u)  # 1 - tanh would lose digits in float64 too
    slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return x * up, up + x * up * down * slope


def exact_silu_times(gate, up):
    opened, rest = torch.sigmoid(gate), torch.sigmoid(-gate)
    return gate * opened * up, up * opened * (1 + gate * rest), gate * opened


EXACT = {"gelu": exact_gelu, "silu": exact_silu_times}


@each_kernel
def test_value_and_gradients_are_those_of_float64(name):
    kernel, _, n_inputs = KERNELS[name]
    torch.manual_seed(1)
    tiny = torch.logspace(-30, 0, 1000)
    x = torch.cat([torch.linspace(-30, 30, 20_001), torch.randn(5000), tiny, -tiny])
    inputs = [x, torch.randn(len(x))][:n_inputs]
    for found, wide in zip(
        with_gradients(kernel, inputs), EXACT[name](*(t.double() for t in inputs)), strict=True
    ):
        assert ((found.double() - wide).abs() / wide.abs().clamp(min=1)).max() < WORST


@each_kernel
@pytest.mark.parametrize("shape", [(0,), (1,), (15,), (16,), (17,), (3, 0, 2), (5, 7, 9), (4, 33)])
def test_any_size_gives_what_torch_gives(name, shape):
    kernel, plain, n_inputs = KERNELS[name]
    torch.manual_seed(2)
    inputs, grad = [torch.randn(shape) for _ in range(n_inputs)], torch.randn(shape)
    found, expected = with_gradients(kernel, inputs, grad), with_gradients(plain, inputs, grad)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@each_kernel
def test_numbers_that_do_not_lie_in_order_are_read_in_order(name):
    kernel, plain, n_inputs = KERNELS[name]
    torch.manual_seed(3)
    forms = [torch.randn(6, 4, 10).transpose(0, 1), torch.randn(4, 6, 20)[..., ::2]]
    grad = torch.randn(10, 6, 4).permute(2, 1, 0)
    for inputs in (forms[:n_inputs], forms[::-1][:n_inputs]):
        found, expected = with_gradients(kernel, inputs, grad), with_gradients(plain, inputs, grad)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@each_kernel
def test_infinities_and_what_is_no_number_pass_as_through_torch(name):
    kernel, plain, n_inputs = KERNELS[name]
    x = torch.tensor([math.inf, -math.inf, math.nan, 0.0, -0.0, 1e20, -1e20, 88, -200, 1e-40])
    inputs = [x, torch.ones_like(x)][:n_inputs]
    found, expected = with_gradients(kernel, inputs), with_gradients(plain, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-30, equal_nan=True)


@each_kernel
def test_number_of_threads_changes_no_bit(name):
    kernel, _, n_inputs = KERNELS[name]
    torch.manual_seed(4)
    inputs, grad = [torch.randn(50_001) for _ in range(n_inputs)], torch.randn(50_001)
    found = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        found.append(with_gradients(kernel, inputs, grad))
    torch.set_num_threads(1)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@each_kernel
def test_gradient_of_a_gradient_is_refused(name):
    kernel, _, n_inputs = KERNELS[name]
    inputs = [torch.randn(3, requires_grad=True) for _ in range(n_inputs)]
    first = torch.autograd.grad(kernel(*inputs).sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        first[0].sum().backward()


def test_other_types_and_places_are_not_taken():
    assert native.suits(torch.ones(2), torch.nn.Parameter(torch.ones(2)))
    assert not native.suits(torch.ones(2), torch.ones(2, dtype=torch.float64))
    assert not native.suits(torch.ones(2, device="meta"))
