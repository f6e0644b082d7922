"""`there` and `back`: rows through a file of another form and home again; `texts`: what texts can hold."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.files import CARRIERS, carrier_of
from luban.data.convert.run import convert, rejects_beside
from luban.data.convert.settings import ConvertSettings
from luban.files import read_jsonl, write_jsonl

Rows = list[dict[str, Any]]
Convert = Callable[..., Path]
ALPHABET = [
    "a",
    "B",
    "7",
    " ",
    "\n",
    "\t",
    ",",
    '"',
    "'",
    "{",
    "\\",
    "中",
    "文",
    "。",
    "é",
    "😀",
    "\u2028",
    "\r",
    "|",
    "=",
]


@pytest.fixture
def texts() -> Callable[[int], list[str]]:
    """Return n texts of awkward characters, each beginning and ending with a letter."""
    chance = random.Random(5)

    def make(n: int) -> list[str]:
        return ["x" + "".join(chance.choices(ALPHABET, k=chance.randrange(40))) + "字" for _ in range(n)]

    return make


@pytest.fixture
def go(tmp_path: Path) -> Convert:
    """Write rows as JSON lines (or take a path), convert them, return the path of the outcome."""

    def run(rows: Any, to: str, suffix: str = ".jsonl", **settings: Any) -> Path:
        source = rows
        if not isinstance(rows, Path):
            source = tmp_path / f"in{len(list(tmp_path.iterdir()))}.jsonl"
            write_jsonl(source, rows)
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}{suffix}"
        convert([source], out, ConvertSettings(to=to, **settings))
        return out

    return run


def rows_of(path: Path) -> Rows:
    """Return the rows of a file as its reader sees them."""
    return [row for _, row in CARRIERS[carrier_of(path) or ""].read(path)]  # type: ignore[misc]


def rejects_of(path: Path) -> Rows:
    """Return what was set aside."""
    beside = rejects_beside(path)
    return list(read_jsonl(beside)) if beside.exists() else []
