"""One token's attention against float64, with everything that families add to it."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from luban.native import tensors as native

pytestmark = pytest.mark.usefixtures("kernels")


@dataclass
class Past:
    keys: Tensor
    values: Tensor
    n_tokens: int


def expected(q, keys, values, turn, mask, scale):
    """Attention written out: q (B, H, D), keys and values (B, K, S, D), the last of them new."""
    q, keys, values = q.double(), keys.double(), values.double()
    if turn is not None:
        cos, sin = (part.double()[:, :, 0] for part in turn)  # (B or 1, 1, W)
        q, new = turned(q, cos, sin), turned(keys[:, :, -1], cos, sin)
        keys = torch.cat([keys[:, :, :-1], new.unsqueeze(2)], dim=2)
    group = q.shape[1] // keys.shape[1]
    keys, values = (t.repeat_interleave(group, dim=1) for t in (keys, values))
    scores = torch.einsum("bhd,bhsd->bhs", q, keys) * scale
    if mask is not None:
        scores = scores + mask.double()[:, :, 0]
    return torch.einsum("bhs,bhsd->bhd", scores.softmax(-1), values)


def turned(x, cos, sin):
    width = cos.shape[-1]
    first, second = x[..., :width].chunk(2, dim=-1)
    return torch.cat([x[..., :width] * cos + torch.cat([second, first], -1) * sin, x[..., width:]], -1)


@pytest.mark.parametrize("shape", [(1, 1, 1, 2, 0), (2, 6, 2, 20, 5), (3, 4, 4, 7, 33), (8, 9, 3, 64, 40)])
@pytest.mark.parametrize("turn_rows", [None, "shared", "own"])
@pytest.mark.parametrize("masked", [None, "rows", "heads"])
def test_reading_is_that_of_float64(shape, turn_rows, masked):
    torch.manual_seed(5)
    n_rows, n_heads, n_kv, dim, n_past = shape
    q, k, v = (
        torch.randn(n_rows, n_heads, dim),
        torch.randn(n_rows, n_kv, dim),
        torch.randn(n_rows, n_kv, dim),
    )
    past = Past(*(torch.randn(n_rows, n_kv, n_past + 3, dim) for _ in "kv"), n_past)
    keys, values = (
        torch.cat([t[:, :, :n_past], new.unsqueeze(2)], 2) for t, new in ((past.keys, k), (past.values, v))
    )
    width = dim // 4 * 2 or 2
    n_turns = {None: 0, "shared": 1, "own": n_rows}[turn_rows]
    turn = (torch.randn(n_turns, 1, 1, width), torch.randn(n_turns, 1, 1, width)) if n_turns else None
    mask = None
    if masked:
        mask = torch.randn(
            n_rows if masked == "rows" else 1, n_heads if masked == "heads" else 1, 1, n_past + 1
        )
        mask[..., : n_past // 2] = -torch.inf
    want = expected(q, keys, values, turn, mask, 0.3)

    with torch.no_grad():
        assert native.can_attend(past)
        got = native.attend(tuple(t.flatten(1).unsqueeze(1) for t in (q, k, v)), past, turn, mask, 0.3)

    assert got.shape == (n_rows, 1, n_heads * dim)
    torch.testing.assert_close(got.double().view_as(want), want, rtol=1e-5, atol=1e-5)
    assert past.n_tokens == n_past + 1
    assert torch.equal(past.values[:, :, n_past], v)
    if turn is None:
        assert torch.equal(past.keys[:, :, n_past], k)


def test_gradients_and_other_dtypes_are_left_to_torch():
    past = Past(torch.zeros(1, 1, 4, 2), torch.zeros(1, 1, 4, 2), 0)
    assert not native.can_attend(past)
    with torch.no_grad():
        assert native.can_attend(past)
        assert not native.can_attend(Past(past.keys.double(), past.values.double(), 0))
