"""Word vectors in files: word2vec text and binary, GloVe text; and into the stem of a model.

A word2vec file begins with a line of two counts, words and width; a GloVe file does not.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import torch
from torch import Tensor

from luban.errors import ConfigError, DataError
from luban.files import disk_errors
from luban.log import Log

if TYPE_CHECKING:
    from luban.models.model import Model

MAX_DIM = 1 << 16
MAX_LINE = 1 << 22
MAX_WORD = 1 << 12
"""Bytes of a longer width, line or word mean that a file is something else."""
NUMERIC = b"0123456789+-.eEnaif \t\r"
CONTROLS = bytes([*range(9), *range(14, 32)])
COPY = "copy the file again from its source"


def read_vectors(path: Path, log: Log | None = None) -> tuple[list[str], Tensor]:
    """Read words and their vectors (V, C) from a word2vec or GloVe file; .gz too.

    The kind is told from the content. Of a word that stands there twice the first counts; bytes that
    are no UTF-8 become U+FFFD; both go to the log. Memory is taken for what the file holds, never
    for what its header promises.
    """
    table = _Table(path)
    with _opened(path) as f:
        first = f.readline(MAX_LINE)
        if not first.strip():
            raise DataError(f"{path} is empty" if not first else f"{path}:1 is empty", fix=COPY)
        header = _header(first)
        if header is None:
            _read_text(f, first, table)
        else:
            _check_header(path, *header)
            place = f.tell()
            is_binary = _is_binary(f.read(32 * header[1] + MAX_WORD), header[1])
            f.seek(place)
            table.dim = header[1]
            _read_binary(f, table, header[0]) if is_binary else _read_text(f, b"", table)
            _check_count(table, header[0])
    table.report(log)
    return list(table.words), table.matrix()


def write_vectors(words: Sequence[str], matrix: Tensor, path: Path) -> None:
    """Write word2vec text (gzip if the name ends in .gz); reading gives equal float32 numbers again."""
    if len(words) != len(matrix):
        raise ValueError(f"{len(words)} words for {len(matrix)} vectors")
    for word in words:
        if not word or any(c.isspace() for c in word):
            raise DataError(
                f"{word!r} cannot be written: in a word2vec file, spaces end a word",
                fix="leave it out, or put _ for each space",
            )
    row = " ".join(["%.9g"] * matrix.shape[1])  # nine digits give a float32 back exactly
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with gzip.open(temporary, "wb") if path.suffix == ".gz" else temporary.open("wb") as f:
                f.write(f"{len(words)} {matrix.shape[1]}\n".encode())
                for word, vector in zip(words, matrix.detach().cpu().float(), strict=True):
                    f.write(f"{word} {row % tuple(vector.tolist())}\n".encode("utf-8", "replace"))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_vectors_into(model: Model, tokens: Sequence[str], path: Path, log: Log | None = None) -> int:
    """Put the vectors of a file into a model's stem; return how many of its tokens were found.

    tokens: what the model's token ids stand for, in their order. See `place_vectors`.
    """
    words, matrix = read_vectors(path, log)
    return place_vectors(model, tokens, words, matrix, log)


@torch.no_grad()
def place_vectors(
    model: Model, tokens: Sequence[str], words: Sequence[str], matrix: Tensor, log: Log | None = None
) -> int:
    """Copy the vectors (V, C) of known tokens into a model's stem; the others keep what they have."""
    embedding = model.stem.tokens.weight
    if matrix.shape[1] != embedding.shape[1]:
        raise ConfigError(
            f"the vectors are {matrix.shape[1]} wide, the model's tokens {embedding.shape[1]}",
            fix=f"set model.dim to {matrix.shape[1]}, or take vectors of width {embedding.shape[1]}",
        )
    number = {word: i for i, word in reversed(list(enumerate(words)))}
    found = [(i, number[token]) for i, token in enumerate(tokens) if token in number]
    if not found:
        raise DataError(
            f"none of the model's {len(tokens)} tokens, such as {list(tokens[-3:])}, is among the "
            f"{len(words)} words, such as {list(words[:3])}",
            fix="check that language, case and spelling are the same, and that tokens are whole words",
        )
    ours, theirs = zip(*found, strict=True)
    embedding[list(ours)] = matrix[list(theirs)].to(embedding)
    if log:
        log.say(
            f"vectors: {len(found)} of {len(tokens)} tokens found, {len(tokens) - len(found)} keep their own",
            found=len(found),
            not_found=len(tokens) - len(found),
        )
    return len(found)


@dataclass
class _Table:
    """What has been read so far."""

    path: Path
    dim: int = 0
    words: dict[str, None] = field(default_factory=dict)
    numbers: array[float] = field(default_factory=lambda: array("f"))
    n_repeated: int = 0
    n_broken: int = 0

    @property
    def n_rows(self) -> int:
        return len(self.words) + self.n_repeated

    def add(self, word: bytes, numbers: array[float], where: str) -> None:
        """Keep one row, unless its word is there already."""
        try:
            text = word.decode()
        except UnicodeDecodeError:
            text = word.decode(errors="replace")
            self.n_broken += 1
        if text in self.words:
            self.n_repeated += 1
            return
        if sum(numbers) - sum(numbers) != 0:  # not so where one is infinite or not a number
            raise DataError(f"{where}: the vector of {text!r} is not finite", fix="leave this word out")
        self.words[text] = None
        self.numbers.extend(numbers)

    def matrix(self) -> Tensor:
        """Return what was read, (V, C)."""
        return torch.frombuffer(self.numbers, dtype=torch.float32).view(len(self.words), self.dim)

    def report(self, log: Log | None) -> None:
        """Say what was not taken as it stands."""
        if not log:
            return
        if self.n_repeated:
            log.warn(f"{self.path}: {self.n_repeated} words stand there again; the first of each counts")
        if self.n_broken:
            log.warn(f"{self.path}: {self.n_broken} words are not UTF-8; broken bytes are read as U+FFFD")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as f:
            yield f  # type: ignore[misc]
    except (FileNotFoundError, IsADirectoryError):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}", fix="name a file of word vectors") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise DataError(f"{path}: broken gzip: {e}", fix=COPY) from None


def _header(line: bytes) -> tuple[int, int] | None:
    fields = line.split()
    if len(fields) == 2 and all(f.isdigit() for f in fields):
        return int(fields[0][:30]), int(fields[1][:30])
    return None


def _check_header(path: Path, n_words: int, dim: int) -> None:
    """Hold the header against the size of the file, before anything is read by it."""
    if not (n_words and 1 <= dim <= MAX_DIM):
        raise DataError(
            f"{path}:1 promises {n_words} words of {dim} numbers", fix="this is no file of word vectors"
        )
    least = n_words * 2 * dim  # a digit and a space each; packed floats take more
    if path.suffix != ".gz" and least > (size := path.stat().st_size):
        raise DataError(
            f"{path}:1 promises {n_words} words of {dim} numbers, at least {least} bytes; "
            f"the file has {size}",
            fix=COPY,
        )


def _check_count(table: _Table, n_words: int) -> None:
    if table.n_rows != n_words:
        raise DataError(
            f"{table.path} holds {table.n_rows} words; its first line says {n_words}",
            fix=f"{COPY}; if it is whole, put the right number into its first line",
        )


def _is_binary(start: bytes, dim: int) -> bool:
    """Whether the first vector is packed floats, not written out; a packed one may hold a line end."""
    row = start.split(b"\n", 1)[0]
    written = row.partition(b" ")[2] or row
    if written.translate(None, NUMERIC):
        return bool(written[-min(64, 4 * dim) :].translate(None, NUMERIC))  # the word may hold a space
    return len(written.split()) != dim and not _is_text(start.partition(b" ")[2][: 4 * dim])


def _is_text(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)  # a character may be cut at the end
    except UnicodeDecodeError:
        return False
    return data == data.translate(None, CONTROLS)


def _read_binary(f: IO[bytes], table: _Table, n_words: int) -> None:
    size = 4 * table.dim
    for i in range(1, n_words + 1):
        word = bytearray()
        while (byte := f.read(1)) not in (b" ", b""):
            if byte != b"\n" or word:  # a line end may close the vector before
                word += byte
            if len(word) > MAX_WORD:
                raise DataError(f"{table.path}: word {i} does not end", fix=COPY)
        data = f.read(size)
        if len(data) < size:
            raise DataError(
                f"{table.path} ends inside word {i} of {n_words}: {len(data)} of its {size} bytes are there",
                fix=COPY,
            )
        table.add(bytes(word), _little(data), f"{table.path}, word {i}")
    if f.read(2).strip():
        raise DataError(f"{table.path} goes on after its {n_words} words", fix=COPY)


def _little(data: bytes) -> array[float]:
    numbers = array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _read_text(f: IO[bytes], first: bytes, table: _Table) -> None:
    """Read rows to the end of the file; `first` is one that was read already."""
    number, line = (1, first) if first else (2, f.readline(MAX_LINE))
    while line:
        if len(line) == MAX_LINE:
            raise DataError(f"{table.path}:{number} is no line of word vectors: too long", fix=COPY)
        if line.strip():
            table.dim = table.dim or _width(line, table.path)
            _read_row(line, table, f"{table.path}:{number}")
        number, line = number + 1, f.readline(MAX_LINE)


def _width(line: bytes, path: Path) -> int:
    """Return how many numbers end the first row of a file without a header."""
    fields = line.split()[1:]
    n = next((i for i, value in enumerate(reversed(fields)) if not _is_number(value)), len(fields))
    if not n:
        raise DataError(
            f"{path}:1 is neither a word with its numbers nor a header", fix="name a file of word vectors"
        )
    return n


def _read_row(line: bytes, table: _Table, where: str) -> None:
    # Words may hold spaces, numbers may not: the row is read from its end.
    word, *fields = line.rstrip().replace(b"\t", b" ").rsplit(b" ", table.dim)
    last = word.rpartition(b" ")[2] if b" " in word else b""
    if len(fields) < table.dim or _is_number(last):
        n = sum(map(_is_number, line.split()[1:]))
        raise DataError(f"{where} has {n} numbers, the rows before {table.dim}", fix="mend this line")
    try:
        numbers = array("f", map(float, fields))
    except ValueError:
        wrong = next(v for v in fields if not _is_number(v))
        raise DataError(
            f"{where}: {wrong.decode(errors='replace')!r} is no number", fix="mend this line"
        ) from None
    table.add(word, numbers, where)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
