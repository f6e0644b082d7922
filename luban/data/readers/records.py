"""What readers take and give: an opened file, its records, and what of it could not be read."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from luban.data.encoding import Unreadable
from luban.data.settings import ReadSettings

SPOOL_BYTES = 16_000_000  # more goes to a temporary file
RATIO_BYTES = 10_000_000
"""So much is unpacked of a file, and of a member, before the ratio of packing is judged."""
HTML = {"format": "html"}
"""Marks a record as a page, of which the main text is taken later."""

Row = dict[str, Any]
Span = tuple[int, int]
"""A part of a file: [first, end) in bytes of JSON lines, or in row groups of parquet."""


@dataclass(frozen=True, slots=True)
class Record:
    """One text of a file, as found.

    `position` is its place in the file, which does not depend on how the file is cut for reading; `row`
    is what stands beside the text, of which the settings choose; `extra` goes along in any case.
    """

    position: int
    text: Any
    row: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    line: int | None = None
    """Line or row number from 1, counted from the beginning of what is read."""
    file: str = ""
    """The file or member it is in."""
    source: str = ""
    """Its own address, if it has one."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A file, a member or a line that cannot be read."""

    file: str
    line: int | None
    reason: str


Found = Iterator[Record | Broken]


@dataclass(slots=True)
class Budget:
    """What unpacking one file may still cost."""

    settings: ReadSettings
    packed_bytes: int
    """Size of the file on the disk, of which everything is unpacked."""
    unpacked_bytes: int = 0
    members: int = 0
    audio: list[str] = field(default_factory=list)
    """Recordings found in it."""
    transcribed: set[str] = field(default_factory=set)
    """File names of recordings that its rows are transcripts of."""

    def member(self) -> None:
        """Count a member of an archive; raises Unreadable when there are too many."""
        self.members += 1
        if self.members > self.settings.max_members:
            raise Spent(f"more than max_members = {self.settings.max_members}; the rest was not read")

    def unpack(self, size: int) -> None:
        """Count unpacked bytes; raises Unreadable when there are too many."""
        self.unpacked_bytes += size
        if self.unpacked_bytes > self.settings.max_unpacked_bytes:
            raise Spent(
                f"unpacks to more than max_unpacked_bytes = {self.settings.max_unpacked_bytes}; "
                "the rest was not read"
            )
        limit = self.settings.max_ratio
        if self.unpacked_bytes > max(RATIO_BYTES, limit * self.packed_bytes):
            raise Spent(
                f"a bomb: {self.packed_bytes} bytes unpack to {self.unpacked_bytes} and more, "
                f"over max_ratio = {limit:g}; the rest was not read"
            )


class Spent(Unreadable):
    """The budget of an archive is spent: nothing more of it is read."""


@dataclass(slots=True)
class Blob:
    """An opened file or member of an archive: its name as a source, and its bytes, to be read once."""

    name: str
    kind: str
    """Suffix that says how to read it, such as .jsonl."""
    stream: IO[bytes]
    settings: ReadSettings
    budget: Budget
    path: Path | None = None
    """Where it is, if it is a file of the disk that is not packed."""
    beside: Path | None = None
    """The file of the disk that it is, or is in."""
    span: Span | None = None
    depth: int = 0
    meter: Metered | None = None
    """The unpacking below the stream."""

    def read_all(self, limit: int | None = None) -> bytes:
        """Return everything; raises Unreadable for more than max_file_bytes, or `limit`."""
        limit = min(limit or self.settings.max_file_bytes, self.settings.max_file_bytes)
        data = self.stream.read(limit + 1)
        if len(data) > limit:
            raise Unreadable(f"more than {limit / 1e6:g} MB, which are too much to read as a whole")
        return data

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """Give a stream that can be read in any order; a member is copied to a temporary file."""
        if self.path is not None:
            yield self.stream
            return
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            shutil.copyfileobj(self.stream, spool)
            spool.seek(0)
            yield spool


class Metered(io.RawIOBase):
    """A stream of unpacked bytes that stops when they are too many.

    `packed` tells how many packed bytes they were made of. What goes wrong looks like the end at first, so
    that a reader gets all that came before, and is raised when the reader asks again.
    """

    def __init__(self, stream: Any, budget: Budget, packed: Counted | int):
        self._stream, self._budget, self._packed = stream, budget, packed
        self._size = 0
        self.error: Exception | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes it got."""
        if self.error is not None:
            raise self.error
        try:
            data = self._stream.read1(len(buffer))
            self._size += len(data)
            if self._size > RATIO_BYTES:
                self._judge()
            self._budget.unpack(len(data))
        except Exception as e:
            self.error = e
            return 0
        buffer[: len(data)] = data
        return len(data)

    def _judge(self) -> None:
        packed = self._packed if isinstance(self._packed, int) else self._packed.size
        limit = self._budget.settings.max_ratio
        if self._size > limit * max(packed, 1):
            raise Unreadable(
                f"a bomb: {packed} bytes unpack to {self._size} and more, over max_ratio = {limit:g}"
            )

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        super().close()


class Counted(io.RawIOBase):
    """A stream that counts what is read from it."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self.size = stream, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes it got."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.size += len(data)
        return len(data)

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        super().close()
