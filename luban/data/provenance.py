"""From a window of packed documents back to the documents: what is in it, and where that came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.documents import document_files
from luban.data.extras import load_extra
from luban.data.shards import Shard
from luban.data.streams import Stream
from luban.errors import DataError
from luban.files import Manifest
from luban.runner import input_key

UNKNOWN = "unknown"
TEXT_CHARS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What a window holds of one document."""

    id: str
    source: str
    licence: str
    language: str
    shards: str
    """The shards folder and split."""
    tokens: tuple[int, int]
    """First token of the document that the window holds, and one past the last."""
    n_tokens: int
    """Tokens of the whole document, its end token included."""
    row: int | None
    """Its row in the documents folder, from 0."""
    text: str | None = None
    """How the document begins, if the documents folder is still as it was."""


def pieces(stream: Stream, start: int, context: int) -> list[Piece]:
    """Return what a window that begins at `start` of a stream holds, in order.

    The token that the last place predicts belongs to the window too.
    """
    end = min(start + context + 1, stream.n_tokens)
    first = int(np.searchsorted(stream.offsets, start, "right")) - 1
    last = int(np.searchsorted(stream.offsets, end - 1, "right")) - 1
    shard, numbers = stream.shard, [stream.document(nth) for nth in range(first, last + 1)]
    ids, origins = _ids(shard, numbers), _origins(shard, numbers)
    found = []
    for nth, number in zip(range(first, last + 1), numbers, strict=True):
        begin, stop = int(stream.offsets[nth]), int(stream.offsets[nth + 1])
        source, licence, language, row = origins[number]
        piece = Piece(
            id=ids[number],
            source=source,
            licence=licence,
            language=language,
            shards=str(shard.prefix),
            tokens=(max(start, begin) - begin, min(end, stop) - begin),
            n_tokens=stop - begin,
            row=row,
        )
        found.append(piece)
    return found


def with_texts(found: Sequence[Piece]) -> list[Piece]:
    """Add how each document begins, where the folder that the shards were made from still has it."""
    by_folder: dict[str, list[Piece]] = {}
    for piece in found:
        by_folder.setdefault(str(Path(piece.shards).parent), []).append(piece)
    texts: dict[tuple[str, str], str] = {}
    for shards, its in by_folder.items():
        documents = documents_of(Path(shards))
        rows = {piece.row for piece in its if piece.row is not None}
        read = read_rows(documents, rows) if documents else {}
        for piece in its:
            row = read.get(piece.row) if piece.row is not None else None
            if row is not None and str(row["id"]) == piece.id:
                texts[piece.shards, piece.id] = row["text"][:TEXT_CHARS]
    return [replace(piece, text=texts.get((piece.shards, piece.id))) for piece in found]


def documents_of(shards: Path) -> Path | None:
    """Return the documents folder that shards were made from, if it is there and has not changed."""
    made_by = Manifest.read(shards)
    given = made_by.inputs.get("documents") if made_by else None
    if not given:
        return None
    folder = Path(given["path"])
    try:
        return folder if input_key(folder) == given["key"] else None
    except DataError:  # gone, or not whole
        return None


def read_rows(folder: Path, rows: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """Return these rows of a documents folder, reading only the parts of the files that hold them."""
    pq = load_extra("pyarrow.parquet")
    found: dict[int, Mapping[str, Any]] = {}
    wanted, before = sorted(set(rows)), 0
    for path in document_files(folder):
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.metadata.num_row_groups):
                n = parquet.metadata.row_group(group).num_rows
                here = [row - before for row in wanted if before <= row < before + n]
                if here:
                    table = parquet.read_row_group(group, columns=["id", "text"]).take(here)
                    pairs = zip(here, table.to_pylist(), strict=True)
                    found |= {before + row: content for row, content in pairs}
                before += n
    return found


def _ids(shard: Shard, numbers: Sequence[int]) -> dict[int, str]:
    wanted, last = set(numbers), max(numbers)
    found = {}
    with shard.beside("ids.txt").open(encoding="utf-8", newline="\n") as f:
        for number, line in enumerate(f):
            if number in wanted:
                found[number] = line.rstrip("\n")
            if number >= last:
                break
    return found


def _origins(shard: Shard, numbers: Sequence[int]) -> dict[int, tuple[str, str, str, int | None]]:
    try:
        rows = shard.rows()
    except DataError:  # shards of earlier versions do not say
        return dict.fromkeys(numbers, (UNKNOWN, UNKNOWN, UNKNOWN, None))
    lines = shard.origins()
    return {number: (*lines[int(rows[number, 1])], int(rows[number, 0])) for number in numbers}
