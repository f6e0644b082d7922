"""Raw files and folders become documents, streamed; what cannot be read is rejected, not fatal."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from luban.data.documents import COLUMNS, document_of
from luban.data.encoding import HEAD_BYTES, Unreadable, detect
from luban.data.extras import load_extra
from luban.data.finding import Place, find_places
from luban.data.origins import Origin, Origins
from luban.data.readers.jsons import whole_characters
from luban.data.readers.opening import ARCHIVES, HTML_SUFFIXES, chosen, kind_of, read_file
from luban.data.readers.records import Broken, Record, Span
from luban.data.readers.tabular import LANGUAGE_COLUMNS, LICENCE_COLUMNS, ORIGIN_COLUMNS, TIME_COLUMNS
from luban.data.readers.times import iso_time
from luban.data.settings import ReadSettings
from luban.data.tables import parquet_rows
from luban.data.unpacking import split_suffix
from luban.errors import DataError
from luban.records import Document

UNIT_FILES = 500
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_]\w+)*", re.I)
_NO_TEXT = "no text in it"

Reject = Callable[[str, "int | None", str], None]
"""Takes the file or member, the line or row if it is only one, and the reason."""


@dataclass(frozen=True, slots=True)
class Source:
    """One raw file, or a part of one: where it is, what documents call it, and where it comes from."""

    path: Path
    name: str
    origin: Origin
    span: Span | None = None
    """The bytes of JSON lines, or the row groups of parquet, to read."""
    is_documents: bool = False
    """A part of a documents folder, whose rows keep what they say of themselves."""
    prefix: str = ""
    problem: str = ""
    """Why it cannot be read, if that is known from looking at the folder."""

    @property
    def title(self) -> str:
        """The source for people: its name in SOURCES.yaml, or the file; pages are taken together."""
        return self.origin.source or source_title(self.name)


def source_title(source: str) -> str:
    """Return a source's name for tables: pages of a folder go together.

    source_title("a/index.html.gz") -> "a/*.html.gz"
    """
    return re.sub(r"[^/]*?(\.\w+(?:\.gz)?)$", r"*\1", source) if is_html(source) else source


def list_sources(roots: Sequence[Path], settings: ReadSettings | None = None) -> list[Source]:
    """Return every file at or below the roots in a stable order; hidden files are passed over.

    Of a folder that a stage wrote, only the documents are taken; of one that `datasets` saved, only the
    tables. Of several roots, each name begins with the root's.
    """
    settings = settings or ReadSettings()
    found = []
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        folder = root if root.is_dir() else root.parent
        origins = Origins(folder)
        places = find_places(root)
        names = _names([prefix + place.path.relative_to(folder).as_posix() for place in places])
        for place, name in zip(places, names, strict=True):
            if place.is_documents or chosen(name, settings, archive=kind_of(name)[0] in ARCHIVES):
                found.append(_source(place, name, prefix, origins))
    if not found:
        where = ", ".join(map(str, roots))
        raise DataError(f"{where} holds no files", fix="put texts there (txt, md, jsonl, csv, parquet, html)")
    return found


def read_sources(
    sources: Sequence[Source], reject: Reject, settings: ReadSettings | None = None
) -> Iterator[Document]:
    """Yield the documents of all files in order, and report to `reject` what cannot be read.

    Pages come as html: see `is_page`.
    """
    settings = settings or ReadSettings()
    for source in sources:
        if source.problem:
            reject(source.name, None, source.problem)
        elif source.is_documents:
            yield from _kept(source, reject)
        else:
            make = _Maker(source, settings)
            for found in read_file(source.path, source.name, settings, source.span):
                made = found if isinstance(found, Broken) else make(found)
                if isinstance(made, Document):
                    yield made
                else:
                    reject(made.file, _whole_line(source, made.line), made.reason)


def split_units(
    sources: Sequence[Source], bytes_per_unit: int, settings: ReadSettings | None = None
) -> list[tuple[Source, ...]]:
    """Gather sources, in order, into pieces of work of about that size.

    Large files of JSON lines and parquet are cut: what is read of the parts is what is read of the whole.
    """
    units: list[tuple[Source, ...]] = []
    unit: list[Source] = []
    size = 0
    for source in sources:
        for part, part_bytes in _parts(source, bytes_per_unit, settings or ReadSettings()):
            if unit and (size + part_bytes > bytes_per_unit or len(unit) >= UNIT_FILES):
                units.append(tuple(unit))
                unit, size = [], 0
            unit.append(part)
            size += part_bytes
    return [*units, tuple(unit)] if unit else units


def is_html(source: str) -> bool:
    """Whether this is the name of a page."""
    return split_suffix(source)[0] in HTML_SUFFIXES


def is_page(document: Document) -> bool:
    """Whether a document is a page as it was found, of which the main text is still to be taken."""
    return document.extra.get("format") == "html"


class _Maker:
    """Makes documents of a source's records."""

    def __init__(self, source: Source, settings: ReadSettings):
        self._licence = source.origin.licence or settings.licence
        self._language = source.origin.language or "und"
        self._carry = settings.carry
        self._all = "*" in settings.carry

    def __call__(self, record: Record) -> Document | Broken:
        text, row = record.text, record.row
        if not isinstance(text, str):
            what = "null" if text is None else f"of type {type(text).__name__}"
            return Broken(record.file, record.line, f"the text is {what}")
        if not text or text.isspace():
            return Broken(record.file, record.line, _NO_TEXT)
        licence, language, time = self._licence, self._language, ""
        if not ORIGIN_COLUMNS.isdisjoint(row):
            licence = _named(row, LICENCE_COLUMNS) or licence
            language = _language(row) or language
            time = next((t for name in TIME_COLUMNS if name in row and (t := iso_time(row[name]))), "")
        digest = hashlib.sha256(f"{record.file}\0{record.position}".encode("utf-8", "replace"))
        return Document(
            id=digest.hexdigest()[:16],
            text=text,
            source=record.source or record.file,
            licence=licence,
            language=language,
            time=time,
            extra={**self._carried(row), **record.extra} if self._carry else record.extra,
        )

    def _carried(self, row: Mapping[str, Any]) -> dict[str, str]:
        names = row if self._all else [name for name in self._carry if name in row]
        taken = (*COLUMNS, *LICENCE_COLUMNS, *LANGUAGE_COLUMNS)
        return {
            f"source_{name}" if name in COLUMNS else name: _as_text(row[name])
            for name in names
            if row[name] is not None and (name not in taken or name == "id")
        }


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(whole_characters(json.dumps(value, ensure_ascii=False, default=str)))


def _named(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    for name in columns:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _language(row: Mapping[str, Any]) -> str:
    match = _LANGUAGE.fullmatch(_named(row, LANGUAGE_COLUMNS))
    return match[1].lower() if match else ""


def _kept(source: Source, reject: Reject) -> Iterator[Document]:
    """Yield the rows of a documents folder as they are; of several folders, ids are made different."""
    try:
        for number, row in parquet_rows(source.path, lambda columns: None, source.span):
            if isinstance(row, dict) and isinstance(row.get("text"), str) and row.get("id"):
                document = document_of(row)
                if source.prefix:
                    digest = hashlib.sha256(f"{source.prefix}\0{document.id}".encode("utf-8", "replace"))
                    document = replace(document, id=digest.hexdigest()[:16])
                yield document
            else:
                reject(source.name, number, "a row without an id or a text")
    except Unreadable as e:
        reject(source.name, None, str(e))
    except OSError as e:
        reject(source.name, None, f"cannot be opened: {e.strerror or e}")


def _source(place: Place, name: str, prefix: str, origins: Origins) -> Source:
    origin = Origin() if place.is_documents or place.problem else origins.of(place.path)
    if place.licence and not origin.licence:
        origin = replace(origin, licence=place.licence)
    return Source(
        place.path, name, origin, is_documents=place.is_documents, prefix=prefix, problem=place.problem
    )


def _prefixes(roots: Sequence[Path]) -> list[str]:
    if len(roots) == 1:
        return [""]
    names = [root.resolve().name for root in roots]
    taken = set(names)
    found = []
    for i, name in enumerate(names):
        n = i + 1
        while names.count(name) > 1 and f"{name}-{n}" in taken:
            n += len(names)
        own = f"{name}-{n}" if names.count(name) > 1 else name
        taken.add(own)
        found.append(f"{own}/")
    return found


def _names(paths: Sequence[str]) -> list[str]:
    """Return paths as text; the bytes of those that are no UTF-8 are written out, and no two are the same."""
    taken = set(paths)
    names = []
    for path in paths:
        name = own = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        n = 1
        while own != path and own in taken:
            n += 1
            own = str(PurePosixPath(name).with_stem(f"{PurePosixPath(name).stem}~{n}"))
        taken.add(own)
        names.append(own)
    return names


def _parts(source: Source, size: int, settings: ReadSettings) -> Iterator[tuple[Source, int]]:
    """Yield the parts of a source with the bytes of each."""
    try:
        whole = source.path.stat().st_size
        kind, packing = kind_of(source.name)
        if whole <= size or packing or source.problem or source.span:
            spans = []
        elif kind == ".parquet":
            spans = _row_groups(source.path, size)
        else:
            spans = _ranges(source.path, whole, size, settings) if kind in (".jsonl", ".ndjson") else []
    except OSError:
        whole, spans = 0, []  # reading it will tell
    if not spans:
        yield source, whole
    for first, end, n in spans:
        yield replace(source, span=(first, end)), n


def _ranges(path: Path, whole: int, size: int, settings: ReadSettings) -> list[tuple[int, int, int]]:
    """Return ranges of bytes; lines of UTF-16 and the like end in more than one, and are not cut."""
    with path.open("rb") as f:
        try:
            name = settings.encoding or detect(f.read(HEAD_BYTES))
        except Unreadable:
            return []
    if settings.encoding or name.startswith(("utf-16", "utf-32")):
        return []
    return [(start, min(start + size, whole), min(size, whole - start)) for start in range(0, whole, size)]


def _row_groups(path: Path, size: int) -> list[tuple[int, int, int]]:
    arrow, pq = load_extra("pyarrow"), load_extra("pyarrow.parquet")
    try:
        metadata = pq.read_metadata(path)
    except (arrow.ArrowException, OSError):
        return []
    spans: list[tuple[int, int, int]] = []
    first = held = 0
    for group in range(metadata.num_row_groups):
        held += metadata.row_group(group).total_byte_size
        if held >= size or group == metadata.num_row_groups - 1:
            spans.append((first, group + 1, held))
            first, held = group + 1, 0
    return spans


def _whole_line(source: Source, line: int | None) -> int | None:
    """Return the number of a line in its file, where only a range of bytes was read."""
    if line is None or source.span is None or kind_of(source.name)[0] == ".parquet":
        return line
    return line + _lines_before(source.path, source.span[0])


@lru_cache(maxsize=64)
def _lines_before(path: Path, offset: int) -> int:
    """Count the lines that begin before an offset: only rejects need the number."""
    n, last = 0, b"\n"
    with path.open("rb") as f:
        while offset > 0 and (block := f.read(min(offset, 1 << 20))):
            n += block.count(b"\n")
            offset -= len(block)
            last = block[-1:]
    return n + (last != b"\n")
