"""Verifying finds every changed byte; opening finds what is cut or does not fit together."""

import os
from pathlib import Path

import numpy as np
import pytest

from luban.data.shard_writer import Origin, ShardWriter
from luban.data.shards import TOKEN_BYTES, open_shard
from luban.data.verify import verify_shards
from luban.errors import DataError, DiskError
from luban.files import read_json, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "validation"):
        with ShardWriter(tmp_path, split, 100, columns=("quality",)) as writer:
            for i in range(20):
                origin = Origin("站点" if i % 2 else "site", "CC0", "zh" if i % 2 else "en", i)
                writer.add(f"文{i}", [5 + i, 6, 1], 3, origin, {"quality": i / 10})
    np.save(tmp_path / TOKEN_BYTES, np.ones(100))
    return tmp_path


def test_a_whole_folder_is_verified_split_by_split(folder: Path) -> None:
    assert verify_shards(folder) == {"train": 60, "validation": 60}
    shard = open_shard(folder / "train")
    assert shard.rows()[:, 0].tolist() == list(range(20))
    assert shard.origins() == [("site", "CC0", "en"), ("站点", "CC0", "zh")]
    assert shard.column("quality").tolist() == [i / 10 for i in range(20)]
    assert shard.document_ids()[3] == "文3"


@pytest.mark.parametrize(
    "name", ["bin", "offsets.npy", "ids.txt", "rows.npy", "origins.jsonl", "column-quality.npy"]
)
def test_a_flipped_byte_is_found_in_any_file(folder: Path, name: str) -> None:
    path = folder / f"validation.{name}"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"validation.{name}"):
        verify_shards(folder)


def test_a_missing_file_is_found(folder: Path) -> None:
    (folder / "train.rows.npy").unlink()
    with pytest.raises(DataError, match="train.rows.npy is not what was written"):
        verify_shards(folder)


def test_shards_of_earlier_versions_are_verified_by_their_tokens(folder: Path) -> None:
    summary = read_json(folder / "train.json")
    write_json(folder / "train.json", {k: v for k, v in summary.items() if k != "files"})
    assert verify_shards(folder)["train"] == 60


@pytest.mark.parametrize(
    ("offsets", "says"),
    [
        (range(0, 60, 3), "20 offsets from 0 to 57"),
        ([1, *range(3, 61, 3)], "from 1 to 60"),
        ([], "0 offsets"),
    ],
)
def test_offsets_that_do_not_fit_are_found_on_opening(folder: Path, offsets: object, says: str) -> None:
    np.save(folder / "train.offsets.npy", np.array(list(offsets), np.int64))
    with pytest.raises(DataError, match=says):
        open_shard(folder / "train")


def test_a_broken_offsets_file_is_named(folder: Path) -> None:
    (folder / "train.offsets.npy").write_bytes(b"\x93NUMPY nonsense")
    with pytest.raises(DataError, match=r"train.offsets.npy cannot be read"):
        open_shard(folder / "train")


def test_an_empty_split_says_so(folder: Path) -> None:
    with ShardWriter(folder, "test", 100):
        pass
    with pytest.raises(DataError, match="test holds no tokens"):
        open_shard(folder / "test")


def test_tokens_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="document a has tokens 5 to 70000, the vocabulary 100"),
        ShardWriter(tmp_path, "train", 100) as writer,
    ):
        writer.add("a", np.array([5, 70_000], np.uint32), 2)
    assert not (tmp_path / "train.json").exists()


def test_a_long_document_and_a_large_vocabulary_come_back(tmp_path: Path) -> None:
    tokens = np.arange(300_000) % 70_000
    with ShardWriter(tmp_path, "train", 70_000) as writer:
        writer.add("long", tokens, 1)
    np.save(tmp_path / TOKEN_BYTES, np.ones(70_000))
    assert np.array_equal(open_shard(tmp_path / "train").tokens, tokens)
    assert verify_shards(tmp_path) == {"train": 300_000}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_said_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "train.bin").symlink_to("/dev/full")
    with pytest.raises(DiskError, match="no space left"), ShardWriter(tmp_path, "train", 100) as writer:
        writer.add("a", [5] * 150_000, 50)
    assert not (tmp_path / "train.json").exists()


def test_sources_without_end_take_no_memory_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luban.data import shard_writer

    monkeypatch.setattr(shard_writer, "MOST_ORIGINS", 3)
    with ShardWriter(tmp_path, "train", 100) as writer:
        for i in range(10):
            writer.add(str(i), [1], 1, Origin(f"page {i}", "CC0", "en", i))
        assert len(writer._lines) <= 3
    np.save(tmp_path / TOKEN_BYTES, np.ones(100))
    shard = open_shard(tmp_path / "train")
    assert [shard.origins()[line][0] for _, line in shard.rows()] == [f"page {i}" for i in range(10)]
