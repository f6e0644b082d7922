"""What a data folder holds: the facts of its manifest, and the lengths of its documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luban.data.documents import read_documents
from luban.errors import DataError
from luban.files import Manifest


def describe_folder(folder: Path) -> dict[str, Any]:
    """Return the folder's stage, facts, and the spread of its documents' lengths in characters."""
    manifest = Manifest.read(folder)
    if manifest is None:
        raise DataError(f"{folder} was not written by a stage", fix="name a folder with a manifest.json")
    facts = {"stage": manifest.stage, **manifest.facts}
    if any(folder.glob("documents-*.parquet")):
        facts["lengths"] = lengths(folder)
    return facts


def lengths(folder: Path) -> dict[str, int]:
    """Return the deciles that matter of the documents' lengths in characters."""
    import numpy as np

    sizes = np.array([len(row["text"]) for row in read_documents(folder)])
    if not len(sizes):
        return {}
    shares = {"shortest": 0.0, "tenth": 0.1, "median": 0.5, "nine tenths": 0.9, "longest": 1.0}
    return {name: int(np.quantile(sizes, share)) for name, share in shares.items()}
