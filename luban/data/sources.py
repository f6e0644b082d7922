"""Raw files and folders become documents, streamed; what cannot be read is rejected, not fatal."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable, decode_html, open_bytes, open_text
from luban.data.funnel import source_title
from luban.data.origins import ORIGINS_FILE, Origin, Origins
from luban.data.tables import TABLE_SUFFIXES, TEXT_COLUMNS, Row, find_column, read_rows, suffix_of
from luban.errors import DataError
from luban.files import Manifest
from luban.records import Document

TEXT_SUFFIXES = (".txt", ".text", ".md")
HTML_SUFFIXES = (".html", ".htm", ".xhtml")
HTML_BYTES = 20_000_000  # a larger page is a dump, and its tree would fill the memory
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)]*\s*")

Reject = Callable[[str, int | None, str], None]
"""Takes the file, the line or row if it is only one, and the reason."""


@dataclass(frozen=True, slots=True)
class Source:
    """One raw file: where it is, what it is called in documents, and where it comes from."""

    path: Path
    name: str
    origin: Origin

    @property
    def title(self) -> str:
        """The source for people: its name in SOURCES.yaml, or the file; pages are taken together."""
        return self.origin.source or source_title(self.name)


def list_sources(roots: Sequence[Path]) -> list[Source]:
    """Return every file at or below the roots in a stable order; hidden files are passed over.

    Of a folder that a stage wrote, only the documents are taken. Of several roots, each name begins
    with the root's.
    """
    found = []
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        folder = root if root.is_dir() else root.parent
        origins = Origins(folder)
        for path in _files(root):
            name = path.relative_to(folder).as_posix()
            found.append(Source(path, f"{prefix}{name}", origins.of(path)))
    if not found:
        where = ", ".join(map(str, roots))
        raise DataError(f"{where} holds no files", fix="put texts there (txt, md, jsonl, csv, parquet, html)")
    return found


def read_sources(
    sources: Sequence[Source], reject: Reject, *, text_column: str | None, licence: str, max_chars: int
) -> Iterator[Document]:
    """Yield the documents of all files in order, and report to `reject` what cannot be read.

    Pages come as html: see `is_html`.
    """
    for source in sources:
        kind = suffix_of(source.path)
        make = partial(_document, source, licence=source.origin.licence or licence)
        try:
            if kind in TEXT_SUFFIXES:
                for position, text in enumerate(split_text(source.path, max_chars)):
                    yield make(position, text, {})
            elif kind in TABLE_SUFFIXES:
                yield from _from_table(source, make, reject, text_column)
            elif kind in HTML_SUFFIXES:
                yield make(0, _read_html(source.path), {})
            else:
                reject(source.name, None, f"no reader for {kind or 'files without a suffix'}")
        except Unreadable as e:
            reject(source.name, None, str(e))
        except OSError as e:
            reject(source.name, None, f"cannot be opened: {e.strerror or e}")


def is_html(source: str) -> bool:
    """Whether documents of this source are pages."""
    return suffix_of(Path(source)) in HTML_SUFFIXES


def split_text(path: Path, max_chars: int) -> Iterator[str]:
    """Yield a text file in pieces of at most `max_chars`, cut after a paragraph where there is one.

    Without a blank line to cut at, a cut falls after a line; without lines, after a sentence.
    """
    piece = ""
    with open_text(path) as f:
        while line := f.readline(max_chars):
            while len(piece) + len(line) > max_chars:
                cut = _cut(piece)
                yield piece[:cut]
                piece = piece[cut:]
            piece += line
    if piece.strip():
        yield piece


def _cut(piece: str) -> int:
    """Where to cut lines: after the last blank line in the second half, else after the last line."""
    blank = piece.rfind("\n\n", len(piece) // 2)
    if blank >= 0:
        return blank + 2
    line = piece.rfind("\n", len(piece) // 2)
    return line + 1 if line >= 0 else _cut_line(piece)


def _cut_line(line: str) -> int:
    """Where to cut one long line: after the last sentence in the second half, else after a space."""
    ends = [m.end() for m in _SENTENCE_END.finditer(line, len(line) // 2)]
    if ends:
        return ends[-1]
    space = line.rfind(" ", len(line) // 2)
    return space + 1 if space >= 0 else len(line)


def _prefixes(roots: Sequence[Path]) -> list[str]:
    if len(roots) == 1:
        return [""]
    names = [root.resolve().name for root in roots]
    repeated = {n for n in names if names.count(n) > 1}
    return [f"{n}-{i}/" if n in repeated else f"{n}/" for i, n in enumerate(names, start=1)]


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if Manifest.read(root):
        return sorted(root.glob("documents-*.parquet"))
    paths = (p for p in root.rglob("*") if p.is_file() and p.name != ORIGINS_FILE)
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(root).parts))


def _document(source: Source, position: int, text: str, row: Mapping[str, Any], *, licence: str) -> Document:
    digest = hashlib.sha256(f"{source.name}\0{position}".encode("utf-8", "surrogateescape"))
    language = row.get("language") or row.get("lang")
    given = isinstance(language, str) and _LANGUAGE.fullmatch(language) and language
    own = row.get("licence") or row.get("license")
    return Document(
        id=digest.hexdigest()[:16],
        text=text,
        source=source.name,
        licence=own if isinstance(own, str) else licence,
        language=given or source.origin.language or "und",
    )


def _from_table(
    source: Source, make: Callable[[int, str, Mapping[str, Any]], Document], reject: Reject, named: str | None
) -> Iterator[Document]:
    column = None

    def check(columns: Sequence[str]) -> None:
        nonlocal column
        column = find_column(named, TEXT_COLUMNS, columns, source.name)
        if column is None:
            raise Unreadable(f"no text column among {', '.join(map(str, columns))}; set clean.text_column")

    for number, row in read_rows(source.path, check):
        text = _text_of(row, column or named)
        if isinstance(text, Unreadable):
            reject(source.name, number, str(text))
        else:
            yield make(number, text, row if isinstance(row, dict) else {})


def _text_of(row: Row | Unreadable, column: str | None) -> str | Unreadable:
    if isinstance(row, Unreadable):
        return row
    column = column or find_column(None, TEXT_COLUMNS, list(row), "row")
    if column is None or column not in row:
        return Unreadable(f"no field {column or 'with text'}; it has: {', '.join(map(str, row)) or 'none'}")
    text = row[column]
    return text if isinstance(text, str) else Unreadable(f"{column} holds {type(text).__name__}, not text")


def _read_html(path: Path) -> str:
    try:
        with open_bytes(path) as f:
            data = f.read(HTML_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise Unreadable(f"broken gzip: {e}") from None
    if len(data) > HTML_BYTES:
        raise Unreadable(f"a page of more than {HTML_BYTES / 1e6:.0f} MB")
    return decode_html(path, data)
