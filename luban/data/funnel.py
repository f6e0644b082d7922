"""What each step lets through: documents and bytes in and out, and an example of what it dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from luban.records import Drop

EXAMPLE_CHARS = 300


@dataclass(slots=True)
class FunnelStep:
    """The running count of one step."""

    step: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    example: dict[str, str] | None = None

    def passed(self, bytes_in: int, bytes_out: int) -> None:
        """Count a document that went on."""
        self.documents_in += 1
        self.documents_out += 1
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

    def add(self, language: str, licence: str, source: str, size_bytes: int) -> None:
        """Count one document."""
        one = self.languages.setdefault(language, {"documents": 0, "bytes": 0})
        one["documents"] += 1
        one["bytes"] += size_bytes
        self.licences[licence] += 1
        origin = self.sources.setdefault(source, {"documents": 0, "licence": licence})
        origin["documents"] += 1
        if licence not in origin["licence"].split(", "):
            origin["licence"] += f", {licence}"
        self.documents += 1
        self.size_bytes += size_bytes

    def facts(self) -> dict[str, Any]:
        """Return the three tables."""
        return {
            "languages": dict(sorted(self.languages.items(), key=lambda kv: -kv[1]["bytes"])),
            "licences": dict(self.licences.most_common()),
            "sources": self.sources,
        }


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
