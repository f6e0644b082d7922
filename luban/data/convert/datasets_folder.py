"""Folders of Hugging Face's `datasets` (save_to_disk), read and written without that library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luban.data.convert.columns import Columns
from luban.data.convert.records import Row
from luban.data.encoding import Unreadable
from luban.data.extras import load_extra
from luban.data.tables import Numbered
from luban.files import hash_json, write_json

STATE, SPLITS, INFO = "state.json", "dataset_dict.json", "dataset_info.json"
BATCH_ROWS = 1000
SHARD_CHARS = 500_000_000


def is_dataset(folder: Path) -> bool:
    """Whether the folder is what `save_to_disk` writes."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def read_dataset(folder: Path) -> Iterator[Numbered]:
    """Yield numbered rows; those of several splits one after the other, each with its `split`.

    Numbers that stand for names of labels (ClassLabel) become the names.
    """
    if not (folder / SPLITS).is_file():
        yield from enumerate(_rows(folder), start=1)
        return
    number = 0
    for split in _json(folder / SPLITS)["splits"]:
        if Path(split).name != split:
            raise Unreadable(f"{SPLITS} names the split {split!r}, which is no folder in it")
        for row in _rows(folder / split):
            number += 1
            yield number, {**row, "split": row.get("split", split)}


def _rows(folder: Path) -> Iterator[Row]:
    pa = load_extra("pyarrow")
    names = _label_names(folder / INFO)
    for file in _json(folder / STATE)["_data_files"]:
        path = folder / Path(file["filename"]).name
        try:
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as batches:
                for batch in batches:
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        for row in batch.slice(start, BATCH_ROWS).to_pylist():
                            yield _named(row, names) if names else row
        except (pa.ArrowException, OSError) as e:
            raise Unreadable(f"{path.name} cannot be read: {e}") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise Unreadable(f"{path.name} cannot be read: {e}") from None


def _label_names(path: Path) -> dict[str, list[str]]:
    features = (_json(path).get("features") or {}) if path.is_file() else {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


def _named(row: Row, names: dict[str, list[str]]) -> Row:
    def name(column: str) -> Any:
        value = row[column]
        known = names[column]
        return known[value] if isinstance(value, int) and 0 <= value < len(known) else None

    return {**row, **{column: name(column) for column in names if column in row}}


class DatasetWriter:
    """Writes a folder that `datasets.load_from_disk` opens: Arrow streams and two small JSON files."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._folder, self._columns = folder, Columns()
        self._rows: list[Row] = []
        self._names: list[str] = []
        self._n_chars = self._n_bytes = self._n_rows = 0
        self._file: Any = None

    def look(self, row: Row) -> None:
        """Learn the columns' types."""
        self._columns.look(row)

    def add(self, row: Row) -> None:
        """Append a row that fits the columns."""
        fitted = self._columns.fitted(row)
        self._rows.append(fitted)
        self._n_rows += 1
        self._n_chars += sum(len(v) for v in fitted.values() if isinstance(v, str))
        if len(self._rows) >= BATCH_ROWS:
            self._flush()
        if self._n_chars >= SHARD_CHARS:
            self._end_shard()

    def close(self) -> None:
        """Write what is left, and what the folder holds."""
        self._flush()
        self._end_shard()
        features = self._columns.features()
        mark = hash_json([features, self._n_rows, self._n_bytes])[:16]
        state: Row = {
            "_data_files": [{"filename": name} for name in self._names],
            "_fingerprint": mark,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
        write_json(self._folder / STATE, state)
        write_json(self._folder / INFO, info)

    def _flush(self) -> None:
        pa = load_extra("pyarrow")
        schema = self._columns.schema()
        if self._file is None:
            name = f"data-{len(self._names):05d}.arrow"
            self._names.append(name)
            self._file = pa.ipc.new_stream(str(self._folder / name), schema)
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=schema)
            self._n_bytes += table.nbytes
            self._file.write_table(table)
        self._rows = []

    def _end_shard(self) -> None:
        self._flush()
        self._file.close()
        self._file, self._n_chars = None, 0
