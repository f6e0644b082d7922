"""Settings of the published rules of quality: each field is a threshold, its default the published one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0)]

RuleSet = Literal["gopher", "c4", "fineweb", "chinese", "words"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GopherSettings:
    """Quality and repetition (Rae et al. 2021, arXiv:2112.11446, appendix A1.1 and table A1).

    A word is a run without a space, or one character of a script without spaces; shares of characters are
    of those in words, in lines or in paragraphs.
    """

    languages: tuple[str, ...] = ("en",)
    """Documents judged, by language; others pass. Empty judges all."""
    min_words: Size = 50
    """Drop documents of fewer words."""
    max_words: Count = 100_000
    """Drop documents of more words."""
    min_mean_word: Ratio = 3
    """Drop documents whose words have fewer characters on average."""
    max_mean_word: Ratio = 10
    """Drop documents whose words have more characters on average."""
    max_hashes: Ratio = 0.1
    """Drop documents with more hash signs (#) a word."""
    max_ellipses: Ratio = 0.1
    """Drop documents with more ellipses (... or …) a word."""
    max_bullet_lines: Share = 0.9
    """Drop documents with more of their lines starting with a bullet."""
    max_ellipsis_lines: Share = 0.3
    """Drop documents with more of their lines ending with an ellipsis."""
    min_alpha_words: Share = 0.8
    """Drop documents with fewer of their words having a letter."""
    min_stop_words: Size = 2
    """Drop documents with fewer different stop words; 0 where other languages are judged too."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Words that running text has."""
    max_repeated_lines: Share = 0.3
    """Drop documents with more of their lines seen before in the document."""
    max_repeated_paragraphs: Share = 0.3
    """Drop documents with more of their paragraphs seen before."""
    max_repeated_line_chars: Share = 0.2
    """Drop documents with more of their characters in lines seen before."""
    max_repeated_paragraph_chars: Share = 0.2
    """Drop documents with more of their characters in paragraphs seen before."""
    max_top_2gram: Share = 0.2
    """Drop documents with more of their characters in the most frequent pair of words."""
    max_top_3gram: Share = 0.18
    """The same for three words in a row."""
    max_top_4gram: Share = 0.16
    """The same for four."""
    max_repeated_5grams: Share = 0.15
    """Drop documents with more of their characters in runs of five words seen before."""
    max_repeated_6grams: Share = 0.14
    """The same for six."""
    max_repeated_7grams: Share = 0.13
    """The same for seven."""
    max_repeated_8grams: Share = 0.12
    """The same for eight."""
    max_repeated_9grams: Share = 0.11
    """The same for nine."""
    max_repeated_10grams: Share = 0.1
    """The same for ten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class C4Settings:
    """Lines that are sentences (Raffel et al. 2020, JMLR 21:140, section 2.2).

    Lines go that end no sentence, are short, or speak of JavaScript, cookies or terms; so do marks of
    citations; documents go that have placeholder text, a curly bracket, or too few sentences left.
    """

    languages: tuple[str, ...] = ("en",)
    """Documents judged, by language; others pass. Empty judges all."""
    min_line_words: Size = 5
    """Take out lines of fewer words (the first version of the paper says 3)."""
    max_word_chars: Count = 1000
    """Take out lines with a longer word (from the code that goes with the paper)."""
    min_sentences: Count = 3
    """Drop documents with fewer sentences left (the first version of the paper says 5)."""
    unwanted_in_lines: tuple[str, ...] = (
        "javascript",
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """Take out lines that contain one of these, in any case."""
    unwanted: tuple[str, ...] = ("lorem ipsum", "{")
    """Drop documents that contain one of these, in any case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FineWebSettings:
    """Lists, menus and repetition (Penedo et al. 2024, arXiv:2406.17557, section 3.5)."""

    languages: tuple[str, ...] = ("en",)
    """Documents judged, by language; others pass. Empty judges all."""
    min_terminal_lines: Share = 0.12
    """Drop documents with fewer of their lines ending in a terminal mark."""
    max_repeated_line_chars: Share = 0.1
    """Drop documents with more of their characters in lines seen before."""
    max_short_lines: Share = 0.67
    """Drop documents with more of their lines short."""
    short_line: Count = 30
    """Lines of fewer characters are short."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChineseSettings:
    """Chinese web text: EvalWeb's rules (Chen et al. 2023, arXiv:2311.01149, section 3.1) and two of
    FineWeb-2's thresholds for Mandarin (Penedo et al. 2025, arXiv:2506.20920, published configurations)."""

    languages: tuple[str, ...] = ("zh",)
    """Documents judged, by language; others pass. Empty judges all."""
    min_chars: Size = 200
    """Drop documents of fewer characters (EvalWeb)."""
    min_mean_line: Ratio = 10
    """Drop documents whose lines have fewer characters on average (EvalWeb)."""
    min_chinese: Share = 0.3
    """Drop documents with fewer of their characters Chinese (EvalWeb)."""
    max_repeated_ngrams: Share = 0.5
    """Drop documents with more of their n-grams of characters standing in several places (EvalWeb)."""
    ngram: Count = 13
    """Length of those n-grams, spaces aside (EvalWeb)."""
    min_terminal_lines: Share = 0.106
    """Drop documents with fewer of their lines ending in a terminal mark (FineWeb-2)."""
    max_repeated_lines: Share = 0.287
    """Drop documents with more of their lines seen before (FineWeb-2)."""
    min_function_words: Size = 2
    """Drop documents with fewer different function words: Gopher's rule of stop words."""
    function_words: tuple[str, ...] = (
        "的",
        "是",
        "在",
        "了",
        "和",
        "有",
        "不",
        "也",
        "之",
        "者",
        "而",
        "为",
        "為",
    )
    """Characters that running text has; some are of classical Chinese, some of both scripts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WordSettings:
    """Words of toxic and adult texts, from built-in lists or those of `word_lists`."""

    max_count: Size = 2
    """Drop documents with more listed words than this, if their share is too large as well."""
    max_share: Share = 0.005
    """Drop documents with a larger share of listed words, if they are too many as well."""
