"""Turning queries and keys, and their gradients, against PyTorch's steps."""

import pytest
import torch

from luban.models.rotary import rotate
from luban.native import tensors as native

pytestmark = pytest.mark.usefixtures("kernels")


def turn(n_rows, n_tokens, width):
    angles = torch.randn(n_rows, 1, n_tokens, width // 2)
    sin = angles.sin()
    return torch.cat([angles.cos()] * 2, -1), torch.cat([-sin, sin], -1)


def with_gradient(function, x, grad, angles):
    x = x.detach().requires_grad_()
    y = function(x, angles)
    return y.detach(), *torch.autograd.grad(y, x, grad)


@pytest.mark.parametrize("n_rows", [1, 2])
@pytest.mark.parametrize(
    ("shape", "width"),
    [((2, 3, 5, 64), 64), ((2, 3, 5, 6), 6), ((2, 1, 4, 80), 40), ((2, 2, 0, 8), 8), ((2, 2, 7, 9), 2)],
)
def test_turn_and_its_gradient_are_torchs(n_rows, shape, width):
    torch.manual_seed(1)
    angles = turn(n_rows, shape[2], width)
    x, grad = torch.randn(shape), torch.randn(shape)
    mixed = x.transpose(1, 2).contiguous().transpose(1, 2)  # as a projection leaves it
    gaps = torch.stack([grad, grad], -1)[..., 0]
    for a, b in ((x, grad), (mixed, grad), (mixed, gaps), (gaps, x)):
        found, expected = (with_gradient(f, a, b, angles) for f in (native.rotate, rotate))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_number_of_threads_changes_no_bit():
    torch.manual_seed(2)
    x, angles = torch.randn(2, 3, 200, 64), turn(1, 200, 64)
    found = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        found.append(with_gradient(native.rotate, x, x, angles))
    torch.set_num_threads(1)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))
