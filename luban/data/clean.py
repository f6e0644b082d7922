"""Raw files to clean documents: read, extract, repair, filter, and say what was dropped and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luban.data.engine import open_engine
from luban.data.extract import ExtractMainText
from luban.data.finding import passed_over
from luban.data.normalise import normalise_steps
from luban.data.quality.rules import quality_steps
from luban.data.raw import ReadRaw, read_raw
from luban.data.settings import CleanSettings
from luban.data.sources import list_sources
from luban.data.steps import Steps, Written, say_rejects, write_rows
from luban.errors import DataError
from luban.log import Log
from luban.records import Document, Drop

Transform = Callable[[Document], "Document | Drop"]


def transforms(settings: CleanSettings) -> list[Any]:
    """Return the steps in order; each has a `name` and maps a document to a document or a Drop."""
    return [
        ExtractMainText(settings.extractor, settings.markdown, settings.max_page_chars),
        *normalise_steps(settings.normalise),
        *quality_steps(settings),
    ]


def clean(settings: CleanSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Read the raw files and write the documents that pass every step, and those that do not."""
    roots = [path for name, path in inputs.items() if name.partition(":")[0] == "raw"]
    sources = list_sources(roots, settings)
    steps = transforms(settings)
    read = ReadRaw(settings)
    titles = {source.name: source.title for source in sources if source.title != source.name}
    with open_engine(settings, out) as engine:
        rows = read_raw(engine, sources, read).map(Steps(tuple(steps)))
        written = write_rows(rows, out, [step.name for step in steps], titles)
    say_rejects(written, log)
    _refuse_nothing(written)
    return {**written.facts(), **passed_over(roots, log)}


def _refuse_nothing(written: Written) -> None:
    """Refuse an outcome without documents, naming what stood in the way."""
    if not written.documents_in:
        raise DataError(
            "nothing could be read: " + ("; ".join(written.reasons) or "the files are empty"),
            fix="give txt, md, jsonl, csv, tsv, parquet or html files (all but parquet may be .gz)",
        )
    if not written.kept.documents:
        worst = max(written.funnel, key=lambda s: s.documents_in - s.documents_out)
        raise DataError(
            f"all {written.documents_in} documents were dropped, most of them by the step "
            f"{worst.step!r}: {(worst.example or {}).get('detail', '')}",
            fix="loosen that step's threshold with --set clean.KEY=VALUE, or give other texts",
        )
