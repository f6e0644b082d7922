"""What each step lets through: documents and bytes in and out, and an example of what it dropped."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from luban.records import Drop

EXAMPLE_CHARS = 300
MAX_SOURCES = 500  # named one by one in a manifest
OTHERS = "(others)"
_SITE = re.compile(r"https?://([^/?#]+)", re.I)
_PAGE = re.compile(r"[^/]*?(\.(?:x?html?)(?:\.gz)?)$", re.I)


@dataclass(slots=True)
class FunnelStep:
    """The running count of one step."""

    step: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    example: dict[str, str] | None = None

    def passed(self, bytes_in: int, bytes_out: int, documents: int = 1) -> None:
        """Count a document that went on, or several."""
        self.documents_in += documents
        self.documents_out += documents
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    def dropped(self, document_id: str, text: str, bytes_in: int, drop: Drop) -> None:
        """Count a document that was dropped; the first is kept as the example."""
        self.documents_in += 1
        self.bytes_in += bytes_in
        if self.example is None:
            self.example = {
                "id": document_id,
                "reason": drop.reason,
                "detail": drop.detail,
                "text": text[:EXAMPLE_CHARS],
            }

    def add(self, other: FunnelStep) -> None:
        """Count what another has counted."""
        for name in ("documents_in", "documents_out", "bytes_in", "bytes_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.example = self.example or other.example

    def facts(self) -> dict[str, Any]:
        """Return the row of the funnel table."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Kept:
    """What the kept documents are: languages, licences and sources."""

    languages: dict[str, dict[str, int]] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: int = 0
    size_bytes: int = 0

    def add(
        self,
        language: str,
        licence: str,
        source: str,
        size_bytes: int,
        *,
        named: bool = False,
        documents: int = 1,
    ) -> None:
        """Count a document, or several; a source that is not `named` for people is taken with its likes."""
        self._add_language(language, documents, size_bytes)
        self.licences[licence] += documents
        self._add_source(source if named else source_title(source), documents, licence)
        self.documents += documents
        self.size_bytes += size_bytes

    def merge(self, other: Kept) -> None:
        """Count what another has counted."""
        for language, one in other.languages.items():
            self._add_language(language, one["documents"], one["bytes"])
        self.licences.update(other.licences)
        for source, origin in other.sources.items():
            for licence in origin["licence"].split(", "):
                self._add_source(source, 0, licence)
            self._add_source(source, origin["documents"], origin["licence"].split(", ")[0])
        self.documents += other.documents
        self.size_bytes += other.size_bytes

    def facts(self) -> dict[str, Any]:
        """Return the three tables."""
        return {
            "languages": dict(sorted(self.languages.items(), key=lambda kv: -kv[1]["bytes"])),
            "licences": dict(self.licences.most_common()),
            "sources": self.sources,
        }

    def _add_language(self, language: str, documents: int, size_bytes: int) -> None:
        one = self.languages.setdefault(language, {"documents": 0, "bytes": 0})
        one["documents"] += documents
        one["bytes"] += size_bytes

    def _add_source(self, source: str, documents: int, licence: str) -> None:
        if source not in self.sources and len(self.sources) >= MAX_SOURCES:
            source = OTHERS
        origin = self.sources.setdefault(source, {"documents": 0, "licence": licence})
        origin["documents"] += documents
        if licence not in origin["licence"].split(", "):
            origin["licence"] += f", {licence}"


def source_title(source: str) -> str:
    """Return a source's name for tables: pages of a site, of a folder or of an archive go together.

    source_title("a/index.html.gz") -> "a/*.html.gz"
    source_title("https://example.org/a/b") -> "example.org"
    """
    if _SITE.match(source):
        return site_of(source)
    folder, mark, _ = source.partition("!")
    if mark:
        return f"{folder}!*"
    return _PAGE.sub(r"*\1", source)


def site_of(source: str) -> str:
    """Return the host of a source that is a page, else the source itself.

    site_of("https://Example.org/a/b") -> "example.org"
    """
    found = _SITE.match(source)
    return found[1].lower() if found else source


def count_bytes(text: str) -> int:
    """Return the UTF-8 length of a text, lone surrogates included."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def document_counts(documents_in: int, bytes_in: int, kept: Kept) -> dict[str, int]:
    """Return the counts of a stage; what came in was kept or dropped."""
    return {
        "documents_in": documents_in,
        "documents_kept": kept.documents,
        "documents_dropped": documents_in - kept.documents,
        "bytes_in": bytes_in,
        "bytes_kept": kept.size_bytes,
    }
