"""Which encoding text is in, told from its bytes; binary files are refused, and files that mix are read.

UTF-8 is what decodes as UTF-8. Of other bytes, each candidate's reading is judged by how likely its
characters are: a few tiers of likelihood for each script (`luban.data.glyphs`) are enough, since a wrong
reading is full of characters that hardly anybody writes.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from luban.data.glyphs import LEGACY, is_familiar, likelihood
from luban.data.unpacking import PACKED_SUFFIXES, unpacked

HEAD_BYTES = 1 << 18
"""What is looked at before reading."""
BLOCK_BYTES = 1 << 20
LINE_BYTES = 1 << 23
"""A longer line is decoded in pieces."""
JUDGED_BYTES = 4096
BROKEN_STREAM = (EOFError, zlib.error, lzma.LZMAError, OSError)
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_WORTHLESS = -10.5  # mean log-likelihood of a character: below, the bytes are no text
_STRAY_ZEROS = 0.002  # so many are a fault of a file of text; UTF-16 and binary files have far more
_ONE_ZERO_BYTES = 16  # a file so long may have one zero byte, and be text
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.I)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]+)", re.I)


class Unreadable(Exception):
    """A file or a line cannot be read; the text says why."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacking gz, zst, bz2 and xz."""
    return unpacked(path.open("rb"), path.suffix.lower())


def open_text(path: Path, newline: str | None = None) -> IO[str]:
    """Open a text file in the encoding found by `detect`; raises Unreadable."""
    return io.TextIOWrapper(as_utf8(open_bytes(path)), "utf-8", errors="replace", newline=newline)


def detect_encoding(path: Path) -> str:
    """Return the encoding of a file's beginning: see `detect`."""
    with reading(path.name), open_bytes(path) as f:
        return detect(f.read(HEAD_BYTES))


def detect(head: bytes) -> str:
    """Return utf-8, utf-8-sig, utf-16, utf-32 (-le, -be without a mark), or one of `LEGACY`.

    A byte-order mark decides; then valid UTF-8; then the likeliest reading. Raises Unreadable for what
    is not text.
    """
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if head.count(0) > max(_STRAY_ZEROS * len(head), len(head) >= _ONE_ZERO_BYTES):
        return _wide(head)
    controls = _controls(head)
    if not controls:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
            return "utf-8"
        except UnicodeDecodeError:
            if len(head) > JUDGED_BYTES or len(head) % 2:
                return guess(b"".join(_odd_lines(head)))
            return guess(head, wide=True)
    if len(head) % 2 == 0 and (name := guess(head, wide=True)) in _WIDE and _is_text(head, name):
        return name
    if controls > 0.05 * len(head):
        raise Unreadable(f"not text: {controls} of its first {len(head)} bytes are control characters")
    return guess(b"".join(_odd_lines(head))) if any(_odd_lines(head)) else "utf-8"


def guess(data: bytes, likely: str | None = None, *, wide: bool = False) -> str:
    """Return the likeliest encoding of bytes that are not valid UTF-8.

    `likely` is preferred unless another reads clearly better. `wide`: UTF-16 is among the candidates.
    """
    data = data[:JUDGED_BYTES]
    names = ["utf-8", *LEGACY, *(_WIDE[:2] if wide else ())]
    scores = {name: likelihood(data, name) for name in names}
    scores["gb18030"] += 3.0  # in doubt, as with a few hanzi: by far the most common of these
    if likely in scores:
        scores[likely] += 8.0
    return max(scores, key=lambda name: scores[name])


def text_blocks(stream: IO[bytes], encoding: str | None = None) -> Iterator[str]:
    """Yield a stream's text in blocks, read once; line ends as in the file.

    `encoding` is believed; without one it is found. Lines in another encoding than the rest are read in
    their own. Raises Unreadable.
    """
    head = stream.read(HEAD_BYTES)
    name = encoding or detect(head)
    pieces = _pieces(stream, head)
    if encoding or name.startswith(("utf-16", "utf-32")):
        decoder = codecs.getincrementaldecoder(name)(errors="replace")
        yield from (text for piece in pieces if (text := decoder.decode(piece)))
        yield decoder.decode(b"", final=True)
        return
    if name == "utf-8-sig":
        name, pieces = "utf-8", _without_mark(pieces)
    lines = Lines(name)
    for piece in _whole_lines(pieces):
        yield lines.decode(piece)


class Lines:
    """Decodes lines that are mostly in one encoding, each in the one that fits it.

    Lines("gb18030").decode("中文".encode("utf-8")) -> "中文"
    """

    def __init__(self, name: str):
        self.likely = None if name.startswith("utf-8") else name

    def decode(self, data: bytes) -> str:
        """Return one or more whole lines as text."""
        if self.likely is None or data.isascii():
            with contextlib.suppress(UnicodeDecodeError):
                return data.decode("utf-8")
        lines = data.splitlines(keepends=True) if b"\n" in data else [data]
        likely = self.likely
        if likely is None and len(lines) > 1:
            likely = guess(b"".join(_odd_lines(data)))
        return "".join(self._line(line, likely) for line in lines)

    def _line(self, line: bytes, likely: str | None) -> str:
        if line.isascii():
            return line.decode("ascii")
        with contextlib.suppress(UnicodeDecodeError):
            text = line.decode("utf-8")
            # Two bytes of GB18030 may happen to be UTF-8, of a Latin or Arabic letter; three hardly.
            if likely in (None, "utf-8") or max(text) > "\u07ff":
                return text
        if likely is not None and likely != "utf-8":
            with contextlib.suppress(UnicodeDecodeError):
                text = line.decode(likely)
                if is_familiar(text, likely):
                    return text
        return line.decode(guess(line, likely), "replace")


def as_utf8(stream: IO[bytes], encoding: str | None = None) -> io.BufferedReader:
    """Return the stream's text as a stream of UTF-8."""
    return io.BufferedReader(_Transcoded(text_blocks(stream, encoding), stream), BLOCK_BYTES)


def decode_html(data: bytes, charset: str | None = None) -> str:
    """Return a page as text: byte-order mark, `charset` of the transfer, its own charset, then detection.

    A name that does not fit the bytes is passed over.
    """
    marked = any(data.startswith(mark) for mark, _ in _BOMS)
    named = _META_CHARSET.search(data[:4096]) or _XML_ENCODING.match(data[:200])
    for name in () if marked else (charset, named[1].decode() if named else None):
        if name:
            with contextlib.suppress(LookupError, UnicodeDecodeError):
                return data.decode(_web_name(name))
    return "".join(text_blocks(io.BytesIO(data)))


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a broken packed stream raises into Unreadable."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError) as e:
        raise Unreadable(f"broken {_packing(name)}: {e}") from None
    except OSError as e:
        if e.errno is not None:
            raise
        raise Unreadable(f"broken {_packing(name)}: {e}") from None


def _packing(name: str) -> str:
    suffix = Path(name).suffix.lower()
    words = {".gz": "gzip", ".tgz": "gzip"}
    return words.get(suffix, suffix[1:] if suffix in PACKED_SUFFIXES else "file")


def _web_name(name: str) -> str:
    """Return the codec for a charset as browsers understand it (WHATWG Encoding, section 4.2)."""
    known = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "latin1": "cp1252"}
    known |= {"ascii": "cp1252", "us-ascii": "ascii", "shift_jis": "cp932", "shift-jis": "cp932"}
    known |= {"euc-kr": "cp949", "ks_c_5601-1987": "cp949", "big5": "big5hkscs", "x-sjis": "cp932"}
    lowered = name.strip().lower()
    return "ascii" if lowered == "ascii" else known.get(lowered, lowered)


def _wide(head: bytes) -> str:
    """Return which of UTF-16 and UTF-32 a beginning with zero bytes is in, if it is text."""
    head = head[: min(len(head), JUDGED_BYTES) // 4 * 4] or head
    best, name = -1e9, ""
    for one in _WIDE:
        if len(head) % int(one[4:6]) * 8 == 0 or len(head) >= 4:
            n = max(1, len(head) * 8 // int(one[4:6]))
            mean = likelihood(head, one) / n
            if mean > best:
                best, name = mean, one
    if best < _WORTHLESS:
        raise Unreadable("not text: it holds zero bytes")
    return name


def _is_text(head: bytes, name: str) -> bool:
    head = head[:JUDGED_BYTES]
    return likelihood(head, name) > _WORTHLESS * len(head) / 2


def _controls(head: bytes) -> int:
    return len(head) - len(head.translate(None, bytes([*range(8), *range(14, 27), 28, 29, 30, 31])))


def _odd_lines(data: bytes) -> Iterator[bytes]:
    """Yield the lines that are not UTF-8, as many as are judged."""
    size = 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                yield line[: JUDGED_BYTES - size]
                size += len(line)
                if size >= JUDGED_BYTES:
                    return


def _pieces(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    while head:
        yield head
        head = stream.read(BLOCK_BYTES)


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield next(pieces)[len(codecs.BOM_UTF8) :]
    yield from pieces


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut pieces anew, after a line's end; inside a very long line, where no character is cut."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        if not cut:
            if len(data) < LINE_BYTES:
                rest = data
                continue
            cut = _between_characters(data)
        yield data[:cut]
        rest = data[cut:]
    if rest:
        yield rest


def _between_characters(data: bytes) -> int:
    """Return where a long line may be cut: after a byte that is no part of a longer character."""
    tail = data[-65536:]
    for i in range(len(tail) - 1, 0, -1):
        if tail[i] < 0x30:  # never a second byte in any of the encodings
            return len(data) - len(tail) + i + 1
    i = len(data)
    while data[i - 1] & 0xC0 == 0x80 and len(data) - i < 3:
        i -= 1
    return i - 1 if data[i - 1] >= 0xC0 else len(data)


class _Transcoded(io.RawIOBase):
    """A stream of UTF-8 made of blocks of text."""

    def __init__(self, blocks: Iterator[str], stream: IO[bytes]):
        self._blocks, self._stream, self._rest = blocks, stream, memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes it got."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block.encode("utf-8", "replace"))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        super().close()
