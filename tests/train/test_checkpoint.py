"""A checkpoint is whole or absent, and gives back exactly what was put in."""

import errno
import os

import pytest
import torch

from luban.errors import CheckpointError, DiskError
from luban.files import read_json, write_json
from luban.log import Log
from luban.optim.build import build_optimizer
from luban.train import checkpoint
from luban.train.engine import train
from tests.train.toy_run import Rows, Toy, course, settings


@pytest.fixture
def trained():
    model, chosen = Toy(), settings(steps=3)
    optimizer = build_optimizer(model, chosen, lambda name: 0.5 if "layer" in name else 1.0)
    list(train(course(model, Rows(), optimizer=optimizer)))
    return model, optimizer


def save(root, step, model, optimizer, best=0):
    weights = checkpoint.model_tensors(model)
    checkpoint.save_checkpoint(checkpoint.best_folder(root, best), weights, {})
    state = {"step": step, "best": {"step": best}}
    folder = checkpoint.step_folder(root, step)
    checkpoint.save_checkpoint(folder, weights, state, checkpoint.optimizer_tensors(model, optimizer))
    return folder


def test_weights_buffers_and_optimizer_come_back_bit_for_bit(tmp_path, trained):
    model, optimizer = trained
    folder = save(tmp_path, 3, model, optimizer)
    other = Toy()
    other_optimizer = build_optimizer(other, settings(), lambda name: 0.5 if "layer" in name else 1.0)
    checkpoint.load_weights(folder, other)
    checkpoint.load_optimizer(folder, other, other_optimizer)
    assert other.head.weight is other.stem.weight
    for tensors in (
        (checkpoint.model_tensors(model), checkpoint.model_tensors(other)),
        (
            checkpoint.optimizer_tensors(model, optimizer),
            checkpoint.optimizer_tensors(other, other_optimizer),
        ),
    ):
        assert tensors[0].keys() == tensors[1].keys()
        for name, tensor in tensors[0].items():
            assert tensor.dtype == tensors[1][name].dtype
            assert torch.equal(tensor, tensors[1][name]), name
    assert "norm.running_mean" in checkpoint.model_tensors(model)


def test_a_write_that_fails_leaves_no_trace_and_the_old_one_whole(tmp_path, trained, monkeypatch):
    folder = save(tmp_path, 3, *trained)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(checkpoint, "_write_tensors", full_disk)
    with pytest.raises(DiskError, match="no space left"):
        checkpoint.save_checkpoint(folder, {}, {})
    assert sorted(tmp_path.rglob("*")) == before
    checkpoint.verify_checkpoint(folder)


def full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_apart_from_other_refusals_of_safetensors(tmp_path):
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)) as e:
        checkpoint._write_tensors({"w": torch.ones(2)}, tmp_path / "absent" / "model.safetensors")
    assert e.value.errno == errno.ENOENT


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.parametrize("name", [checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.STATE, "manifest.json"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_loudly(
    tmp_path, trained, capsys, damage, name
):
    older, newer = (save(tmp_path, step, *trained) for step in (3, 6))
    path = newer / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-1])
    if (damage, name) == ("flip", "manifest.json"):
        write_json(path, {**read_json(older / name), "format": 99})
    if (damage, name) == ("cut", "manifest.json"):
        path.write_text("{")
    assert checkpoint.newest_checkpoint(tmp_path, Log()) == older
    assert "warning: checkpoint step-0000006 is not usable" in capsys.readouterr().err


def test_a_checkpoint_whose_best_weights_are_damaged_is_not_used(tmp_path, trained):
    older = save(tmp_path, 3, *trained, best=0)
    save(tmp_path, 6, *trained, best=6)
    (checkpoint.best_folder(tmp_path, 6) / checkpoint.MODEL).unlink()
    assert checkpoint.newest_checkpoint(tmp_path, Log(quiet=True)) == older


def test_half_written_folders_are_never_read(tmp_path, trained):
    folder = save(tmp_path, 3, *trained)
    folder.rename(tmp_path / ".step-0000009.tmp")
    assert checkpoint.newest_checkpoint(tmp_path, Log(quiet=True)) is None
    assert [p.name for p in tmp_path.iterdir()] == ["best-0000000"]


def test_the_last_two_and_their_best_are_kept(tmp_path, trained):
    for step, best in ((3, 0), (6, 4), (9, 4)):
        save(tmp_path, step, *trained, best=best)
    (tmp_path / ".step-0000002.tmp").mkdir()
    checkpoint.prune_checkpoints(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-0000004", "step-0000006", "step-0000009"]


def test_weights_of_another_model_are_refused_by_name(tmp_path, trained):
    folder = save(tmp_path, 3, *trained)
    with pytest.raises(CheckpointError, match="does not fit this model: .*"):
        checkpoint.load_weights(folder, torch.nn.Linear(2, 2))
