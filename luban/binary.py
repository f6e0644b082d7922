"""A binary file whose sizes are not to be believed: every read is held against what the file has."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from luban.errors import CheckpointError

AGAIN = "copy the file again from its source, and compare its size with the source's"


class BinaryReader:
    """Reads numbers (little-endian), texts and bytes, one after another, without loading the file.

    reader.count("I", "the number of variables", each=9) returns a count of which each takes 9 bytes
    or more, so that a count that cannot be is an error before anything of its size is made.
    """

    def __init__(self, path: Path):
        self.path, self.position = path, 0
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist", fix="check the path")
        self.size = path.stat().st_size
        with path.open("rb") as f:
            self._data = memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b"")

    def take(self, n_bytes: int, what: str) -> memoryview:
        """Return the next bytes."""
        self.check(n_bytes <= self.left, f"{what} is said to be {n_bytes} bytes long")
        self.position += n_bytes
        return self._data[self.position - n_bytes : self.position]

    def at(self, offset: int, n_bytes: int, what: str) -> memoryview:
        """Return bytes from anywhere in the file."""
        is_inside = 0 <= offset <= offset + n_bytes <= self.size
        self.check(is_inside, f"{what} is said to lie at {offset} to {offset + n_bytes}")
        return self._data[offset : offset + n_bytes]

    def number(self, form: str, what: str) -> int | float | bool:
        """Return the next number, of a form of the module `struct`."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form), what))[0]

    def numbers(self, form: str, n: int, what: str) -> list[int | float | bool]:
        """Return the next n numbers of one form."""
        return list(struct.unpack(f"<{n}{form}", self.take(n * struct.calcsize(form), what)))

    def count(self, form: str, what: str, each: int) -> int:
        """Return the next number as a count of things that take at least `each` bytes."""
        n = int(self.number(form, what))
        self.check(n * each <= self.left, f"{what} is said to be {n}")
        return n

    def text(self, form: str, what: str) -> str:
        """Return a UTF-8 text after its length in bytes."""
        data = self.take(self.count(form, f"the length of {what}", each=1), what)
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as e:
            raise CheckpointError(
                f"{self.path} is cut off or damaged: {what} is no text: {e}", fix=AGAIN
            ) from None

    def texts(self, n: int, what: str) -> list[str]:
        """Return the next n texts, each after its length in 8 bytes."""
        found, place, length_at = [], self.position, struct.Struct("<Q").unpack_from
        try:
            for _ in range(n):
                end = place + 8 + length_at(self._data, place)[0]
                self.check(end <= self.size, f"{what} is said to end at {end}")
                found.append(str(self._data[place + 8 : end], "utf-8"))
                place = end
        except (struct.error, UnicodeDecodeError) as e:
            raise CheckpointError(
                f"{self.path} is cut off or damaged: {what} is no text: {e}", fix=AGAIN
            ) from None
        self.position = place
        return found

    @property
    def left(self) -> int:
        """Bytes that are still to be read."""
        return self.size - self.position

    def check(self, is_true: bool, claim: str) -> None:
        """Raise an error that names a claim the file cannot keep."""
        if not is_true:
            raise CheckpointError(
                f"{self.path} is cut off or damaged: {claim}, but the file has {self.size} bytes, "
                f"{self.left} of them after this",
                fix=AGAIN,
            )
