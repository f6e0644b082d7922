"""Settings of the stage that converts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertSettings:
    """Rows from one form to another."""

    to: str = "jsonl"
    """Form to write: jsonl, json, csv, tsv, parquet, datasets, documents, openai, messages, sharegpt, alpaca,
    qa, squad, squad2, text, spans, label-studio, conll or conllu."""
    reads: str | None = None
    """Form that is read, when it is not found by itself; named, it is also checked row by row."""
    labels: tuple[str, ...] = ()
    """A label for the rows of each input, in order, such as [good, bad]: for documents and other texts."""
    known: tuple[str, ...] = ()
    """Labels, of texts and of spans, that may occur; rows with others are set aside. Empty: any."""
