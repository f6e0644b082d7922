"""Operations per token, counted by hand."""

from torch import nn

from luban.train.speed import flops_per_token


def layers() -> nn.ModuleDict:
    return nn.ModuleDict({"stem": nn.Embedding(10, 4), "a": nn.Linear(4, 8), "b": nn.Linear(8, 4)})


def test_every_matrix_costs_six_operations_a_weight_and_look_ups_none() -> None:
    assert flops_per_token(layers()) == 6 * (32 + 32)


def test_a_tied_output_head_counts_as_a_matrix() -> None:
    model = layers()
    model["head"] = nn.Linear(4, 10, bias=False)
    model["head"].weight = model["stem"].weight
    assert flops_per_token(model) == 6 * (32 + 32 + 40)


def test_frozen_matrices_cost_less_and_least_below_all_that_learns() -> None:
    model = layers()
    model["stem"].requires_grad_(False)
    model["a"].requires_grad_(False)
    assert flops_per_token(model) == 2 * 32 + 6 * 32
    model = layers()
    model["b"].requires_grad_(False)
    assert flops_per_token(model) == 6 * 32 + 4 * 32
