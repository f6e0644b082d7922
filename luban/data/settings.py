"""Settings of the stages that make data."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.data.quality.settings import (
    C4Settings,
    ChineseSettings,
    FineWebSettings,
    GopherSettings,
    RuleSet,
    WordSettings,
)
from luban.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkSettings:
    """Where a stage works on its documents: the same ones come out wherever that is."""

    engine: Literal["local", "ray"] = "local"
    """This machine, or a Ray cluster (extra `cluster`; the one that RAY_ADDRESS names, or a local one)."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes to work in; 0 takes one for each core of the machine, or all that the cluster has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSettings(WorkSettings):
    """How raw files become documents."""

    text_column: str | None = None
    """Column with the text in tables and JSON lines (else: text, content, sentence, 文本, ...)."""
    licence: str = "unknown"
    """Licence of files that neither a SOURCES.yaml nor a licence file above them speaks for."""
    max_chars: Annotated[int, Field(ge=0)] = 8000
    """A longer text file becomes several documents, cut between paragraphs; 0 leaves it whole."""
    carry: tuple[str, ...] = ()
    """Columns that go along beside the text, such as title; "*" takes all."""
    include: tuple[str, ...] = ()
    """Patterns of files to read, such as *.jsonl or news/*; empty reads all."""
    exclude: tuple[str, ...] = ()
    """Patterns of files to pass over."""
    encoding: str | None = None
    """Encoding of all text, such as gb18030; left out, it is found for each file and line."""
    max_file_bytes: Annotated[int, Field(ge=1)] = 100_000_000
    """Reject larger files of the kinds that are read as a whole: pages, pdf, docx, uncut text."""
    max_line_bytes: Annotated[int, Field(ge=1)] = 32_000_000
    """Reject longer lines of JSON lines and csv, and go on behind them."""
    max_members: Annotated[int, Field(ge=1)] = 1_000_000
    """Files read from one archive, and from those inside it."""
    max_unpacked_bytes: Annotated[int, Field(ge=1)] = 1_000_000_000_000
    """Bytes that one packed file or archive may unpack to."""
    max_ratio: Annotated[float, Field(gt=1)] = 200.0
    """Times its packed size that a file of more than 10 MB may unpack to."""
    max_depth: Annotated[int, Field(ge=0)] = 2
    """Archives inside each other that are opened."""

    def __post_init__(self) -> None:
        """Refuse an encoding that Python does not know, and pieces too small to be documents."""
        if 0 < self.max_chars < 200:
            raise ConfigError(
                f"max_chars = {self.max_chars} cuts texts too small", fix="set it to 0, or to 200 or more"
            )
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ConfigError(
                    f"encoding = {self.encoding!r} is not known", fix="use one such as utf-8 or gb18030"
                ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectSettings(ReadSettings):
    """Raw files to documents, whatever they say: nothing is filtered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NormaliseSettings:
    """One form for every text. Mojibake, hidden characters and line ends are always put right."""

    form: Literal["NFC", "NFKC"] = "NFC"
    """Unicode form: composed, or with wide letters, ligatures and circled digits made plain too."""
    chinese_script: Literal["keep", "simplified", "traditional"] = "keep"
    """Write Chinese in one script, traditional as in Taiwan (extra `chinese`)."""
    narrow: bool = False
    """Make full-width letters and digits half-width; Chinese punctuation stays."""
    plain_marks: bool = False
    """Make curly quotes, dashes and dots ASCII, but not beside Chinese characters."""
    join_hyphens: bool = False
    """Join words that a line's end broke, as in text from pdf files."""
    max_broken: Share = 0.02
    """Drop documents with a larger share of characters that are lost for good (U+FFFD, 锟斤拷)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanSettings(ReadSettings):
    """Raw files to clean documents: how to read them, and what is too poor to keep."""

    extractor: Literal["precise", "bulk"] = "precise"
    """How the main text of pages is found: precisely, or some six times faster with more scraps."""
    markdown: bool = False
    """Mark the headings, code, tables and emphasis of pages as markdown."""
    max_page_chars: Count = 10_000_000
    """Drop larger pages; those above 1.5 million characters are read by the bulk extractor."""
    normalise: NormaliseSettings = field(default_factory=NormaliseSettings)
    """One form for every text."""
    languages: tuple[str, ...] = ()
    """Keep only these languages, as ISO 639-1 codes; empty keeps all."""
    language_model: Literal["langid", "fasttext"] = "langid"
    """What names the language of a text: py3langid, or fastText's lid.176 (extra `language`)."""
    min_language_confidence: Share = 0.0
    """Drop documents whose language is named with less confidence (FineWeb: 0.65, with fasttext)."""
    min_chars: Annotated[int, Field(ge=0)] = 40
    """Drop shorter documents; a Chinese, Japanese or Korean character counts as three."""
    max_word_chars: Count = 500
    """Drop documents with a longer unbroken run of characters (base64, minified code)."""
    max_repeated_lines: Share = 0.3
    """Drop documents with more of their characters in lines seen before in the document."""
    max_repeated_ngrams: Share = 0.4
    """Drop documents with more of their n-grams seen before in the document."""
    repetition_ngram: Count = 6
    """Length of those n-grams: words, or characters in scripts without spaces."""
    max_one_character: Share = 0.3
    """Drop documents in which one character makes up more of the text, spaces aside."""
    max_symbols: Share = 0.35
    """Drop documents with a larger share of characters that are neither letters, digits nor spaces."""
    rules: tuple[RuleSet, ...] = ()
    """Published rules to apply besides, in this order: gopher, c4, fineweb, chinese, words."""
    gopher: GopherSettings = field(default_factory=GopherSettings)
    """Thresholds of the rules `gopher`."""
    c4: C4Settings = field(default_factory=C4Settings)
    """Thresholds of the rules `c4`."""
    fineweb: FineWebSettings = field(default_factory=FineWebSettings)
    """Thresholds of the rules `fineweb`."""
    chinese: ChineseSettings = field(default_factory=ChineseSettings)
    """Thresholds of the rules `chinese`."""
    words: WordSettings = field(default_factory=WordSettings)
    """Thresholds of the rules `words`."""
    word_lists: dict[str, str] = field(default_factory=dict)
    """File of toxic and adult words for a language, such as {zh: words.txt}: applies the rules `words`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupSettings(WorkSettings):
    """Exact and near-duplicate removal by MinHash, checked by true Jaccard similarity."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Documents at least so similar are duplicates: the first is kept."""
    cluster_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Documents at least so similar are kept but share a cluster, which a split never parts."""
    word_ngram: Count = 2
    """Words in an n-gram, in scripts with spaces."""
    char_ngram: Count = 2
    """Characters in an n-gram, in scripts without spaces."""
    permutations: Annotated[int, Field(ge=8, le=1024)] = 120
    """Length of a signature: more find pairs near the threshold more surely."""
    bands: Count = 40
    """Parts of a signature, any of which may match: more find less similar pairs."""
    seed: Seed = 1
    """Decides the hash functions."""
    lines: Literal["off", "site", "all"] = "off"
    """Remove lines that many documents have, of one site (host, or folder of pages) or of all; each stays
    in the first."""
    paragraphs: Literal["off", "site", "all"] = "off"
    """The same for paragraphs, between empty lines."""
    max_repeats: Count = 5
    """Documents that may have a line or paragraph."""
    min_line_chars: Count = 12
    """Leave shorter lines and paragraphs; a character of a script without spaces counts as three."""
    substring_bytes: Annotated[int, Field(ge=0)] = 0
    """Remove spans of so many bytes that an earlier document has too (a Chinese character is three bytes);
    0 leaves all. Useful from 200 on."""
    min_chars: Annotated[int, Field(ge=0)] = 40
    """Drop documents that are shorter after lines or spans were removed; a Chinese, Japanese or Korean
    character counts as three."""

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if 0 < self.substring_bytes < 16:
            raise ConfigError(
                f"dedup.substring_bytes = {self.substring_bytes} would cut single words out of texts",
                fix="set dedup.substring_bytes to 0 or to at least 16",
            )
        if self.permutations % self.bands:
            raise ConfigError(
                f"dedup.permutations = {self.permutations} does not split into dedup.bands = {self.bands}",
                fix=f"set dedup.permutations to a multiple of {self.bands}",
            )
        if self.cluster_threshold > self.threshold:
            raise ConfigError(
                f"dedup.cluster_threshold = {self.cluster_threshold} is above "
                f"dedup.threshold = {self.threshold}",
                fix="set dedup.cluster_threshold to at most dedup.threshold",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSettings:
    """Documents to train, validation and test, a whole cluster at a time."""

    validation: Part = 0.05
    """Share of clusters for validation."""
    test: Part = 0.05
    """Share of clusters for the test."""
    by: Literal["hash", "time"] = "hash"
    """Whether chance decides, or the newest go to the test and the next newest to validation."""
    group: str | None = None
    """Column whose equal values stay together too, such as an author; "site" is the host of a page."""
    stratify: str | None = None
    """Column each of whose values is split for itself, such as language or label."""
    seed: Seed = 1
    """Decides which cluster goes where."""

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"split.validation = {self.validation} and split.test = {self.test} "
                "leave nothing to train on",
                fix="let them add up to less than 1",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSettings:
    """Documents to token shards."""

    min_documents: Count = 1
    """Refuse to write shards from fewer training documents."""
    columns: tuple[str, ...] = ()
    """Columns of numbers to keep beside the tokens, such as a quality: training can mix by them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentSettings:
    """What to change in training texts, each as a share of their tokens; drawn anew at each reading."""

    hide: Part = 0.0
    """Hidden behind the mask token, one by one."""
    hide_spans: Part = 0.0
    """Hidden behind the mask token, in spans."""
    span_length: Annotated[float, Field(ge=1)] = 3.0
    """Mean tokens in such a span."""
    replace: Part = 0.0
    """Replaced by a token whose vector is near: for a model that knows vectors already."""
    swap: Part = 0.0
    """Exchanged with another place of the text."""
    insert: Part = 0.0
    """Said once more, at another place of the text."""
    delete: Part = 0.0
    """Left out; the first and last of a text may go too, but never all."""
    paraphrases: str | None = None
    """File of rows {"text": ..., "paraphrases": [...]}, such as translations there and back: training
    rows with that text are joined by their paraphrases, under the same label."""

    @property
    def hides(self) -> bool:
        """Whether a mask token is needed."""
        return self.hide > 0 or self.hide_spans > 0

    @property
    def changes_tokens(self) -> bool:
        """Whether anything is drawn at each reading."""
        return any((self.hide, self.hide_spans, self.replace, self.swap, self.insert, self.delete))


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakSettings(WorkSettings):
    """What counts as a leak: training text that an evaluation asks for."""

    word_ngram: Annotated[int, Field(ge=2)] = 13
    """Words in a row that two texts must share, in scripts with spaces; short items are compared by less."""
    char_ngram: Annotated[int, Field(ge=2)] = 20
    """Characters in a row, in scripts without spaces."""
    max_overlap: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Documents that hold a larger share of an evaluation item's n-grams are contaminated."""
    action: Literal["flag", "drop"] = "flag"
    """Whether contaminated documents of the training split are named in a column `leak`, or dropped."""
    fields: tuple[str, ...] = ()
    """Fields of evaluation rows to look for; empty takes every field that holds text."""
    near: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Count test documents with a nearer training document, by the Jaccard similarity of their words."""
