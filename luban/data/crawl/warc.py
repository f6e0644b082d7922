"""WARC 1.1 files (ISO 28500): one gzip member a record, a new file when one is full."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luban.data.crawl.frontier import Mark

Headers = Sequence[tuple[str, str]]
_IDENTICAL = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
_RENAMED = {
    "content-encoding": "X-Crawl-Content-Encoding",
    "transfer-encoding": "X-Crawl-Transfer-Encoding",
    "content-length": "X-Crawl-Content-Length",
}
"""Headers that are no longer true of the decoded body keep their value under another name."""
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Capture:
    """One exchange with a server, its body decoded."""

    url: str
    time: str
    """ISO 8601 in UTC, as 2026-01-31T12:00:00Z."""
    address: str
    request: bytes
    """Request line and headers."""
    status: str
    """Status line, such as "HTTP/1.1 200 OK"."""
    headers: Headers
    body: bytes
    digest: str
    facts: Headers = ()
    """Fields of the metadata record."""


def digest_of(data: bytes) -> str:
    """Return "sha1:" and the SHA-1 in base 32, as WARC tools write it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _record(kind: str, fields: Headers, block: bytes, content_type: str) -> tuple[str, bytes]:
    """Return a record's id and its gzip member."""
    name = f"<urn:uuid:{uuid.uuid4()}>"
    lines = ["WARC/1.1", f"WARC-Type: {kind}", f"WARC-Record-ID: {name}"]
    lines += [f"{k}: {_one_line(v)}" for k, v in fields if v]
    lines += [f"WARC-Block-Digest: {digest_of(block)}", f"Content-Type: {content_type}"]
    head = "\r\n".join([*lines, f"Content-Length: {len(block)}", "", ""]).encode()
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    return name, packer.compress(head + block + b"\r\n\r\n") + packer.flush()


def _one_line(value: str) -> str:
    return " ".join(value.splitlines())


def response_records(capture: Capture, first: tuple[str, str] | None = None) -> tuple[bytes, int]:
    """Return the members of response, request and metadata, and the length of the first of them.

    With `first`, the address and time of a record with the same content, the response becomes a revisit.
    """
    told = [("WARC-Target-URI", capture.url), ("WARC-Date", capture.time)]
    fields = [*told, ("WARC-IP-Address", capture.address), ("WARC-Payload-Digest", capture.digest)]
    head = [capture.status]
    head += [f"{_RENAMED.get(name.lower(), name)}: {_one_line(value)}" for name, value in capture.headers]
    if first is None:
        head.append(f"Content-Length: {len(capture.body)}")
        kind, body = "response", capture.body
    else:
        fields += [("WARC-Profile", _IDENTICAL), ("WARC-Refers-To-Target-URI", first[0])]
        fields += [("WARC-Refers-To-Date", first[1])]
        kind, body = "revisit", b""
    block = "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body
    name, response = _record(kind, fields, block, "application/http; msgtype=response")
    beside = [*told, ("WARC-Concurrent-To", name)]
    _, request = _record("request", beside, capture.request, "application/http; msgtype=request")
    facts = "".join(f"{k}: {_one_line(v)}\r\n" for k, v in capture.facts if v).encode()
    _, metadata = _record("metadata", beside, facts, "application/warc-fields")
    return response + request + metadata, len(response)


@dataclass(slots=True)
class WarcWriter:
    """Records to files in a folder; they gather in memory until `flush`."""

    folder: Path
    prefix: str
    max_bytes: int
    about: Headers
    """Fields of the record that heads each file."""
    number: int = 0
    length: int = 0
    """Bytes of the current file, those still in memory included."""
    _waiting: list[bytes] = field(default_factory=list)
    _handle: int = -1

    def path(self, number: int) -> Path:
        """Return the path of a file by its number."""
        return self.folder / f"{self.prefix}-{number:05}.warc.gz"

    def write(self, records: bytes) -> tuple[int, int]:
        """Take records; returns the number of their file and their place in it."""
        if self.length >= self.max_bytes:
            self.flush()
            self.sync()
            os.close(self._handle)
            self._handle, self.number, self.length = -1, self.number + 1, 0
        if not self.length:
            about = "".join(f"{k}: {_one_line(v)}\r\n" for k, v in self.about if v).encode()
            self._take(_record("warcinfo", self._heading(), about, "application/warc-fields")[1])
        place = self.length
        self._take(records)
        return self.number, place

    def _heading(self) -> Headers:
        return [("WARC-Date", dict(self.about)["date"]), ("WARC-Filename", self.path(self.number).name)]

    def _take(self, data: bytes) -> None:
        self._waiting.append(data)
        self.length += len(data)

    def flush(self) -> Mark:
        """Hand everything to the system, and return the mark up to which it has it."""
        if self._waiting:
            data = memoryview(b"".join(self._waiting))
            start = self.length - len(data)
            try:
                while data:
                    data = data[os.write(self._open(), data) :]
            except OSError:  # a full disk: leave no torn record behind
                if self._handle >= 0:
                    os.ftruncate(self._handle, start)
                raise
            self._waiting = []
        return self.number, self.length

    def sync(self) -> None:
        """Wait until the disk has what the system has."""
        if self._handle >= 0:
            os.fsync(self._handle)

    def _open(self) -> int:
        if self._handle < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._handle = os.open(self.path(self.number), flags, 0o644)
        return self._handle

    def go_on(self, committed: Mark, synced: Mark) -> Mark:
        """Cut off what was not committed, or did not reach the disk whole; returns where writing goes on."""
        for path in self.folder.glob(f"{self.prefix}-*.warc.gz"):
            if int(path.name.removesuffix(".warc.gz").rpartition("-")[2]) > committed[0]:
                path.unlink()
        number, length = committed
        for number in range(min(synced[0], committed[0]), committed[0] + 1):
            path = self.path(number)
            end = committed[1] if number == committed[0] else path.stat().st_size if path.exists() else 0
            length = whole_length(path, synced[1] if number == synced[0] else 0, end)
            if length < end:
                break
        for later in range(number + 1, committed[0] + 1):
            self.path(later).unlink(missing_ok=True)
        if self.path(number).exists():
            os.truncate(self.path(number), length)
        self.number, self.length = number, length
        return number, length

    def close(self) -> None:
        """Write and sync what is left."""
        self.flush()
        self.sync()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def whole_length(path: Path, start: int, end: int) -> int:
    """Return the place up to which the file holds whole gzip members, from `start` on and at most `end`."""
    if not path.exists():
        return 0
    with path.open("rb") as f:
        f.seek(start)
        place = good = start
        member = zlib.decompressobj(31)
        while place < end and (block := f.read(min(1 << 20, end - place))):
            place += len(block)
            while block:
                try:
                    member.decompress(block)
                except zlib.error:
                    return good
                if not member.eof:
                    break
                block = member.unused_data
                good, member = place - len(block), zlib.decompressobj(31)
    return good


def read_member(path: Path, offset: int, length: int) -> bytes:
    """Return one record of a file as it lies there."""
    with path.open("rb") as f:
        f.seek(offset)
        return f.read(length)
