"""What the tests of readers share: sources of a folder, read into documents and rejects."""

from pathlib import Path
from typing import Any

from luban.data.settings import ReadSettings
from luban.data.sources import list_sources, read_sources
from luban.records import Document

Rejects = list[tuple[str, "int | None", str]]


def read(*roots: Path, **changes: Any) -> tuple[list[Document], Rejects]:
    """Read files and folders; the settings are the usual ones but for `changes`."""
    rejects: Rejects = []
    settings = ReadSettings(**changes)
    sources = list_sources(roots, settings)
    documents = list(
        read_sources(sources, lambda file, line, reason: rejects.append((file, line, reason)), settings)
    )
    assert len({d.id for d in documents}) == len(documents)
    return documents, rejects


def texts(*roots: Path, **changes: Any) -> dict[str, str]:
    """Return the texts by source of what can all be read."""
    documents, rejects = read(*roots, **changes)
    assert rejects == []
    return {d.source: d.text for d in documents}
