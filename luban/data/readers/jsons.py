"""JSON lines, and arrays of objects in one file: a row at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from luban.data.encoding import HEAD_BYTES, Lines, Unreadable, as_utf8, detect
from luban.data.readers.records import Row, Span

JSON_BLOCK = 1 << 20
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()

Placed = tuple[int, int, "Row | Unreadable"]
"""(byte offset of the line, its number from 1, the row or why it cannot be read)."""


def whole_characters(value: Any) -> Any:
    """Return the value with halves of surrogate pairs, which no file can hold, replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole_characters(k): whole_characters(v) for k, v in value.items()}
    return [whole_characters(v) for v in value] if isinstance(value, list) else value


def json_lines(
    stream: IO[bytes],
    max_bytes: int,
    span: Span | None = None,
    encoding: str | None = None,
    mend: Callable[[Any], Any] = whole_characters,
) -> Iterator[Placed]:
    """Yield the rows of JSON lines.

    Of a `span` of bytes, the lines that begin in it are read, and numbered from its beginning. A line of
    more than `max_bytes` is passed over, with its reason. `mend` is given rows that may hold halves of
    surrogate pairs; it may raise Unreadable.
    """
    head, stream = peek(stream)
    name = encoding or detect(head)
    if encoding or name.startswith(("utf-16", "utf-32")):
        stream, name = as_utf8(stream, encoding), "utf-8"
    offset, end = _enter(stream, span) if span else (0, None)
    lines, number, readline = Lines(name), 0, stream.readline
    while end is None or offset < end:
        line = readline(max_bytes)
        if not line:
            return
        number += 1
        begins, offset = offset, offset + len(line)
        if begins == 0 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        if len(line) >= max_bytes and not line.endswith(b"\n"):
            offset += _skip_line(stream, max_bytes)
            yield begins, number, Unreadable(f"a line of more than {max_bytes / 1e6:g} MB")
        elif not line.isspace():
            yield begins, number, _row(line, lines, mend)


def peek(stream: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return a stream's beginning, and a stream that still has it."""
    if stream.seekable():
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        return head, stream
    head = stream.read(HEAD_BYTES)
    return head, _Refilled(head, stream)  # type: ignore[return-value]


class _Refilled:
    """A stream whose beginning was read and put back."""

    def __init__(self, head: bytes, stream: IO[bytes]):
        self._head, self._stream = head, stream

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._stream.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data

    def readline(self, size: int) -> bytes:
        if not self._head:
            return self._stream.readline(size)
        end = self._head.find(b"\n", 0, size) + 1 or min(size, len(self._head))
        line, self._head = self._head[:end], self._head[end:]
        if not self._head and not line.endswith(b"\n") and len(line) < size:
            line += self._stream.readline(size - len(line))
        return line

    def close(self) -> None:
        self._stream.close()


def json_values(stream: IO[bytes], max_bytes: int, encoding: str | None = None) -> Iterator[Placed]:
    """Yield the objects of a JSON file; positions are their numbers from 0.

    They stand in an array, or one after the other, or in the list of a single object: {"data": [...]}.
    """
    values = _values(as_utf8(stream, encoding), max_bytes)
    first = next(values, None)
    second = next(values, None)
    if second is None and isinstance(first, dict):
        lists = [v for v in first.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        if len(lists) == 1:
            first, values = None, iter(lists[0])
    position = 0
    for part in ((v for v in (first, second) if v is not None), values):
        for value in part:
            yield position, position + 1, _checked(value)
            position += 1


def _values(stream: IO[bytes], max_bytes: int) -> Iterator[Any]:
    text, start, at_end, in_array = "", 0, False, None
    step = JSON_BLOCK
    while True:
        start = _SPACE.match(text, start).end()  # type: ignore[union-attr]
        if in_array is None and start < len(text):
            in_array = text[start] == "["
            start += in_array
            continue
        if in_array and text.startswith("]", start):
            return
        if start < len(text):
            try:
                value, start = _DECODER.raw_decode(text, start)
                step = JSON_BLOCK
                yield value
                continue
            except RecursionError:
                raise Unreadable("JSON that is nested too deeply") from None
            except ValueError as e:
                if at_end or len(text) - start > max_bytes:
                    raise Unreadable(f"broken JSON: {_brief(e)}") from None
        elif at_end:
            if in_array:
                raise Unreadable("broken JSON: the array has no end")
            return
        more = stream.read(step)
        step *= 2  # so that a long value is not tried over and over
        at_end = not more
        text, start = text[start:] + _decode(more, stream), 0


def _decode(data: bytes, stream: IO[bytes]) -> str:
    while data:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            more = stream.read(1)  # the block ended inside a character
            if not more:
                return data.decode("utf-8", "replace")
            data += more
    return ""


def _row(line: bytes, lines: Lines, mend: Callable[[Any], Any]) -> Row | Unreadable:
    try:
        row = json.loads(lines.decode(line))
        return _checked(mend(row) if _SURROGATE.search(line) else row)
    except Unreadable as e:
        return e
    except RecursionError:
        return Unreadable("broken JSON: nested too deeply")
    except ValueError as e:
        return Unreadable(f"broken JSON: {_brief(e)}")


def _checked(row: Any) -> Row | Unreadable:
    return row if isinstance(row, dict) else Unreadable(f"not an object: a {type(row).__name__}")


def _brief(error: ValueError) -> str:
    return str(error)[:200]


def _enter(stream: IO[bytes], span: Span) -> Span:
    """Go to the first line that begins in the span."""
    start, end = span
    if not start:
        return span
    stream.seek(start - 1)
    return start - 1 + _skip_line(stream, JSON_BLOCK), end


def _skip_line(stream: IO[bytes], step: int) -> int:
    size = 0
    while part := stream.readline(step):
        size += len(part)
        if part.endswith(b"\n"):
            break
    return size
