"""What several processes save, any number reads; what a hostile folder says is never run."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, MetadataIndex

from luban.errors import CheckpointError
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.train.checkpoint import learning_tensors, optimizer_tensors
from luban.train.engine import Course, train
from luban.train.joining import joined
from luban.train.parallel import distribute, group_by_kind, whole
from luban.train.settings import ParallelSettings, TrainSettings
from luban.train.sharded import INDEX, list_shards, load_shards, put, read_shards, save_shards
from tests.train.crew import Crew
from tests.train.test_parallel import Rows, build


def _tensors(model: Any, optimizer: Any) -> dict[str, Tensor]:
    return {
        **{f"model/{k}": t for k, t in learning_tensors(model).items()},
        **{f"optimizer/{k}": t for k, t in optimizer_tensors(model, optimizer).items()},
    }


def _sums(tensors: dict[str, Tensor]) -> dict[str, str]:
    return {k: hashlib.sha256(whole(t).numpy().tobytes()).hexdigest() for k, t in sorted(tensors.items())}


def save(folder: Path, parallel: dict[str, int], reader: Path | None = None) -> dict[str, str]:
    """Train two steps and save; or, given a folder to read, load that instead of training."""
    settings = TrainSettings(
        steps=2, lr=0.01, warmup_share=0, device="cpu", parallel=ParallelSettings(**parallel)
    )
    model = build("llama", n_kv_heads=2)
    with joined(settings) as ranks:
        distribute(model, ranks, settings)
        optimizer = build_optimizer(model, settings)
        group_by_kind(optimizer)
        steps = train(
            Course(
                model=model, batches=Rows("llama", 2), objective=next_token, optimizer=optimizer,
                lr_at=lambda _: settings.lr, settings=settings, ranks=ranks,
            )
        )  # fmt: skip
        next(steps)
        tensors = _tensors(model, optimizer)
        if reader is None:
            save_shards(folder, tensors)
        else:
            with torch.no_grad():
                for t in tensors.values():
                    t.zero_()
            load_shards(reader, tensors)
        return _sums(tensors)


@pytest.mark.parametrize(
    ("n_before", "before", "n_after", "after"),
    [
        (2, {"shard": 0}, 2, {"shard": 0}),
        (4, {"shard": 0}, 2, {"shard": 0}),
        (4, {"shard": 2, "tensor": 2}, 2, {"tensor": 2}),
        (2, {"tensor": 2}, 4, {"shard": 2}),
    ],
)
def test_a_checkpoint_is_the_same_in_any_layout(
    crew: Crew, tmp_path: Path, n_before: int, before: dict[str, int], n_after: int, after: dict[str, int]
) -> None:
    [first, *others] = crew.run(n_before, save, tmp_path / "shards", before)
    assert all(o == first for o in others)
    assert _sums(read_shards(tmp_path / "shards")) == first  # and to one process
    for found in crew.run(n_after, save, tmp_path / "x", after, tmp_path / "shards"):
        assert found == first


def _put(parallel: dict[str, int], path: Path) -> dict[str, str]:
    settings = TrainSettings(device="cpu", parallel=ParallelSettings(**parallel))
    model = build("llama", n_kv_heads=2)
    with joined(settings) as ranks:
        distribute(model, ranks, settings)
        for name, whole_tensor in torch.load(path, weights_only=True).items():
            put(model.get_parameter(name), whole_tensor)
        return _sums(dict(model.named_parameters()))


@pytest.mark.parametrize("parallel", [{"shard": 0}, {"shard": 2, "tensor": 2}])
def test_whole_tensors_reach_their_parts(crew: Crew, tmp_path: Path, parallel: dict[str, int]) -> None:
    tensors = {k: torch.randn_like(p) for k, p in build("llama", n_kv_heads=2).named_parameters()}
    torch.save(tensors, tmp_path / "t.pt")
    for found in crew.run(4, _put, parallel, tmp_path / "t.pt"):
        assert found == _sums(tensors)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder that one process has written."""
    import torch.distributed.checkpoint as dcp

    folder = tmp_path / "shards"
    tensors = {"model/w": torch.arange(6.0).view(2, 3), "model/h": torch.ones(2, dtype=torch.bfloat16)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(tensors, storage_writer=dcp.FileSystemWriter(folder), no_dist=True)
    return folder


def test_a_folder_of_tensors_is_listed_and_read(saved: Path) -> None:
    assert {k: v.shape for k, v in list_shards(saved).items()} == {"model/w": (2, 3), "model/h": (2,)}
    read = read_shards(saved)
    assert torch.equal(read["model/w"], torch.arange(6.0).view(2, 3))
    assert read["model/h"].dtype is torch.bfloat16


class Touch:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def index_of(folder: Path) -> Any:
    return pickle.loads((folder / INDEX).read_bytes())


def test_an_index_that_would_run_code_is_refused(saved: Path, tmp_path: Path) -> None:
    (saved / INDEX).write_bytes(pickle.dumps(Touch(tmp_path / "touched")))
    with pytest.raises(CheckpointError, match="the index names .*open, which is no part of a checkpoint"):
        read_shards(saved)
    assert not (tmp_path / "touched").exists()


def _byte_value(saved: Path, payload: bytes) -> None:
    """Plant a value that torch's own planner would unpickle where the tensor w was."""
    index = index_of(saved)
    (saved / "__9_0.distcp").write_bytes(payload)
    name = "model/w"
    index.state_dict_metadata[name] = BytesStorageMetadata()
    place = next(v for k, v in index.storage_data.items() if k.fqn == name)
    index.storage_data = {k: v for k, v in index.storage_data.items() if k.fqn != name}
    place.relative_path, place.offset, place.length = "__9_0.distcp", 0, len(payload)
    index.storage_data[MetadataIndex(name)] = place
    (saved / INDEX).write_bytes(pickle.dumps(index))


def test_a_value_that_would_run_code_is_refused(saved: Path, tmp_path: Path) -> None:
    import torch.distributed.checkpoint as dcp

    payload = io.BytesIO()
    torch.save(Touch(tmp_path / "touched"), payload)
    _byte_value(saved, payload.getvalue())
    tensors = {"model/w": torch.zeros(2, 3)}
    with pytest.raises(CheckpointError, match="BytesStorageMetadata, which is no part of a checkpoint"):
        load_shards(saved, tensors)
    assert not (tmp_path / "touched").exists()
    # The attack is one: torch's own reader falls for it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(dict(tensors), storage_reader=dcp.FileSystemReader(saved), no_dist=True)
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("path", ["../outside.distcp", "/etc/passwd", "sub/__0_0.distcp", "__0_0.distcp\n"])
def test_a_path_out_of_the_folder_is_refused(saved: Path, path: str) -> None:
    index = index_of(saved)
    for place in index.storage_data.values():
        place.relative_path = path
    (saved / INDEX).write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match="names the file"):
        read_shards(saved)


def test_a_tensor_larger_than_its_files_is_refused_before_memory_is_taken(saved: Path) -> None:
    index = index_of(saved)
    index.state_dict_metadata["model/w"].size = torch.Size([1 << 40, 1 << 10])
    (saved / INDEX).write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match="is larger than the files"):
        read_shards(saved)


@pytest.mark.parametrize(
    "damage", [b"", b"\x80\x04garbage", pickle.dumps({"a": 1}), pickle.dumps(Metadata({}))[:-9]]
)
def test_a_damaged_index_is_an_error_that_names_it(saved: Path, damage: bytes) -> None:
    (saved / INDEX).write_bytes(damage)
    with pytest.raises(CheckpointError, match=rf"{INDEX} (cannot be read|is no index)"):
        read_shards(saved)


def test_a_damaged_part_is_an_error_that_names_the_folder(saved: Path) -> None:
    part = next(saved.glob("*.distcp"))
    part.write_bytes(b"\0" * part.stat().st_size)
    with pytest.raises(CheckpointError, match="shards failed in process 0"):
        read_shards(saved)


def test_another_shape_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model/w has the shape \(2, 3\), not \(3, 3\)"):
        load_shards(saved, {"model/w": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError, match=r"shape \(2, 3\) was saved where the model has \(3, 3\)"):
        put(torch.zeros(3, 3), torch.zeros(2, 3))
