"""A list of what its owners do not want to be learnt from: URLs, domains, sources, texts, sentences.

One entry a line, `#` begins a comment:

    https://site.org/page       this page and what is below it
    domain: site.org            all pages of a domain and its subdomains
    source: books/*.txt         sources by pattern
    sha256: 9f86d081...         a text by the hash of its UTF-8 bytes
    sentence: Any exact sentence, in any document.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from luban.errors import DataError
from luban.records import Document, Drop

MARK = "opted_out"
"""Column with the entry of the list that speaks for a document, until the document is dropped."""

_SENTENCE_END = re.compile(r"[.!?。！？\n]+")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class OptOuts:
    """What a list names. `sentences` are found by their first clause."""

    urls: frozenset[str]
    domains: frozenset[str]
    sources: tuple[str, ...]
    hashes: frozenset[str]
    sentences: dict[str, tuple[str, ...]]

    def entry_for(self, document: Document) -> str:
        """Return the entry that speaks for a document, "" if none does."""
        return next(self._entries(document), "")

    def _entries(self, document: Document) -> Iterator[str]:
        places = (document.source, document.id, str(document.extra.get("url", "")))
        for url in (place for place in places if "://" in place):
            yield from (f"domain {d}" for d in _domains(url) if d in self.domains)
            yield from (f"url {u}" for u in _above(url) if u in self.urls)
        for pattern in self.sources:
            if fnmatch.fnmatchcase(document.source, pattern):
                yield f"source {pattern}"
        if self.hashes:
            digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
            if digest in self.hashes:
                yield f"sha256 {digest}"
        if self.sentences:
            yield from self._sentences(document.text)

    def _sentences(self, text: str) -> Iterator[str]:
        flat = ""
        for part in _SENTENCE_END.split(text):
            for sentence in self.sentences.get(" ".join(part.split()), ()):
                flat = flat or " ".join(text.split())
                if sentence in flat:
                    yield "a sentence"


@dataclass(frozen=True, slots=True)
class MarkOptedOut:
    """Take the text out of documents that the list names; `DropOptedOut` then drops them.

    It comes first, since hashes and sentences are of the text as it is; dropped.jsonl gets no text.
    """

    path: str
    name = "opt-out list"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document, without its text and with a mark where it is on the list."""
        entry = read_opt_outs(Path(self.path)).entry_for(document)
        return replace(document, text="", extra={**document.extra, MARK: entry}) if entry else document


@dataclass(frozen=True, slots=True)
class DropOptedOut:
    """Drop the documents that were marked."""

    name = "opted out"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        entry = document.extra.get(MARK)
        return Drop("opted out", f"on the list by its {entry}") if entry else document


@cache
def read_opt_outs(path: Path) -> OptOuts:
    """Read a list; an entry of no known kind is refused with its line."""
    found: dict[str, list[str]] = {kind: [] for kind in ("url", "domain", "source", "sha256", "sentence")}
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path} cannot be read: {e}", fix="give a text file in UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip().lstrip("\ufeff")
        if line and not line.startswith("#"):
            kind, value = _entry(line, path, number)
            found[kind].append(value)
    sentences: dict[str, tuple[str, ...]] = {}
    for sentence in found["sentence"]:
        flat = " ".join(sentence.split())
        first = next(part for part in map(str.strip, _SENTENCE_END.split(flat)) if part)
        sentences[first] = (*sentences.get(first, ()), flat)
    return OptOuts(
        frozenset(found["url"]),
        frozenset(found["domain"]),
        tuple(found["source"]),
        frozenset(found["sha256"]),
        sentences,
    )


def _entry(line: str, path: Path, number: int) -> tuple[str, str]:
    if line.startswith(("http://", "https://")):
        return "url", _plain_url(line)
    kind, _, value = (part.strip() for part in line.partition(":"))
    if kind == "domain" and value:
        return kind, value.lower().strip(".")
    if kind == "sha256" and _HASH.fullmatch(value.lower()):
        return kind, value.lower()
    if kind == "url" and "://" in value:
        return kind, _plain_url(value)
    if kind == "source" and value:
        return kind, value
    if kind == "sentence" and _SENTENCE_END.sub("", value).strip():
        return kind, value
    raise DataError(
        f"{path}:{number} is no entry of an opt-out list",
        fix="write a URL, or `domain:`, `source:`, `sha256:` or `sentence:` and a value; # begins a comment",
    )


def _plain_url(url: str) -> str:
    """Return a URL without scheme, query and last slash, its host in small letters."""
    try:
        parts = urlsplit(url)
        return f"{(parts.hostname or '').removeprefix('www.')}{parts.path}".rstrip("/")
    except ValueError:
        return url


def _above(url: str) -> Iterator[str]:
    plain = _plain_url(url)
    while plain:
        yield plain
        plain = plain.rpartition("/")[0]


def _domains(url: str) -> Iterator[str]:
    host = _plain_url(url).partition("/")[0]
    labels = host.split(".")
    yield from (".".join(labels[i:]) for i in range(len(labels)))
