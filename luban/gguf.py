"""A GGUF file: its metadata, and where its tensors lie. The format of llama.cpp, versions 2 and 3.

Source: the specification in the repository of ggml, docs/gguf.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.binary import AGAIN, BinaryReader
from luban.errors import CheckpointError

MAGIC, VERSIONS = 0x46554747, (2, 3)
NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""Type of a value → its form."""
TEXT, ARRAY = 8, 9
KINDS = {int: "whole number", float: "number", bool: "truth value", str: "text", list: "list"}
MAX_DIMS = 4
QUANTISATIONS = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
"""Type of a tensor → its name, numbers in a block, bytes of a block."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as it lies in the file. `shape` is in torch's order; each row is quantised by itself."""

    name: str
    shape: tuple[int, ...]
    kind: int
    """See QUANTISATIONS."""
    data: memoryview

    @property
    def quantisation(self) -> str:
        """Name of the way its numbers are stored."""
        return QUANTISATIONS[self.kind][0]


class Gguf:
    """An open GGUF file. Metadata is read at once, tensors when they are asked for."""

    def __init__(self, path: Path):
        self.path = path
        self._reader = reader = BinaryReader(path)
        if reader.size < 4 or reader.number("I", "the magic number") != MAGIC:
            raise CheckpointError(f"{path} is no GGUF file", fix="name a .gguf file, or a model folder")
        version = reader.number("I", "the version")
        if version not in VERSIONS:
            raise CheckpointError(
                f"{path}: GGUF version {version} is not supported",
                fix="use a file of version 2 or 3; a big-endian one has to be converted",
            )
        self._n_tensors = reader.count("Q", "the number of tensors", each=24)
        n_entries = reader.count("Q", "the number of metadata entries", each=13)
        self.metadata: dict[str, Any] = {}
        for _ in range(n_entries):
            key = reader.text("Q", "a key of the metadata")
            kind = int(reader.number("I", f"the type of {key}"))
            self._once(key, self.metadata)
            self.metadata[key] = _value(reader, key, kind)
        self._start = reader.position

    def need(self, key: str, kind: type = int) -> Any:
        """Return a value of the metadata that must be there, and of a kind."""
        if key not in self.metadata:
            raise CheckpointError(f"{self.path} has no {key} in its metadata", fix=AGAIN)
        return self.get(key, None, kind)

    def get(self, key: str, default: Any, kind: type = int) -> Any:
        """Return a value of the metadata of a kind, or the default. A whole number serves as a float."""
        value = self.metadata.get(key, default)
        is_right = isinstance(value, (int, float) if kind is float else kind)
        if key in self.metadata and (not is_right or (isinstance(value, bool) and kind is not bool)):
            raise CheckpointError(f"{self.path}: {key} = {value!r:.60} is no {KINDS[kind]}", fix=AGAIN)
        return value

    def tensors(self) -> dict[str, StoredTensor]:
        """Return every tensor by name, checked to lie within the file."""
        self._reader.position = self._start
        infos: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(self._n_tensors):
            name = self._reader.text("Q", "the name of a tensor")
            self._once(name, infos)
            infos[name] = self._info(name)
        alignment = self.get("general.alignment", 32)
        if alignment < 8 or alignment % 8:
            raise CheckpointError(f"{self.path}: general.alignment = {alignment} cannot be", fix=AGAIN)
        start = -(-self._reader.position // alignment) * alignment
        return {name: self._stored(name, *info, start) for name, info in infos.items()}

    def _info(self, name: str) -> tuple[tuple[int, ...], int, int]:
        reader = self._reader
        n_dims = int(reader.number("I", f"the number of dimensions of {name}"))
        if n_dims > MAX_DIMS:
            raise CheckpointError(
                f"{self.path}: {name} is said to have {n_dims} dimensions, and {MAX_DIMS} is the most",
                fix=AGAIN,
            )
        shape = tuple(int(n) for n in reversed(reader.numbers("Q", n_dims, f"the shape of {name}")))
        kind = int(reader.number("I", f"the type of {name}"))
        return shape, kind, int(reader.number("Q", f"the place of {name}"))

    def _stored(self, name: str, shape: tuple[int, ...], kind: int, offset: int, start: int) -> StoredTensor:
        if kind not in QUANTISATIONS:
            raise CheckpointError(
                f"{self.path}: {name} has the unsupported quantisation type {kind}",
                fix=f"supported are: {', '.join(q[0] for q in QUANTISATIONS.values())}",
            )
        if not math.prod(shape):
            raise CheckpointError(f"{self.path}: {name} of the shape {shape} holds nothing", fix=AGAIN)
        word, block, n_bytes = QUANTISATIONS[kind]
        if shape and shape[-1] % block:
            raise CheckpointError(
                f"{self.path}: {name} of the shape {shape} cannot be {word}, which has blocks of {block}",
                fix=AGAIN,
            )
        what = f"{name} of the shape {shape} as {word}"
        data = self._reader.at(start + offset, math.prod(shape) // block * n_bytes, what)
        return StoredTensor(name, shape, kind, data)

    def _once(self, name: str, seen: dict[str, Any]) -> None:
        if name in seen:
            raise CheckpointError(f"{self.path} holds {name} twice", fix=AGAIN)


def _value(reader: BinaryReader, key: str, kind: int) -> Any:
    if kind in NUMBERS:
        return reader.number(NUMBERS[kind], key)
    if kind == TEXT:
        return reader.text("Q", key)
    if kind == ARRAY:
        kind = int(reader.number("I", f"the type of the items of {key}"))
        if kind == TEXT:
            n = reader.count("Q", f"the number of items of {key}", each=8)
            return reader.texts(n, f"an item of {key}")
        if kind in NUMBERS:
            n = reader.count("Q", f"the number of items of {key}", each=1)
            return reader.numbers(NUMBERS[kind], n, key)
    raise CheckpointError(f"{reader.path}: {key} has the unknown type {kind}", fix=AGAIN)
