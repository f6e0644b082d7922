"""Documents without personal data, forbidden licences and those whose owners said no; canaries for audits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from luban.data.canaries import PLANTED, Plant, make_canaries, places_for, plant_documents, write_canaries
from luban.data.engine import Rows, Table, WriteFunction, open_engine
from luban.data.licences import AllowedLicence
from luban.data.opt_out import DropOptedOut, MarkOptedOut, read_opt_outs
from luban.data.protect_settings import ProtectSettings
from luban.data.steps import Steps, check_count, read_folder, write_rows
from luban.errors import ConfigError
from luban.files import hash_bytes
from luban.log import Log
from luban.privacy.pii import Masker, check_types, find_personal_data
from luban.records import Document, Drop

MIN_KEY_CHARS = 16
FOUND = "personal_data"
"""Column that says how much was found in a document, by type: "email 2, phone 1"."""


def protect(settings: ProtectSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Mask personal data; drop what its licence or its owner forbids; plant canaries where asked."""
    folder, key = inputs["documents"], read_key(settings)
    steps = steps_for(settings, key, inputs.get("opt_out"))
    canaries = make_canaries(settings)
    places = places_for(folder, settings, canaries)
    with open_engine(settings, out) as engine:
        rows = read_folder(engine, folder).map(Steps(tuple(steps)))
        counted = _Counted(rows.map(Plant(places)) if places else rows, settings.column)
        written = write_rows(cast(Rows, counted), out, [step.name for step in steps])
    check_count(written, folder)
    facts = {**written.facts(), "personal_data": dict(counted.found.most_common())}
    if key:
        facts["key"] = hash_bytes(key)[:8]  # tells keys apart, and does not give them away
    if canaries:
        planted = counted.planted if places else plant_documents(folder, out, settings, canaries)
        facts["counts"]["canaries_planted"] = sum(planted.values())
        if not places:
            facts["counts"]["documents_planted"] = sum(planted.values())  # kept is in plus these, less drops
        write_canaries(out, settings, canaries, planted)
    return facts


def steps_for(settings: ProtectSettings, key: bytes, opt_out: Path | None) -> list[Any]:
    """Return the steps in order. Masking comes before any drop: dropped.jsonl shows masked texts."""
    steps: list[Any] = [
        MaskPersonalData(
            check_types(settings.types),
            Masker(settings.mode, dict(settings.modes), "en", key),
            settings.language,
            settings.min_confidence,
            settings.columns,
        )
    ]
    if opt_out is not None:
        read_opt_outs(opt_out)  # a mistake in the list shows before any work
        steps = [MarkOptedOut(str(opt_out)), *steps, DropOptedOut()]
    if settings.allow_licences or settings.deny_licences or settings.unknown_licence == "drop":
        keeps_unknown = settings.unknown_licence == "keep"
        steps.append(AllowedLicence(settings.allow_licences, settings.deny_licences, keeps_unknown))
    return steps


def read_key(settings: ProtectSettings) -> bytes:
    """Return the key of pseudonyms from the environment, empty where none is needed."""
    if "pseudonym" not in (settings.mode, *settings.modes.values()):
        return b""
    key = os.environ.get(settings.key_variable, "")
    if len(key) < MIN_KEY_CHARS:
        raise ConfigError(
            f"pseudonyms need a secret of at least {MIN_KEY_CHARS} characters in the environment variable "
            f"{settings.key_variable}, and it has {len(key)}",
            fix=f"export {settings.key_variable}=$(openssl rand -hex 32), and keep it where the data are not",
        )
    return key.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class MaskPersonalData:
    """Mask personal data in the text, and in other columns that are named.

    `language` is that of placeholders; "document" takes Chinese ones where the document is Chinese.
    """

    types: tuple[str, ...]
    masker: Masker
    language: str
    min_confidence: float
    columns: tuple[str, ...] = ()
    name = "personal data"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document without personal data, and with what was found in the column."""
        language = document.language if self.language == "document" else self.language
        masker = replace(self.masker, language="zh" if language == "zh" else "en")
        found: Counter[str] = Counter()
        text = self._masked(document.text, masker, found)
        extra = {name: value for name, value in document.extra.items() if name != FOUND}
        for name in self.columns:
            if isinstance(extra.get(name), str):
                extra[name] = self._masked(extra[name], masker, found)
        if found:
            extra[FOUND] = ", ".join(f"{kind} {n}" for kind, n in sorted(found.items()))
        return replace(document, text=text, extra=extra)

    def _masked(self, text: str, masker: Masker, found: Counter[str]) -> str:
        spans = find_personal_data(text, self.types, self.min_confidence)
        found.update(span.type for span in spans)
        return masker.masked(text, spans) if spans else text


@dataclass(slots=True, eq=False)
class _Counted:
    """Rows whose counts are added up when they are written; their column stays only where it is wanted."""

    rows: Rows
    keeps_column: bool
    found: Counter[str] = field(default_factory=Counter)
    planted: Counter[str] = field(default_factory=Counter)

    def write(self, write: WriteFunction) -> list[Any]:
        """Write the rows, and add up what the writers counted."""
        parts = self.rows.write(_Counting(write, self.keeps_column))
        for _, found, planted in parts:
            self.found += found
            self.planted += planted
        return [written for written, _, _ in parts]


@dataclass(frozen=True, slots=True)
class _Counting:
    """A writer that counts what was found and planted in the tables on their way."""

    write: WriteFunction
    keeps_column: bool

    def __call__(self, tables: Iterator[Table], word: str) -> tuple[Any, Counter[str], Counter[str]]:
        found: Counter[str] = Counter()
        planted: Counter[str] = Counter()
        written = self.write(self._counted(tables, found, planted), word)
        return written, found, planted

    def _counted(
        self, tables: Iterator[Table], found: Counter[str], planted: Counter[str]
    ) -> Iterator[Table]:
        for table in tables:
            if FOUND in table.column_names:
                for value in table.column(FOUND).drop_null().to_pylist():
                    found.update({kind: int(n) for kind, n in map(str.split, value.split(", "))})
                table = table if self.keeps_column else table.drop_columns([FOUND])
            if PLANTED in table.column_names:
                planted.update(table.column(PLANTED).drop_null().to_pylist())
                table = table.drop_columns([PLANTED])
            yield table
