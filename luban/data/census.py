"""What documents are, in one pass: languages, sources, lengths, quality, words, tokens, and a few samples."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from luban.data.documents import document_files
from luban.data.engine import Engine, Table
from luban.data.extras import load_extra
from luban.data.funnel import OTHERS, count_bytes, source_title
from luban.data.language import is_unspaced
from luban.data.phrases import count_runs, count_words
from luban.data.quality.measure import measure
from luban.data.steps import folder_units
from luban.data.tallies import Chosen, Spread, Top, Values
from luban.files import Manifest
from luban.tokenizer import Tokenizer, load_tokenizer

VALUES = {"language": 200, "source": 500, "licence": 200, "year": 200, "split": 10, "label": 100}
"""Columns that are counted → how many of their values are named."""
LANGUAGES = 40
"""So many languages have lengths, quality and phrases of their own: the first that turn up."""
PHRASES = 20_000
"""Phrases of a kind remembered."""
SHOWN = 30
SAMPLE_BYTES = 6_000_000
"""Words, phrases and tokens are counted in about so much text: the whole of a small corpus."""
SAMPLE_CHARS = 400
TABLE_ROWS = 1000
MEASURES = {
    "symbols": "characters that are symbols, of all but spaces",
    "digits": "characters that are digits or no letters of their own, of all but spaces",
    "most frequent character": "characters that are the most frequent one, of all",
    "repeated lines": "characters in lines that were there before, of those in lines",
    "sentence lines": "lines that end a sentence, of all",
}
"""Shares of a document, in per cent; what of what."""

_YEAR = re.compile(r"[0-9]{4}(?![0-9])")


@dataclass(frozen=True, slots=True)
class Ways:
    """How documents are looked at."""

    tokenizer: str | None = None
    """Folder."""
    samples: int = 3
    """Documents shown of each language."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Language → share of its documents whose words and tokens are counted."""
    share: float = 1.0
    """The same for languages that are not named."""


@dataclass(slots=True)
class Kind:
    """What is counted of each language."""

    chars: Spread = field(default_factory=Spread)
    word_tenths: Spread = field(default_factory=Spread)
    """Mean length of a document's words, in tenths of a character; of scripts with spaces."""
    shares: dict[str, Spread] = field(default_factory=lambda: {name: Spread() for name in MEASURES})
    phrases: dict[str, Top] = field(default_factory=dict)
    sampled: list[int] = field(default_factory=lambda: [0, 0])
    """Documents and bytes whose words and tokens were counted."""
    tokens: Spread = field(default_factory=Spread)

    def merge(self, other: Kind) -> None:
        """Count what another has counted."""
        for mine, its in (
            (self.chars, other.chars),
            (self.word_tenths, other.word_tenths),
            (self.tokens, other.tokens),
            *((self.shares[name], other.shares[name]) for name in MEASURES),
        ):
            mine.merge(its)
        for name, top in other.phrases.items():
            self.phrases.setdefault(name, Top(PHRASES)).merge(top)
        self.sampled = [a + b for a, b in zip(self.sampled, other.sampled, strict=True)]


@dataclass(slots=True)
class Census:
    """Counts of documents; those of one part can be added to those of another."""

    ways: Ways
    documents: int = 0
    size_bytes: int = 0
    empty: int = 0
    values: dict[str, Values] = field(default_factory=lambda: {k: Values(cap) for k, cap in VALUES.items()})
    kinds: dict[str, Kind] = field(default_factory=dict)
    samples: Chosen = field(default_factory=lambda: Chosen(0))

    def __post_init__(self) -> None:
        self.samples = Chosen(self.ways.samples)

    def kind(self, language: str) -> Kind:
        """Return what is counted of a language."""
        if language not in self.kinds and len(self.kinds) >= LANGUAGES:
            language = OTHERS
        if language not in self.kinds:
            self.kinds[language] = Kind()
        return self.kinds[language]

    def merge(self, other: Census) -> None:
        """Count what another has counted."""
        self.documents += other.documents
        self.size_bytes += other.size_bytes
        self.empty += other.empty
        for name, values in other.values.items():
            self.values[name].merge(values)
        for language, kind in other.kinds.items():
            self.kind(language).merge(kind)
        self.samples.merge(other.samples)


def take_census(engine: Engine, folder: Path, ways: Ways) -> Census:
    """Count the documents of a folder, on as many workers as the engine has."""
    whole = Census(ways)
    for table in engine.read(folder_units(folder), read_unit).map(Count(ways)):
        whole.merge(pickle.loads(table.column("census")[0].as_py()))
    return whole


def sample_shares(sizes: Mapping[str, int], budget: int = SAMPLE_BYTES) -> dict[str, float]:
    """Return which share of each language's documents to sample, so that the small ones are whole.

    sample_shares({"en": 90, "af": 10}, 40) -> {"af": 1.0, "en": 0.3333}
    """
    shares = {}
    for i, (language, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        taken = min(size, budget // (len(sizes) - i))
        budget -= taken
        shares[language] = taken / size if size else 1.0
    return shares


def sizes_by_language(folder: Path) -> dict[str, int]:
    """Return the bytes of text of each language, as the folder's manifest has them; {} if it does not."""
    manifest = Manifest.read(folder)
    found = manifest.facts.get("languages", {}) if manifest else {}
    return {language or "und": int(counts["bytes"]) for language, counts in found.items()}


def sample_share(folder: Path, budget: int = SAMPLE_BYTES) -> float:
    """Return which share of a folder's documents to sample if nothing is known of its languages."""
    pq = load_extra("pyarrow.parquet")
    total = 0
    for path in document_files(folder):
        metadata = pq.read_metadata(path)
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            columns = map(group.column, range(group.num_columns))
            total += sum(c.total_uncompressed_size for c in columns if c.path_in_schema == "text")
    return min(1.0, budget / max(total, 1))


def read_unit(unit: tuple[str, int, int]) -> Iterator[Table]:
    """Yield what is looked at of a row group as tables."""
    pa = load_extra("pyarrow")
    path, group, _ = unit
    with load_extra("pyarrow.parquet").ParquetFile(path) as parquet:
        wanted = ("id", "text", "source", "licence", "language", "time", "split", "label")
        names = [name for name in wanted if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(TABLE_ROWS, row_groups=[group], columns=names, use_threads=False):
            yield pa.Table.from_batches([batch])


@dataclass(frozen=True, slots=True)
class Count:
    """Counts the documents of a table; the result is one row with a pickled Census."""

    ways: Ways

    def __call__(self, table: Table) -> Table:
        """Return the table with the census of this one."""
        census, chosen = Census(self.ways), []
        for row in table.to_pylist():
            if _count_row(census, row):
                chosen.append(row)
        _count_phrases(census, chosen)
        if self.ways.tokenizer:
            _count_tokens(census, chosen, self.ways.tokenizer)
        pa = load_extra("pyarrow")
        return pa.table({"census": pa.array([pickle.dumps(census)], pa.large_binary())})


def _count_row(census: Census, row: dict[str, Any]) -> bool:
    """Count a document; say whether it is one of those whose words are counted."""
    text, language = row["text"] or "", row["language"] or "und"
    size = count_bytes(text)
    census.documents += 1
    census.size_bytes += size
    census.empty += not text.strip()
    row["bytes"], row["language"], row["text"] = size, language, text
    for name, value in _values(row).items():
        census.values[name].add(value, 1, size)
    _count_text(census.kind(language), text)
    key = key_of(row)
    if census.samples.wants(language, key):
        census.samples.add(language, key, sample_of(row))
    return int.from_bytes(key[::-1], "big") < census.ways.shares.get(language, census.ways.share) * 2**64


def _values(row: dict[str, Any]) -> dict[str, str]:
    time = str(row.get("time") or "")
    found = {
        "language": row["language"],
        "source": source_title(row.get("source") or "unknown"),
        "licence": row.get("licence") or "unknown",
        "year": time[:4] if _YEAR.match(time) else "unknown",
    }
    return found | {name: str(row[name]) for name in ("split", "label") if row.get(name) is not None}


def key_of(row: Mapping[str, Any]) -> bytes:
    """Return the hash by which a document is chosen as a sample, or not."""
    word = f"{row.get('id')}\0{str(row.get('text') or '')[:1000]}"
    return hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def sample_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a document."""
    text = row["text"]
    return {
        "id": str(row["id"]),
        "source": row.get("source") or "",
        "language": row["language"],
        "chars": len(text),
        "text": text[:SAMPLE_CHARS],
    }


def _count_text(kind: Kind, text: str) -> None:
    found = measure(text)
    kind.chars.add(found.chars)
    if not found.chars:
        return
    solid = max(found.chars - found.spaces, 1)
    others = max(found.chars - found.spaces - found.letters - found.symbols, 0)
    shares = (
        found.symbols / solid,
        others / solid,
        found.top_count / found.chars,
        found.repeated_line_chars / max(found.line_chars, 1),
        found.terminal_lines / max(found.lines, 1),
    )
    for name, share in zip(MEASURES, shares, strict=True):
        kind.shares[name].add(min(round(100 * share), 100))
    if found.words and 10 * found.unspaced < found.chars:
        kind.word_tenths.add(round(10 * found.word_chars / found.words))


def _count_phrases(census: Census, rows: Sequence[dict[str, Any]]) -> None:
    texts: dict[tuple[str, bool], list[str]] = {}
    for row in rows:
        kind = census.kind(row["language"])
        kind.sampled[0] += 1
        kind.sampled[1] += row["bytes"]
        texts.setdefault((row["language"], is_unspaced(row["text"])), []).append(row["text"])
    for (language, unspaced), some in texts.items():
        together = "\n".join(some)
        counted = count_runs(together) if unspaced else count_words(together)
        for n, found in counted.items():
            top = Top(PHRASES)
            top.add(found)
            top.prune()
            of = f"{n} characters" if unspaced else "words" if n == 1 else f"{n} words"
            census.kind(language).phrases.setdefault(of, Top(PHRASES)).merge(top)


def _count_tokens(census: Census, rows: Sequence[dict[str, Any]], tokenizer: str) -> None:
    for row, ids in zip(rows, _tokenizer(tokenizer).encode_arrays([r["text"] for r in rows]), strict=True):
        census.kind(row["language"]).tokens.add(len(ids))


@cache
def _tokenizer(folder: str) -> Tokenizer:
    return load_tokenizer(Path(folder))
