"""Raw files to documents, unfiltered: all that can be read, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.data.engine import open_engine
from luban.data.finding import passed_over
from luban.data.raw import ReadRaw, read_raw
from luban.data.settings import CollectSettings
from luban.data.sources import list_sources
from luban.data.steps import say_rejects, write_rows
from luban.errors import DataError
from luban.log import Log


def collect(settings: CollectSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Read raw files into a documents folder; pages stay html, marked by a column `format`."""
    roots = [path for name, path in inputs.items() if name.partition(":")[0] == "raw"]
    sources = list_sources(roots, settings)
    titles = {source.name: source.title for source in sources if source.title != source.name}
    with open_engine(settings, out) as engine:
        written = write_rows(read_raw(engine, sources, ReadRaw(settings)), out, [], titles)
    say_rejects(written, log)
    if not written.documents_in:
        raise DataError(
            "nothing could be read: " + ("; ".join(written.reasons) or "the files are empty"),
            fix="give files that hold text; `luban data collect --help` names the kinds",
        )
    return {**written.facts(), **passed_over(roots, log)}
