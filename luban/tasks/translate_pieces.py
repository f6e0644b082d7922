"""A text cut where sentences end, in Chinese or a language with spaces, and put together again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from luban.errors import DataError

SENTENCE = re.compile(r".+?(?:[。！？…]+[”’」』）》]*|[.!?…]+[\"'”’“»)\]]*(?=\s)|(?=[\r\n])|\Z)", re.DOTALL)
CLAUSE = re.compile(r".+?(?:[，、；：]|[,;:]?(?=\s)|\Z)", re.DOTALL)
ABBREVIATION = re.compile(r"(?:^|\W)(?:[A-ZÄÖÜ][a-z]{0,2}|z\.\s?B|d\.\s?h|u\.\s?a|e\.g|i\.e|vs|usw|\d+)\.$")
"""After what a full stop ends no sentence: a title, an initial, a number."""
WITHOUT_SPACES = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def pieces(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a text whole if it fits; else its sentences, and of those too long, parts that fit.

    pieces("我来了。我走了。", fits) -> ["我来了。", "我走了。"]
    """
    text = " ".join(text.split())
    if not text or fits(text):
        return [text] if text else []
    found: list[str] = []
    for sentence in sentences(text):
        found += [sentence] if fits(sentence) else _clauses(sentence, fits)
    return found


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the spaces between them."""
    found: list[str] = []
    for part in _parts(SENTENCE, text):
        if found and ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def joined(texts: Sequence[str]) -> str:
    """Put texts together, with a space between them unless Chinese or Japanese stands on a side."""
    whole = ""
    for text in texts:
        is_close = WITHOUT_SPACES.match(whole[-1:]) or WITHOUT_SPACES.match(text[:1])
        whole += text if is_close or not whole or not text else f" {text}"
    return whole


def _clauses(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a sentence at commas and spaces into as few parts as fit, and what has none in the middle."""
    found: list[str] = []
    for part in _parts(CLAUSE, sentence):
        longer = joined([found[-1], part]) if found else ""
        if longer and fits(longer):
            found[-1] = longer
        else:
            found += [part] if fits(part) else _halves(part, fits)
    return found


def _halves(text: str, fits: Callable[[str], bool]) -> list[str]:
    if fits(text):
        return [text]
    middle = len(text) // 2
    if not middle:
        raise DataError(f"the model cannot read even {text!r}", fix="use a model with a larger max_len")
    return [*_halves(text[:middle], fits), *_halves(text[middle:], fits)]


def _parts(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (part for part in (match.group().strip() for match in pattern.finditer(text)) if part)
