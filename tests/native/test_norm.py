import pytest
import torch

from luban.native import tensors as native

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 2, 33), (8, 576), (0, 5)])
def test_norm_is_that_of_float64(shape):
    torch.manual_seed(2)
    x, weight = torch.randn(*shape), torch.randn(shape[-1])
    wide = x.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    torch.testing.assert_close(native.rms_norm(x, weight, 1e-5).double(), expected, rtol=1e-5, atol=1e-6)
