import torch
from torch.testing import assert_close

from luban.models.config import TransformerConfig
from luban.models.positions import document_positions, lay_out
from luban.models.rotary import rotate, rotation


def heads_of(width, theta):
    return TransformerConfig(
        dim=8, n_layers=1, n_heads=1, n_kv_heads=1, head_dim=width, ffn_dim=8, rope_theta=theta
    )


def test_positions_restart_with_each_document():
    documents = torch.tensor([[1, 1, 1, 2, 2, 0], [0, 0, 5, 5, 7, 7]])
    assert document_positions(documents).tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 0, 1]]


def test_rows_that_are_one_document_need_no_mask():
    tokens = torch.zeros(2, 3, dtype=torch.long)
    assert lay_out(tokens, torch.tensor([[1, 1, 1], [2, 2, 2]]), None, 0).documents is None
    assert lay_out(tokens, torch.tensor([[1, 1, 1], [2, 2, 0]]), None, 0).documents is not None


def test_rotation_leaves_position_zero_and_all_lengths_alone():
    x = torch.randn(2, 3, 5, 8)
    turned = rotate(x, rotation(torch.arange(5)[None], heads_of(8, 10_000.0), torch.float32))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_a_rotated_score_depends_on_the_distance_alone():
    q, k = torch.randn(8), torch.randn(8)
    turned = [
        rotate(v.expand(1, 1, 9, 8), rotation(torch.arange(9)[None], heads_of(8, 100.0), torch.float32))[0, 0]
        for v in (q, k)
    ]
    assert_close(turned[0][7] @ turned[1][3], turned[0][4] @ turned[1][0])
    assert not torch.isclose(turned[0][7] @ turned[1][3], turned[0][7] @ turned[1][4])
