"""A checkpoint is whole or absent, and gives back exactly what was put in."""

import errno
import json
import os

import pytest
import torch

from luban import __version__
from luban.errors import CheckpointError, DiskError
from luban.files import hash_json, read_json, write_json
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
    weights = {checkpoint.MODEL: checkpoint.learning_tensors(model)}
    checkpoint.save_checkpoint(checkpoint.best_folder(root, best), weights, {})
    state = {"step": step, "best": {"step": best}}
    folder = checkpoint.step_folder(root, step)
    optimizer_state = {checkpoint.OPTIMIZER: checkpoint.optimizer_tensors(model, optimizer)}
    checkpoint.save_checkpoint(folder, weights | optimizer_state, state)
    return folder


def rewrite_manifest(folder, **changes):
    """Write a manifest that agrees with itself."""
    manifest = {k: v for k, v in read_json(folder / "manifest.json").items() if k != "sha256"} | changes
    write_json(folder / "manifest.json", manifest | {"sha256": hash_json(manifest)})


def names(root):
    return sorted(p.name for p in root.iterdir())


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
    monkeypatch.setattr(checkpoint, "write_tensors", full_disk)
    with pytest.raises(DiskError, match="no space left"):
        checkpoint.save_checkpoint(folder, {checkpoint.MODEL: {}}, {})
    assert sorted(tmp_path.rglob("*")) == before
    checkpoint.verify_checkpoint(folder)


def full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_apart_from_other_refusals_of_safetensors(tmp_path):
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)) as e:
        checkpoint.write_tensors({"w": torch.ones(2)}, tmp_path / "absent" / "model.safetensors")
    assert e.value.errno == errno.ENOENT


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.parametrize("kind", ["step", "best"])
def test_damage_to_any_file_of_the_newest_falls_back_to_the_one_before_with_one_line_that_names_it(
    tmp_path, trained, capsys, damage, kind
):
    older, newer = save(tmp_path, 3, *trained, best=0), save(tmp_path, 6, *trained, best=6)
    damaged = newer if kind == "step" else checkpoint.best_folder(tmp_path, 6)
    for path in sorted(damaged.iterdir()):
        kept = {p: p.read_bytes() for p in newer.parent.rglob("*") if p.is_file()}
        whole = path.read_bytes()
        places = (
            range(0, len(whole), 9) if path.name == "manifest.json" else [0, len(whole) // 2, len(whole) - 1]
        )
        for place in places if damage == "flip" else places[1:2]:
            if damage == "remove":
                path.unlink()
            else:
                flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
                path.write_bytes(flipped if damage == "flip" else whole[:place])
            if flipped_only_space(whole, path):
                continue
            assert checkpoint.newest_checkpoint(tmp_path, Log()) == older
            line = capsys.readouterr().err
            assert line.startswith("warning: checkpoint step-0000006 is not usable: ")
            assert path.name in line
            assert line.endswith("; going back to the one before\n")
            assert line.count("\n") == 1
            assert not newer.exists()
            newer.mkdir()
            for p, content in kept.items():
                p.write_bytes(content)


def flipped_only_space(whole, path):
    """Whether JSON says the same in spite of the damage: a space where a line ended, for instance."""
    try:
        return json.loads(whole) == json.loads(path.read_bytes())
    except (ValueError, FileNotFoundError):
        return False


def test_a_file_that_cannot_be_read_is_as_good_as_damaged(tmp_path, trained, monkeypatch, capsys):
    older, newer = (save(tmp_path, step, *trained) for step in (3, 6))
    plain = checkpoint.hash_path

    def bad_sector(path):
        if path == newer / checkpoint.OPTIMIZER:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return plain(path)

    monkeypatch.setattr(checkpoint, "hash_path", bad_sector)
    assert checkpoint.newest_checkpoint(tmp_path, Log()) == older
    assert (
        f"{newer / checkpoint.OPTIMIZER} cannot be read: {os.strerror(errno.EIO)}" in capsys.readouterr().err
    )


def test_when_none_is_usable_nothing_is_removed_and_no_run_starts_over(tmp_path, trained):
    for step in (3, 6):
        (save(tmp_path, step, *trained) / checkpoint.MODEL).write_bytes(b"")
    before = names(tmp_path)
    with pytest.raises(
        CheckpointError, match="no checkpoint in .* is usable; the newest: .*step-0000006"
    ) as e:
        checkpoint.newest_checkpoint(tmp_path, Log(quiet=True))
    assert "to start anew" in e.value.fix
    assert names(tmp_path) == before


@pytest.mark.parametrize("kind", ["step", "best"])
def test_a_checkpoint_of_another_version_is_refused_by_both_names_and_left_as_it_is(tmp_path, trained, kind):
    save(tmp_path, 3, *trained, best=0)
    newer = save(tmp_path, 6, *trained, best=6)
    (tmp_path / ".step-0000009.tmp").mkdir()
    before = names(tmp_path)
    rewrite_manifest(
        newer if kind == "step" else checkpoint.best_folder(tmp_path, 6), format=99, luban="7.1.0"
    )
    with pytest.raises(CheckpointError, match="written by Luban 7.1.0 in checkpoint format 99") as e:
        checkpoint.newest_checkpoint(tmp_path, Log(quiet=True))
    assert f"this is Luban {__version__}, which reads format {checkpoint.FORMAT}" in e.value.problem
    assert names(tmp_path) == before


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


def test_a_replacement_that_was_killed_half_way_is_undone(tmp_path, trained):
    folder = save(tmp_path, 3, *trained)
    folder.rename(tmp_path / "step-0000003.replaced-77")
    assert checkpoint.newest_checkpoint(tmp_path, Log(quiet=True)) == folder
    (tmp_path / "step-0000003.replaced-78").mkdir()
    assert checkpoint.newest_checkpoint(tmp_path, Log(quiet=True)) == folder
    assert names(tmp_path) == ["best-0000000", "step-0000003"]


@pytest.mark.parametrize(
    ("keep_last", "left"),
    [
        (1, ["best-0000004", "step-0000009"]),
        (2, ["best-0000004", "step-0000006", "step-0000009"]),
        (3, ["best-0000000", "best-0000004", "step-0000003", "step-0000006", "step-0000009"]),
        (9, ["best-0000000", "best-0000004", "step-0000003", "step-0000006", "step-0000009"]),
        (0, []),
    ],
)
def test_so_many_of_the_newest_and_their_best_are_kept(tmp_path, trained, keep_last, left):
    for step, best in ((3, 0), (6, 4), (9, 4)):
        save(tmp_path, step, *trained, best=best)
    checkpoint.prune_checkpoints(tmp_path, keep_last)
    assert names(tmp_path) == left


def test_pruning_touches_only_checkpoints_that_are_finished(tmp_path, trained):
    save(tmp_path, 3, *trained)
    others = ["best-0000004-copy", ".best-0000006.tmp", "notes", "stepwise"]
    for name in others:
        (tmp_path / name).mkdir()
    checkpoint.prune_checkpoints(tmp_path, 0)
    assert names(tmp_path) == sorted(others)


def test_pruning_keeps_all_while_it_cannot_tell_what_is_needed(tmp_path, trained):
    older = save(tmp_path, 3, *trained, best=0)
    save(tmp_path, 6, *trained, best=6)
    (older / checkpoint.STATE).unlink()
    before = names(tmp_path)
    checkpoint.prune_checkpoints(tmp_path, 2)
    assert names(tmp_path) == before


def test_steps_are_ordered_as_numbers_however_many_digits_they_have(tmp_path, trained):
    save(tmp_path, 9_999_999, *trained)
    newest = save(tmp_path, 10_000_000, *trained)
    assert checkpoint.newest_checkpoint(tmp_path, Log(quiet=True)) == newest
    checkpoint.prune_checkpoints(tmp_path, 1)
    assert names(tmp_path) == ["best-0000000", "step-10000000"]


def test_what_does_not_learn_is_not_in_it(tmp_path, trained):
    model, optimizer = trained
    model.layer.requires_grad_(False)
    folder = save(tmp_path, 3, model, optimizer)
    assert set(checkpoint.read_tensors(folder / checkpoint.MODEL)) == {
        "stem.weight", "norm.weight", "norm.bias",
        "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    }  # fmt: skip
    other = Toy()
    with pytest.raises(CheckpointError, match="layer.bias and 1 more differ"):
        checkpoint.load_weights(folder, other)
    other.layer.requires_grad_(False)
    checkpoint.load_weights(folder, other)


def test_weights_of_another_model_are_refused_by_name(tmp_path, trained):
    folder = save(tmp_path, 3, *trained)
    with pytest.raises(CheckpointError, match="does not fit this model: .*"):
        checkpoint.load_weights(folder, torch.nn.Linear(2, 2))
