"""Which encoding a file of text is in, told from its bytes; binary files are refused."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

BLOCK_BYTES = 1 << 20
JUDGED_CHARS = 100_000  # so many characters outside ASCII decide between GB18030 and Latin-1
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.I)


class Unreadable(Exception):
    """A file or a line cannot be read; the text says why."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacking gzip."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def open_text(path: Path, newline: str | None = None) -> IO[str]:
    """Open a text file in the encoding found by `detect_encoding`; raises Unreadable."""
    encoding = detect_encoding(path)
    return io.TextIOWrapper(open_bytes(path), encoding, errors="replace", newline=newline)


def detect_encoding(path: Path) -> str:
    """Return utf-8-sig, utf-8, utf-16, gb18030 or latin-1; reads the whole file, a block at a time.

    A byte-order mark decides; then valid UTF-8 (a few broken bytes are forgiven); then GB18030 that
    decodes to common Chinese characters; then Latin-1. Raises Unreadable for what is not text.
    """
    try:
        with open_bytes(path) as f:
            head = f.read(1 << 16)
        if head.startswith(codecs.BOM_UTF8):
            encoding = "utf-8-sig"
        elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        else:
            _refuse_binary(head)
            return _guess(path)
        for _ in _blocks(path):
            pass  # only to see that the file can be read to its end
        return encoding
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise Unreadable(f"broken gzip: {e}") from None


def decode_html(path: Path, data: bytes) -> str:
    """Return a page as text: byte-order mark, then its own charset where that fits, then detection."""
    named = _META_CHARSET.search(data[:4096])
    if named and not data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = named[1].decode().lower()
        # A page that is wrong about itself is read by its bytes instead.
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            return data.decode("gb18030" if name in ("gb2312", "gbk") else name)
    return data.decode(detect_encoding(path), errors="replace")


def _blocks(path: Path) -> Iterator[bytes]:
    with open_bytes(path) as f:
        while block := f.read(BLOCK_BYTES):
            yield block


def _refuse_binary(head: bytes) -> None:
    if b"\0" in head:
        raise Unreadable("not text: it holds zero bytes (binary, or UTF-16 without a byte-order mark)")
    controls = len(head) - len(head.translate(None, bytes([*range(8), *range(14, 27), 28, 29, 30, 31])))
    if controls > 0.05 * len(head):
        raise Unreadable(f"not text: {controls} of its first {len(head)} bytes are control characters")


def _guess(path: Path) -> str:
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
    broken = beyond_ascii = 0
    for block in _blocks(path):
        if block.isascii() and not utf8.getstate()[0]:
            continue
        text = utf8.decode(block)
        broken += text.count("\ufffd")
        beyond_ascii += len(text) - len(text.encode("ascii", "ignore"))
    broken += len(utf8.decode(b"", final=True))
    if broken <= 0.02 * beyond_ascii:
        return "utf-8"
    return "gb18030" if _is_gb18030(path) else "latin-1"


def _is_gb18030(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("gb18030")()
    common = judged = 0
    try:
        for block in _blocks(path):
            text = decoder.decode(block)
            if judged < JUDGED_CHARS:
                foreign = [c for c in text if not c.isascii()]
                judged += len(foreign)
                common += sum(_in_gb2312(c) for c in foreign)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return common > 0.7 * judged


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
