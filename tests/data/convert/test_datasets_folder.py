"""Folders of Hugging Face's `datasets`, there and back, with that library where it is installed."""

import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.datasets_folder import read_dataset
from luban.data.convert.run import convert_stage
from luban.data.convert.settings import ConvertSettings
from luban.data.encoding import Unreadable
from luban.files import write_jsonl
from luban.log import Log
from tests.data.convert.conftest import Convert

ROWS: list[dict[str, Any]] = [
    {"text": "中文", "n": 1, "spans": [{"start": 0, "end": 1, "type": "A"}], "x": None},
    {"text": "b", "n": 2, "spans": [], "x": 0.5},
]


def folder_of(rows: Any, tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "a.jsonl", rows)
    out = tmp_path / "folder"
    out.mkdir()
    convert_stage(ConvertSettings(to="datasets"), {"data": tmp_path / "a.jsonl"}, out, Log())
    return out


def test_rows_come_back_from_a_folder(tmp_path: Path) -> None:
    assert [row for _, row in read_dataset(folder_of(ROWS, tmp_path))] == ROWS


def test_their_library_loads_what_we_write(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    loaded = datasets.load_from_disk(str(folder_of(ROWS, tmp_path)))
    assert loaded.to_list() == ROWS
    assert loaded.features["n"].dtype == "int64"


def test_their_library_loads_the_parquet_that_we_write(go: Convert, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    path = go(ROWS, "parquet", ".parquet")
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert loaded.to_list() == ROWS


def test_we_read_what_their_library_writes_with_names_for_labels_and_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    parts = {
        name: datasets.Dataset.from_list([{"text": name, "label": i}], features=features)
        for i, name in enumerate(("train", "test"))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "d"))
    assert [row for _, row in read_dataset(tmp_path / "d")] == [
        {"text": "train", "label": "neg", "split": "train"},
        {"text": "test", "label": "pos", "split": "test"},
    ]


def test_a_folder_with_a_part_missing_or_outside_is_refused(tmp_path: Path) -> None:
    folder = folder_of(ROWS, tmp_path)
    (folder / "data-00000.arrow").write_bytes(b"no arrow")
    with pytest.raises(Unreadable, match="data-00000.arrow cannot be read"):
        list(read_dataset(folder))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["../folder"]}))
    with pytest.raises(Unreadable, match="which is no folder in it"):
        list(read_dataset(folder))
