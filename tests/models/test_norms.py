import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from luban.models.norms import RMSNorm


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (2, 4, 3, 8)])
@pytest.mark.parametrize("learns", ["both", "x", "weight"])
def test_the_quick_norm_and_its_gradients_are_torchs(shape, learns):
    torch.manual_seed(1)
    norm = RMSNorm(8, eps=1e-5)
    norm.weight.data.uniform_(0.5, 2).requires_grad_(learns != "x")
    norm.weight.requires_grad_(learns != "x")
    x = torch.randn(shape, requires_grad=learns != "weight")
    twin = x.detach().clone().requires_grad_(x.requires_grad)
    weight = norm.weight.detach().clone().requires_grad_(norm.weight.requires_grad)
    grad = torch.randn(shape)
    ours, theirs = norm(x), F.rms_norm(twin, (8,), weight, 1e-5)
    assert_close(ours, theirs)
    ours.backward(grad)
    theirs.backward(grad)
    for a, b in ((x, twin), (norm.weight, weight)):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert_close(a.grad, b.grad)


def test_without_gradients_and_in_other_types_it_is_torchs_own():
    norm, x = RMSNorm(8, eps=1e-5), torch.randn(3, 8)
    with torch.no_grad():
        assert torch.equal(norm(x), F.rms_norm(x, (8,), norm.weight, 1e-5))
    wide = norm.double()
    assert wide(x.double()).dtype is torch.float64


def test_a_vector_of_zeros_stays_zero_and_has_a_finite_gradient():
    norm, x = RMSNorm(8, eps=1e-6), torch.zeros(2, 8, requires_grad=True)
    norm(x).sum().backward()
    assert torch.equal(norm(x), torch.zeros(2, 8))
    assert torch.isfinite(x.grad).all()
