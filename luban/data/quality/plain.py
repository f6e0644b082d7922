"""The counts of `luban.native.text` in plain Python: used where there is no compiler, and as their proof."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from itertools import groupby
from typing import TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from luban.data.language import UNSPACED
from luban.data.quality.characters import (
    CJK,
    HAN_CHARACTER,
    LETTER,
    SPACE,
    SPACELESS,
    SYMBOL,
    TERMINAL,
    character_classes,
)
from luban.native.text import KeptLines, TextCounts

T = TypeVar("T", bound=Hashable)

BULLETS = frozenset("\u2022\u2023\u2043\u25aa\u25cf\u25e6*-")
"""Characters that stand before the items of a list."""

_CLOSING = "[\"')\\]\u201d\u2019]"
_SENTENCE_END = re.compile(rf"[.!?]{_CLOSING}*(?=\s|$)")


def count_text(text: str) -> TextCounts:
    """Count a text's characters, words, lines and paragraphs."""
    bits = Counter[int]()
    known: dict[str, int] = {}
    for character, n in Counter(text).items():
        known[character] = n
        is_of = class_of(character)
        for bit in (SPACE, LETTER, SYMBOL, SPACELESS, CJK, HAN_CHARACTER):
            bits[bit] += n * bool(is_of & bit)
    top, top_count = _top_character(known)
    words = split_words(text)
    lines, paragraphs = split_lines(text)
    return TextCounts(
        chars=len(text),
        spaces=bits[SPACE],
        letters=bits[LETTER],
        symbols=bits[SYMBOL],
        unspaced=bits[SPACELESS],
        cjk=bits[CJK],
        han=bits[HAN_CHARACTER],
        top_character=top,
        top_count=top_count,
        words=len(words),
        word_chars=sum(map(len, words)),
        alpha_words=sum(any(class_of(c) & LETTER for c in word) for word in words),
        longest_word=max((len(w) for w in words if not class_of(w[0]) & SPACELESS), default=0),
        hashes=text.count("#"),
        ellipses=text.count("...") + text.count("…"),
        lines=len(lines),
        line_chars=sum(map(len, lines)),
        bullet_lines=sum(line[0] in BULLETS for line in lines),
        ellipsis_lines=sum(line.endswith(("...", "…")) for line in lines),
        terminal_lines=sum(bool(class_of(line[-1]) & TERMINAL) for line in lines),
        repeated_lines=len(_seen_before(lines)),
        repeated_line_chars=sum(map(len, _seen_before(lines))),
        paragraphs=len(paragraphs),
        repeated_paragraphs=len(_seen_before(paragraphs)),
        repeated_paragraph_chars=sum(sum(map(len, p)) for p in _seen_before(paragraphs)),
    )


def count_repeats(text: str) -> tuple[int, ...]:
    """Return the characters in the top 2-, 3- and 4-gram of words, and in repeated 5- to 10-grams."""
    words = split_words(text)
    return (*(_top_chars(words, n) for n in (2, 3, 4)), *(_repeated_chars(words, n) for n in range(5, 11)))


def count_repeated_chars(text: str, ngram: int) -> tuple[int, int]:
    """Return how many n-grams of characters there are, spaces aside, and how many stand elsewhere too."""
    packed = re.sub("[A-Z]", lambda m: m[0].lower(), re.sub(r"\s", "", text))
    counts = Counter(packed[i : i + ngram] for i in range(len(packed) - ngram + 1))
    return counts.total(), sum(n for n in counts.values() if n > 1)


def hash_ngrams(text: str, word_ngram: int, char_ngram: int) -> NDArray[np.uint32]:
    """Return the hashes of all n-grams of a lower-cased text; the first token of each says how long it is.

    Tokens are words, and each character of a script without spaces. Where no n-gram fits, all are one.
    """
    words = _token().findall(text) or [text]
    unspaced = np.fromiter((bool(_UNSPACED.match(word)) for word in words), bool, len(words))
    tokens = np.fromiter(map(_HASHES.__getitem__, words), np.uint32, len(words))
    size = len(words)
    lengths = np.where(unspaced, char_ngram, word_ngram)
    fits = np.arange(size) + lengths <= size
    if not fits.any():
        lengths[0], fits[0] = size, True
    mixed = np.zeros(size, np.uint32)
    for n in np.unique(lengths[fits]).tolist():
        first = np.flatnonzero(fits & (lengths == n))
        for i in range(n):
            mixed[first] = mixed[first] * np.uint32(0x9E3779B1) + tokens[first + i]
    return _spread(mixed[fits])


def keep_lines(text: str, min_words: int, max_word_chars: int, phrases: Sequence[str]) -> KeptLines:
    """Keep lines of enough words, none too long, that end a sentence and hold none of the `phrases`."""
    lines, _ = split_lines(text)
    kept = [line for line in lines if _is_kept(line, min_words, max_word_chars, phrases)]
    sentences = sum(max(1, len(_SENTENCE_END.findall(line))) for line in kept)
    return KeptLines("\n".join(kept), len(lines), len(kept), sentences)


def _is_kept(line: str, min_words: int, max_word_chars: int, phrases: Sequence[str]) -> bool:
    words = split_words(line)
    lowered = re.sub("[A-Z]+", lambda m: m[0].lower(), line)
    return (
        bool(class_of(line[-1]) & TERMINAL)
        and not line.endswith(("...", "…"))
        and len(words) >= min_words
        and max(len(w) for w in words) <= max(1, max_word_chars)
        and not any(phrase in lowered for phrase in phrases)
    )


def class_of(character: str) -> int:
    """Return the bits of a character."""
    classes = character_classes()
    code = ord(character)
    return classes[code] if code < len(classes) else SYMBOL


@cache
def _word() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def split_words(text: str) -> list[str]:
    """Return the runs without a space, and each character of a script that has none between words."""
    return _word().findall(text)


def split_lines(text: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the lines with something in them, and the paragraphs that they make."""
    stripped = [line.strip() for line in text.split("\n")]
    paragraphs = [tuple(lines) for full, lines in groupby(stripped, bool) if full]
    return [line for line in stripped if line], paragraphs


def _seen_before(pieces: Sequence[T]) -> list[T]:
    seen: set[T] = set()
    again = []
    for piece in pieces:
        if piece in seen:
            again.append(piece)
        seen.add(piece)
    return again


def _top_character(counts: dict[str, int]) -> tuple[int, int]:
    ranked = [
        (-n, ord(c))
        for c, n in counts.items()
        if not class_of(c) & SPACE and ord(c) < len(character_classes())
    ]
    n, code = min(ranked, default=(0, 0))
    return code, -n


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _top_chars(words: Sequence[str], n: int) -> int:
    ranked = Counter(_ngrams(words, n)).most_common(1)  # of several, the first in the text
    return sum(map(len, ranked[0][0])) * ranked[0][1] if ranked and ranked[0][1] > 1 else 0


def _repeated_chars(words: Sequence[str], n: int) -> int:
    ngrams = _ngrams(words, n)
    seen: set[tuple[str, ...]] = set()
    total = at = 0
    while at < len(ngrams):
        if ngrams[at] in seen:
            total += sum(map(len, ngrams[at]))
            at += n
        else:
            seen.add(ngrams[at])
            at += 1
    return total


class _TokenHashes(dict[str, int]):
    """Remembers the hash of each token: a character's code, a word's crc32 (Python's own hash changes)."""

    def __missing__(self, token: str) -> int:
        if len(self) > 500_000:
            self.clear()
        own = ord(token) if _UNSPACED.match(token) else crc32(token.encode("utf-8", "surrogatepass"))
        value = self[token] = own
        return value


_HASHES = _TokenHashes()


@cache
def _token() -> re.Pattern[str]:
    return re.compile(f"(?=\\w)[{UNSPACED}]|[^\\W{UNSPACED}]+")


_UNSPACED = re.compile(f"(?=\\w)[{UNSPACED}]")


def _spread(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread every bit over the word (the end of MurmurHash3, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
