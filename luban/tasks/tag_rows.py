"""Rows with labelled spans or tagged words, and how their texts are laid out as units that get a tag."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.examples import LabelForm
from luban.evaluate.entities import OUTSIDE, Entity, entities_of
from luban.tokenizer import Tokenizer

SPANS = ("spans", "entities", "实体")
TAGS = ("tags", "ner_tags", "labels", "标签")
TOKENS = ("tokens", "words", "词")
_ALONE = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of scripts without spaces between words: Thai, Japanese, Chinese."""
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+|[^\w\s]|_")


def spans_of(label: str) -> list[Entity]:
    """Return the spans that an example's label holds."""
    return [(start, end, kind) for start, end, kind in json.loads(label)]


def adapt(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with a text and its spans as JSON, whichever of the two forms it has."""
    tokens = next((row[name] for name in TOKENS if isinstance(row.get(name), list)), None)
    found = next((row[name] for name in SPANS if row.get(name) is not None), None)
    if found is not None:
        if not isinstance(row.get("text"), str):
            raise Unreadable(f"there are spans, but text = {row.get('text')!r} is no text")
        text, spans = _stripped(row["text"], _checked(found, row["text"]))
    elif tokens is not None:
        text, spans = _joined(tokens, next((row[name] for name in TAGS if name in row), None))
    else:
        raise Unreadable("there are neither text and spans nor tokens and tags")
    return {**row, "text": text, "spans": json.dumps(spans, ensure_ascii=False)}


FORM = LabelForm(
    read=lambda value: value if isinstance(value, str) else "",
    what="list of spans",
    columns=("spans",),
    are_classes=False,
    adapt=adapt,
)


@dataclass(frozen=True, slots=True)
class Units:
    """A text as tokens, and the units of it that get one tag each: words, or single Chinese characters."""

    ids: list[int]
    first: list[int]
    """Number of each unit's first token."""
    places: list[tuple[int, int]]
    """Where each unit stands in the text, in characters."""

    def tags(self, spans: Sequence[Entity]) -> tuple[list[str], int]:
        """Return the tag of each unit, and how many spans begin or end inside one."""
        tags = [OUTSIDE] * len(self.places)
        n_inexact = 0
        for start, end, kind in spans:
            inside = [i for i, (a, b) in enumerate(self.places) if a < end and b > start]
            for i in inside:
                tags[i] = f"I-{kind}" if i > inside[0] else f"B-{kind}"
            exact = inside and self.places[inside[0]][0] == start and self.places[inside[-1]][1] == end
            n_inexact += not exact
        return tags, n_inexact

    def spans(self, tags: Sequence[str]) -> list[Entity]:
        """Return the spans in characters that the tags of the units describe."""
        return [(self.places[a][0], self.places[b - 1][1], kind) for a, b, kind in entities_of(tags)]


def lay_out(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Units]:
    """Encode texts without a template and find their units.

    A unit is a word, a character of a script without spaces, or a mark; a token that holds several is one.
    """
    found = []
    for text, (ids, offsets) in zip(texts, tokenizer.encode_offsets(texts), strict=True):
        word_at = {i: match.start() for match in _WORD.finditer(text) for i in range(*match.span())}
        first: list[int] = []
        places: list[tuple[int, int]] = []
        last = -1
        for number, (start, end) in enumerate(offsets):
            piece = text[start:end]
            if not piece.strip():
                continue
            start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
            word = word_at.get(start, start)
            if word == last or (places and start < places[-1][1]):
                places[-1] = (places[-1][0], max(end, places[-1][1]))
            else:
                first.append(number)
                places.append((start, end))
            last = word
        found.append(Units(ids, first, places))
    return found


def _checked(found: Any, text: str) -> list[Entity]:
    """Return the spans in order; each is {start, end, type}, or [start, end, type]."""
    if not isinstance(found, list):
        raise Unreadable(f"spans = {found!r} is no list")
    spans: list[Entity] = []
    for one in found:
        if isinstance(one, Mapping):
            kind = next((one[k] for k in ("type", "label", "entity", "entity_group") if k in one), None)
            one = (one.get("start"), one.get("end"), kind)
        if not isinstance(one, (list, tuple)) or len(one) != 3:
            raise Unreadable(f"the span {one!r} is no {{start, end, type}}")
        start, end, kind = one
        whole = isinstance(start, int) and isinstance(end, int) and not isinstance(start, bool)
        if not whole or not isinstance(kind, str) or not kind.strip():
            raise Unreadable(f"the span {one!r} is no {{start, end, type}}")
        if not 0 <= start < end <= len(text):
            raise Unreadable(f"the span {start} to {end} is not inside a text of {len(text)} characters")
        spans.append((start, end, kind.strip()))
    spans.sort()
    for (_, end, _), (start, *_) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise Unreadable(f"two spans overlap at character {start}; a token has one tag")
    return spans


def _stripped(text: str, spans: list[Entity]) -> tuple[str, list[Entity]]:
    """Take white space off the ends of a text, and of its spans."""
    lead, bare = len(text) - len(text.lstrip()), text.strip()
    moved = []
    for start, end, kind in spans:
        piece = text[start:end]
        if not piece.strip():
            raise Unreadable(f"the span {start} to {end} holds white space alone")
        start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
        moved.append((start - lead, end - lead, kind))
    return bare, moved


def _joined(tokens: list[Any], tags: Any) -> tuple[str, list[Entity]]:
    """Join words to a text, with spaces but between Chinese characters; return the spans of their tags."""
    if not isinstance(tags, list) or len(tags) != len(tokens):
        n_tags = len(tags) if isinstance(tags, list) else "no"
        raise Unreadable(f"{len(tokens)} tokens have {n_tags} tags")
    if not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise Unreadable("tags are no names; write them out, such as B-PER")
    if not tokens or not all(isinstance(t, str) and t.strip() for t in tokens):
        raise Unreadable("tokens are no words, or empty")
    text, places = "", []
    for token in (t.strip() for t in tokens):
        text += " " if text and not (_is_alone(text[-1]) or _is_alone(token[0])) else ""
        places.append((len(text), len(text) + len(token)))
        text += token
    named = [tag.strip() for tag in tags]
    if not any("-" in tag for tag in named):  # kinds of words: each is a span
        named = [tag if tag == OUTSIDE else f"S-{tag}" for tag in named]
    return text, [(places[a][0], places[b - 1][1], kind) for a, b, kind in entities_of(named)]


def _is_alone(character: str) -> bool:
    return re.match(f"[{_ALONE}\u3000-\u303f\uff00-\uffef]", character) is not None
