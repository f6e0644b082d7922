"""The page of a data folder: what its documents or tokens are, and what was dropped on the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.files import write_bytes
from luban.report.document import document
from luban.report.frame import brand, card, columns
from luban.report.markup import Html, Section, element
from luban.report.reading import Part
from luban.report.sections.documents import (
    duplicates_section,
    lengths_section,
    phrases_section,
    quality_section,
    samples_section,
    tables_section,
    tokens_section,
)
from luban.report.sections.losses import dropped_section, history_section, losses_section, rejects_section
from luban.report.sections.shards import shard_sections
from luban.report.wording import date, language, magnitude, percent, size, whole


def write_data_page(name: str, facts: Mapping[str, Any], out: Path) -> Path:
    """Write the page of what `luban data describe` found in a folder and return its path."""
    write_bytes(out, draw_data_page(name, facts).encode("utf-8", "replace"))
    return out


def draw_data_page(name: str, facts: Mapping[str, Any]) -> str:
    """Return the page as html."""
    notes: list[str] = []
    whole_facts = Part(dict(facts), name, notes)
    nothing = Section("nothing", "No documents", "没有文本", element("p", "This folder holds no documents."))
    sections = [s for s in _sections(whole_facts) if s] or [nothing]
    body = element(
        "body",
        _header(name, whole_facts),
        columns(sections),
        element(
            "footer",
            [element("p", note) for note in notes],
            element("p", "Made by luban data describe. This page loads nothing from anywhere."),
        ),
    )
    return document(f"{name} · Luban data", body)


def _sections(facts: Part) -> list[Section | None]:
    census, losses = facts.part("census"), facts.part("losses")
    return [
        losses_section(facts),
        tables_section(census),
        lengths_section(census),
        quality_section(census),
        duplicates_section(facts),
        tokens_section(census),
        phrases_section(census),
        samples_section(census),
        *shard_sections(facts.part("shards")),
        dropped_section(losses),
        rejects_section(losses),
        history_section(facts),
    ]


def _header(name: str, facts: Part) -> Html:
    steps = facts.parts("history")
    last = steps[-1] if steps else Part({}, "", [])
    about = [facts.text("stage"), last.text("folder"), date(last.text("started"))]
    return element(
        "header",
        brand("Luban data · 数据概览"),
        element("h1", name),
        element("p", " · ".join(a for a in about if a), class_="soft"),
        element("div", _cards(facts), class_="cards"),
    )


def _cards(facts: Part) -> list[Html]:
    census, shards = facts.part("census"), facts.part("shards")
    cards: list[Html] = []
    if census.data:
        n, n_bytes = census.count("documents") or 0, census.count("bytes")
        median = facts.part("lengths").number("median")
        cards += [
            card("Documents", whole(n), f"{whole(census.count('empty'))} without text" if n else ""),
            card("Text", size(n_bytes), f"median {magnitude(median)} characters" if n else ""),
            _languages_card(census.part("tables").part("language")),
        ]
        tokens = [part.count("tokens_estimated") or 0 for part in census.part("tokens").children().values()]
        if tokens:
            cards.append(
                card(
                    "Tokens",
                    magnitude(sum(tokens)),
                    f"{(n_bytes or 0) / max(sum(tokens), 1):.2f} bytes a token",
                )
            )
    if shards.data:
        counts = facts.part("counts")
        cards += [
            card("Tokens", magnitude(counts.number("tokens")), f"{whole(counts.number('tokens'))}"),
            card("Documents", whole(counts.number("documents")), size(counts.number("bytes"))),
            _languages_card(shards.part("tables").part("language")),
        ]
    return [*cards, *_kept_card(facts)]


def _languages_card(languages: Part) -> Html:
    names = list(languages.data)
    others = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return card("Languages", whole(len(names)), ", ".join(map(language, names[:3])) + others)


def _kept_card(facts: Part) -> list[Html]:
    """How much of what came in at the first stage that is known is left."""
    counts = [step.part("counts") for step in facts.parts("history")]
    counts = [c for c in counts if c.count("documents_in") is not None]
    if not counts:
        return []
    first, last = counts[0].count("documents_in") or 0, counts[-1].count("documents_kept") or 0
    return [card("Kept", percent(last, first), f"{whole(last)} of {whole(first)} documents")]
