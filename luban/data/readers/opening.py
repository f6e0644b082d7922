"""Which reader reads what: by a name's suffix, under any packing, inside any archive."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from luban.data.encoding import Unreadable, reading
from luban.data.readers import markup, plain, tabular
from luban.data.readers.archives import ReadMember, read_tar, read_zip
from luban.data.readers.licences import LICENCE_NAMES
from luban.data.readers.pdf import read_pdf
from luban.data.readers.records import Blob, Broken, Budget, Counted, Found, Metered, Span, Spent
from luban.data.readers.tabular import AUDIO_COLUMNS, AUDIO_SUFFIXES
from luban.data.readers.warc import read_warc
from luban.data.settings import ReadSettings
from luban.data.tables import read_rows
from luban.data.unpacking import split_suffix, unpacked
from luban.errors import LubanError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".log")
HTML_SUFFIXES = (".html", ".htm", ".xhtml")
READERS: dict[str, Callable[[Blob], Found]] = {
    **dict.fromkeys(plain.CODE_LANGUAGES, plain.read_code),
    **dict.fromkeys(TEXT_SUFFIXES, plain.read_plain),
    **dict.fromkeys(HTML_SUFFIXES, plain.read_html),
    ".jsonl": tabular.read_json_lines,
    ".ndjson": tabular.read_json_lines,
    ".json": tabular.read_json,
    ".csv": tabular.read_csv,
    ".tsv": tabular.read_csv,
    ".parquet": tabular.read_parquet,
    ".arrow": tabular.read_arrow,
    ".feather": tabular.read_arrow,
    ".xml": markup.read_xml,
    ".docx": markup.read_docx,
    ".odt": markup.read_odt,
    ".epub": markup.read_epub,
    ".pdf": read_pdf,
    ".ipynb": plain.read_notebook,
}
ARCHIVES = (".zip", ".tar")
CONTAINERS: dict[str, Callable[[Blob, ReadMember], Found]] = {
    ".zip": read_zip,
    ".tar": read_tar,
    ".warc": read_warc,
    ".wet": read_warc,
}
_PLAIN_NAMES = frozenset(
    ("readme", "changelog", "changes", "news", "authors", "contributing", "notice", "todo")
)


def read_file(path: Path, name: str, settings: ReadSettings, span: Span | None = None) -> Found:
    """Yield what a file of the disk holds, and what of it cannot be read."""
    budget = Budget(settings, 0)
    try:
        with path.open("rb") as raw:
            budget.packed_bytes = os.fstat(raw.fileno()).st_size
            kind, packing = kind_of(name)
            meter = _unpack(raw, name, budget) if packing else None
            stream: IO[bytes] = io.BufferedReader(meter, 1 << 18) if meter else raw
            where = None if packing else path
            yield from read_blob(Blob(name, kind, stream, settings, budget, where, path, span, meter=meter))
    except Spent as e:
        yield Broken(name, None, str(e))
    except OSError as e:
        yield Broken(name, None, f"cannot be opened: {e.strerror or e}")
    for audio in budget.audio:
        file = PurePosixPath(audio).name
        if file not in budget.transcribed and file not in _transcribed_beside(path.parent):
            yield Broken(audio, None, "a recording without a transcript: no manifest beside it names it")


def read_blob(blob: Blob) -> Found:
    """Yield what an opened file holds; what is wrong with it as a whole is told once."""
    if blob.kind in AUDIO_SUFFIXES:
        blob.budget.audio.append(blob.name)
        return
    try:
        with reading(blob.name):
            yield from _checked(blob)
    except Spent:
        raise
    except Unreadable as e:
        yield Broken(blob.name, None, str(e))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error) as e:
        yield Broken(blob.name, None, f"cannot be unpacked: {e}")
    except (LubanError, OSError):
        raise
    except Exception as e:  # hostile files find ways through the libraries that read them
        yield Broken(blob.name, None, f"the reader failed: {type(e).__name__}: {str(e)[:300]}")


def _checked(blob: Blob) -> Found:
    """Yield what a file holds; if it could not be unpacked, that is the reason for whatever else is wrong."""
    try:
        if blob.kind in CONTAINERS:
            yield from CONTAINERS[blob.kind](blob, read_member)
        elif blob.kind in READERS:
            yield from READERS[blob.kind](blob)
        else:
            yield Broken(blob.name, None, f"no reader for {blob.kind or 'files without a suffix'}")
            return
    except Unreadable:
        if blob.meter is None or blob.meter.error is None:
            raise
    if blob.meter is not None and blob.meter.error is not None:
        raise blob.meter.error


def read_member(parent: Blob, name: str, stream: Any) -> Found:
    """Yield what a member of an archive holds; hidden ones are passed over, as on the disk."""
    inside = name[len(parent.name) + 1 :]
    if any(part.startswith(".") or part == "__MACOSX" for part in inside.split("/")):
        return
    kind, packing = kind_of(name)
    if is_licence_file(inside) or not (chosen(name, parent.settings) or _chosen_whole(parent)):
        return
    if kind in CONTAINERS and parent.depth + 1 >= parent.settings.max_depth:
        yield Broken(
            name, None, f"an archive deeper inside archives than max_depth = {parent.settings.max_depth}"
        )
        return
    meter = stream if isinstance(stream, Metered) else None
    if meter is not None:
        stream = io.BufferedReader(meter, 1 << 18)
    if packing:
        meter = _unpack(stream, name, parent.budget)
        stream = io.BufferedReader(meter, 1 << 18)
    blob = Blob(name, kind, stream, parent.settings, parent.budget, beside=parent.beside, meter=meter)
    blob.depth = parent.depth + 1
    yield from read_blob(blob)


def kind_of(name: str) -> tuple[str, str]:
    """Return the suffix that says how to read a file, and its packing; kind_of("README") -> (".txt", "")."""
    kind, packing = split_suffix(name)
    path = PurePosixPath(name.lower())
    if path.name in plain.CODE_NAMES:
        return ".py", ""  # read as any program
    return (".txt", "") if not kind and not packing and path.name in _PLAIN_NAMES else (kind, packing)


def is_licence_file(name: str) -> bool:
    """Whether a file is a licence, which speaks for the others, and not a text among them."""
    path = PurePosixPath(name.lower())
    return path.stem in LICENCE_NAMES and path.suffix in ("", ".txt", ".md", ".rst")


def chosen(name: str, settings: ReadSettings, *, archive: bool = False) -> bool:
    """Whether a file is to be read; of an archive, the members are asked for themselves."""
    if any(_matches(name, pattern) for pattern in settings.exclude):
        return False
    return archive or not settings.include or any(_matches(name, p) for p in settings.include)


def _chosen_whole(archive: Blob) -> bool:
    return bool(archive.settings.include) and chosen(archive.name, archive.settings)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or PurePosixPath(name).match(pattern)


def _unpack(stream: IO[bytes], name: str, budget: Budget) -> Metered:
    counted = Counted(stream)
    opened = unpacked(io.BufferedReader(counted, 1 << 16), PurePosixPath(name).suffix.lower())
    return Metered(opened, budget, counted)


@lru_cache(maxsize=8)
def _transcribed_beside(folder: Path) -> frozenset[str]:
    """Return the names of recordings that manifests in a folder, or in the one above, have texts for."""
    found: set[str] = set()
    for place in (folder, folder.parent):
        for path in sorted(place.glob("*.jsonl*")):
            if "manifest" in path.name or path.name.startswith("metadata"):
                found.update(_names(path))
    return frozenset(found)


def _names(path: Path) -> set[str]:
    found: set[str] = set()
    try:
        for _, row in read_rows(path):
            if isinstance(row, dict):
                values = (row.get(column) for column in AUDIO_COLUMNS)
                found.update(PurePosixPath(value).name for value in values if isinstance(value, str))
    except (Unreadable, OSError):
        return found  # it is rejected when its own turn comes
    return found
