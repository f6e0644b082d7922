"""Recordings with transcripts that lie beside the repository, where somebody has put them."""

import gzip
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Clip:
    """A recording, what is said in it, and in which language."""

    path: Path
    text: str
    language: str


def clips(name: str, to: Path) -> list[Clip]:
    """Unpack a set of recordings (such as "speech_misc"), or skip the test if it is not there."""
    found = sorted((FOLDER / name).glob("*.zip"))
    if not found:
        pytest.skip(f"the recordings {name} are not in ../shared/data")
    with zipfile.ZipFile(found[0]) as archive:
        archive.extractall(to)
    with gzip.open(found[0].with_suffix(".manifest.jsonl.gz"), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Clip(to / row["file"], row["text"], row["language"]) for row in rows]
