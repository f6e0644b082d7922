"""The mean of checkpoints, and when it takes the best one's place."""

import pytest
import torch

from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tasks.translate_average import average_if_better
from luban.train.checkpoint import MODEL, learning_tensors, write_tensors


def model(seed: int):
    config = FAMILIES["original"].config("tiny", vocab_size=20, dim=8, n_layers=1, n_heads=2, ffn_dim=8)
    return build_model(config, seed=seed)


def checkpoint(root, step: int, seed: int):
    folder = root / f"step-{step:07d}"
    folder.mkdir(parents=True)
    write_tensors(learning_tensors(model(seed)), folder / MODEL)


def average(tmp_path, losses, n=2):
    found, looks = model(9), iter(losses)
    told = average_if_better(found, tmp_path, n, lambda: {"loss": next(looks)}, Log(quiet=True))
    return told, learning_tensors(found)


def test_equal_checkpoints_have_themselves_as_their_mean(tmp_path):
    for step in (5, 10, 15):
        checkpoint(tmp_path, step, seed=1)
    told, found = average(tmp_path, [2.0, 1.0], n=3)
    assert told["steps"] == [15, 10, 5]
    for name, tensor in learning_tensors(model(1)).items():
        assert torch.equal(found[name], tensor)


def test_the_newest_ones_are_averaged(tmp_path):
    for step, seed in ((5, 1), (10, 2), (15, 3)):
        checkpoint(tmp_path, step, seed)
    told, found = average(tmp_path, [2.0, 1.0])
    assert told["kept"] == "mean"
    second, third = learning_tensors(model(2)), learning_tensors(model(3))
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, (second[name] + third[name]) / 2)


def test_a_worse_mean_leaves_the_best_weights_as_they_were(tmp_path):
    for step in (5, 10):
        checkpoint(tmp_path, step, seed=1)
    told, found = average(tmp_path, [1.0, 2.0])
    assert told["kept"] == "best"
    for name, tensor in learning_tensors(model(9)).items():
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_nothing_is_averaged_where_there_are_not_two(tmp_path, n):
    checkpoint(tmp_path, 5, seed=1)
    told, _ = average(tmp_path, [], n=n)
    assert told == {}
