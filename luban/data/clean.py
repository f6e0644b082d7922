"""Raw files to clean documents: read, extract, repair, filter, and say what was dropped and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data import filters
from luban.data.documents import DROPPED, REJECTS, JsonLines, dropped_row, row_of, write_documents
from luban.data.extract import ExtractMainText
from luban.data.funnel import FunnelStep, Kept, count_bytes, document_counts
from luban.data.normalise import RepairUnicode, TidyWhitespace
from luban.data.settings import CleanSettings
from luban.data.sources import Source, list_sources, read_sources
from luban.errors import DataError
from luban.log import Log
from luban.records import Document, Drop

Transform = Callable[[Document], "Document | Drop"]


def transforms(settings: CleanSettings) -> list[Any]:
    """Return the steps in order; each has a `name` and maps a document to a document or a Drop."""
    return [
        ExtractMainText(),
        RepairUnicode(),
        TidyWhitespace(),
        filters.LongEnough(settings.min_chars),
        filters.NoRulingCharacter(settings.max_one_character),
        filters.FewSymbols(settings.max_symbols),
        filters.NoEndlessWord(settings.max_word_chars),
        filters.FewRepeatedLines(settings.max_repeated_lines),
        filters.FewRepeatedNgrams(settings.max_repeated_ngrams, settings.repetition_ngram),
        filters.AllowedLanguage(settings.languages),
    ]


def clean(settings: CleanSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Read the raw files and write the documents that pass every step, and those that do not."""
    sources = list_sources([path for name, path in inputs.items() if name.partition(":")[0] == "raw"])
    with JsonLines(out / DROPPED) as dropped, JsonLines(out / REJECTS) as rejects:
        reasons: list[str] = []

        def reject(file: str, line: int | None, reason: str) -> None:
            rejects.add({"file": file, "line": line, "reason": reason})
            where = file if line is None else f"{file}:{line}"
            if len(reasons) < 5:
                reasons.append(f"{where}: {reason}")
                log.warn(f"left out {where}: {reason}", file=file, line=line, reason=reason)

        run = _Cleaning(transforms(settings), dropped, {s.name: s for s in sources})
        documents = read_sources(
            sources,
            reject,
            text_column=settings.text_column,
            licence=settings.licence,
            max_chars=settings.max_chars,
        )
        write_documents(out, map(row_of, run.passing(documents)))
        if rejects.n > len(reasons):
            log.warn(f"left out {rejects.n} files or rows in all: see {REJECTS}", rejects=rejects.n)
    run.check(reasons)
    return {**run.facts(), "rejects": rejects.n}


@dataclass(slots=True)
class _Cleaning:
    steps: Sequence[Any]
    dropped: JsonLines
    sources: Mapping[str, Source]
    documents_in: int = 0
    bytes_in: int = 0
    kept: Kept = field(default_factory=Kept)
    funnel: list[FunnelStep] = field(init=False)

    def __post_init__(self) -> None:
        self.funnel = [FunnelStep(step.name) for step in self.steps]

    def passing(self, documents: Iterator[Document]) -> Iterator[Document]:
        """Yield the documents that pass every step, counting on the way."""
        for document in documents:
            self.documents_in += 1
            size = count_bytes(document.text)
            self.bytes_in += size
            passed, size = self._through(document, size)
            if passed is not None:
                source = self.sources[passed.source].title
                self.kept.add(passed.language, passed.licence, source, size)
                yield passed

    def _through(self, document: Document, size: int) -> tuple[Document | None, int]:
        for step, tally in zip(self.steps, self.funnel, strict=True):
            result = step(document)
            if isinstance(result, Drop):
                tally.dropped(document.id, document.text, size, result)
                self.dropped.add(dropped_row(document, result, step.name))
                return None, 0
            new_size = size if result.text is document.text else count_bytes(result.text)
            tally.passed(size, new_size)
            document, size = result, new_size
        return document, size

    def check(self, rejected: Sequence[str]) -> None:
        """Refuse an outcome without documents, naming what stood in the way."""
        if not self.documents_in:
            raise DataError(
                "nothing could be read: " + ("; ".join(rejected) or "the files are empty"),
                fix="give txt, md, jsonl, csv, tsv, parquet or html files (all but parquet may be .gz)",
            )
        if not self.kept.documents:
            worst = max(self.funnel, key=lambda s: s.documents_in - s.documents_out)
            raise DataError(
                f"all {self.documents_in} documents were dropped, most of them by the step "
                f"{worst.step!r}: {(worst.example or {}).get('detail', '')}",
                fix="loosen that step's threshold with --set clean.KEY=VALUE, or give other texts",
            )

    def facts(self) -> dict[str, Any]:
        """Return what the manifest shows."""
        return {
            "counts": document_counts(self.documents_in, self.bytes_in, self.kept),
            "funnel": [step.facts() for step in self.funnel],
            **self.kept.facts(),
        }
