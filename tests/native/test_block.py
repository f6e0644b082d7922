"""A block in one call against float64."""

import pytest
import torch
from torch.nn import functional as F

from luban.native.tensors import Products, ThinBlock, ThinLinear
from tests.native.test_attention import Past, expected

pytestmark = pytest.mark.usefixtures("kernels")


def rms(x, weight, eps):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.double()


@pytest.mark.parametrize("n_rows", [1, 3, 9, 16])
@pytest.mark.parametrize("sizes", [(2, 1, 6, 10), (4, 2, 16, 33), (9, 3, 8, 70)])
def test_block_is_that_of_float64(n_rows, sizes):
    torch.manual_seed(7)
    n_heads, n_kv, head_dim, hidden = sizes
    dim, n_past, eps, scale = 24, 6, 1e-5, 0.4
    shapes = {
        "q": (n_heads * head_dim, dim), "k": (n_kv * head_dim, dim), "v": (n_kv * head_dim, dim),
        "out": (dim, n_heads * head_dim), "gate": (hidden, dim), "up": (hidden, dim), "down": (dim, hidden),
    }  # fmt: skip
    weights = {name: torch.randn(*shape) / 3 for name, shape in shapes.items()}
    biases = {name: torch.randn(shape[0]) if name in "qkv" else None for name, shape in shapes.items()}
    norms = torch.rand(dim), torch.rand(dim)
    x = torch.randn(n_rows, 1, dim)
    x[0] *= 50  # silu far from zero
    past = Past(*(torch.randn(n_rows, n_kv, n_past + 2, head_dim) for _ in "kv"), n_past)
    turn = torch.randn(n_rows, 1, 1, head_dim), torch.randn(n_rows, 1, 1, head_dim)

    def linear(name, at):
        bias = biases[name]
        return F.linear(at, weights[name].double(), None if bias is None else bias.double())

    normed = rms(x[:, 0].double(), norms[0], eps)
    q, k, v = (linear(name, normed).unflatten(-1, (-1, head_dim)) for name in "qkv")
    keys, values = (
        torch.cat([t[:, :, :n_past].double(), new.unsqueeze(2)], 2)
        for t, new in ((past.keys, k), (past.values, v))
    )
    want = x[:, 0] + linear("out", expected(q, keys, values, turn, None, scale).flatten(1))
    normed = rms(want, norms[1], eps)
    want = want + linear("down", F.silu(linear("gate", normed)) * linear("up", normed))

    block = ThinBlock(
        norms, Products(*(ThinLinear(weights[name], biases[name]) for name in shapes)), eps, scale
    )
    with torch.no_grad():
        assert block.takes(x, past)
        assert not block.takes(x.expand(-1, 2, -1), past)
        assert not block.takes(x, None)
        got = block(x, past, turn, None)
    torch.testing.assert_close(got[:, 0].double(), want, rtol=1e-5, atol=1e-4)
    assert past.n_tokens == n_past + 1
