"""Tokens in columns, one a line: CoNLL 2003 and CoNLL-U, read to spans of a text and written from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from luban.data.convert.labels import write_spans
from luban.data.convert.records import Labelled, Row, Span, span_of
from luban.data.encoding import Unreadable

UD = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""Columns of CoNLL-U after the token's number (universaldependencies.org/format.html)."""
NAMES_2003 = ("pos", "chunk")
DOCUMENT = "-DOCSTART-"
_CJK = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef"
_UNSPACED = re.compile(f"[{_CJK}]")
_TOKEN = re.compile(f"[{_CJK}]|[^\\W{_CJK}_]+(?:['’][^\\W{_CJK}_]+)*|\\S")
_ENDS = re.compile(r"[.!?。！？\n]")
_ESCAPES = {" ": "\\s", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\p", "|": "\\v"}
_UNESCAPES = {escaped: char for char, escaped in _ESCAPES.items()}

Numbered = tuple[int, Row | Unreadable]


@dataclass(slots=True)
class _Sentence:
    """The lines of one sentence."""

    line: int
    comments: dict[str, str] = field(default_factory=dict)
    tokens: list[list[str]] = field(default_factory=list)


def _sentences(lines: Iterable[str], comments: bool) -> Iterator[_Sentence]:
    now = _Sentence(1)
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\r\n")
        if not line.strip():
            if now.tokens:
                yield now
                now = _Sentence(number + 1)
        elif comments and line.startswith("#"):
            name, _, value = line[1:].partition("=")
            now.comments[name.strip()] = value.removeprefix(" ")
        else:
            if not now.tokens and not now.comments:
                now.line = number
            now.tokens.append(line.split("\t") if "\t" in line else line.split())
    if now.tokens:
        yield now


def read_conll(file: IO[str]) -> Iterator[Numbered]:
    """Yield a row of spans for each sentence of lines `token ... tag`: two columns or more, one width.

    Tags are BIO, IOB1, BIOES or BILOU. Tokens are joined by spaces, those of Chinese and Japanese by
    nothing. (Tjong Kim Sang and De Meulder 2003, section 2.)
    """
    document = 0
    for sentence in _sentences(file, comments=False):
        if sentence.tokens[0][0] == DOCUMENT:
            document += 1
            sentence.tokens.pop(0)
            if not sentence.tokens:
                continue
        try:
            yield sentence.line, _row_2003(sentence, document)
        except Unreadable as e:
            yield sentence.line, e


def _row_2003(sentence: _Sentence, document: int) -> Row:
    widths = {len(fields) for fields in sentence.tokens}
    if len(widths) > 1 or min(widths) < 2:
        shown = " and ".join(map(str, sorted(widths)))
        raise Unreadable(f"{shown} columns in one sentence; a token and its tag are needed on every line")
    columns = list(zip(*sentence.tokens, strict=True))
    words = columns[0]
    gaps = [_gap(a, b) for a, b in zip(words, [*words[1:], ""], strict=True)]
    text, tokens = _placed(words, gaps)
    names = NAMES_2003 if len(columns) <= 4 else [f"column{i}" for i in range(2, len(columns))]
    between = dict(zip(names, columns[1:-1], strict=False))
    record = Labelled(
        text,
        spans=tuple(spans_of_tags(text, tokens, columns[-1])),
        tokens=tuple(tokens),
        columns={name: values for name, values in between.items() if set(values) != {"_"}},
        extra={"document": document} if document else {},
    )
    return write_spans(record)


def _gap(word: str, following: str) -> str:
    if not following or _UNSPACED.match(word[-1]) or _UNSPACED.match(following[0]):
        return ""
    return " "


def _placed(words: Sequence[str], gaps: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of words and the gaps after them, and where in it each word is."""
    tokens, parts, place = list[tuple[int, int]](), list[str](), 0
    for word, gap in zip(words, gaps, strict=True):
        tokens.append((place, place + len(word)))
        parts += [word, gap]
        place += len(word) + len(gap)
    return "".join(parts), tokens


def spans_of_tags(text: str, tokens: Sequence[tuple[int, int]], tags: Sequence[str]) -> Iterator[Span]:
    """Yield the spans that tags mark. An I that continues nothing begins a span, as in conlleval."""
    begun: tuple[int, str] | None = None
    last = 0
    for (start, end), tag in zip(tokens, tags, strict=True):
        mark, _, label = tag.partition("-")
        if tag in ("O", "_", ""):
            mark, label = "O", ""
        elif mark not in tuple("BIESULM") or not label:
            raise Unreadable(f"the tag {tag!r:.40} is no BIO or BIOES tag")
        if begun and (mark in "OBSU" or label != begun[1]):
            yield span_of(text, begun[0], last, begun[1])
            begun = None
        if mark != "O":
            begun = begun or (start, label)
            last = end
            if mark in "ESUL":
                yield span_of(text, begun[0], last, begun[1])
                begun = None
    if begun:
        yield span_of(text, begun[0], last, begun[1])


def tags_of_spans(record: Labelled) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the record's tokens, or tokens found in its text, with a BIO tag each."""
    spans = sorted(record.spans, key=lambda s: s.start)
    for one, other in zip(spans, spans[1:], strict=False):
        if other.start < one.end:
            raise Unreadable(f"the spans {one.start}-{one.end} and {other.start}-{other.end} overlap")
    tokens = list(record.tokens) or _tokens_of(record.text, spans)
    if "".join("".join(record.text[a:b] for a, b in tokens).split()) != "".join(record.text.split()):
        raise Unreadable("a part of the text is in none of its tokens")
    tags = ["O"] * len(tokens)
    first = {start: i for i, (start, _) in enumerate(tokens)}
    last = {end: i for i, (_, end) in enumerate(tokens)}
    for span in spans:
        if span.start not in first or span.end not in last:
            raise Unreadable(f"the span {span.start}-{span.end} does not begin and end with a token")
        if any(c in " \t\n" for c in span.label):
            raise Unreadable(f"the label {span.label!r:.40} has a space, which a tag cannot")
        inside = range(first[span.start], last[span.end] + 1)
        for i in inside:
            tags[i] = f"{'B' if i == inside[0] else 'I'}-{span.label}"
    return tokens, tags


def _tokens_of(text: str, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return words, single Chinese characters and marks, cut where spans begin and end."""
    borders = sorted({border for s in spans for border in (s.start, s.end)})
    tokens = []
    for piece_start, piece_end in zip([0, *borders], [*borders, len(text)], strict=True):
        found = _TOKEN.finditer(text, piece_start, piece_end)
        tokens += [(m.start(), m.end()) for m in found]
    return tokens


class ConllWriter:
    """Writes `token pos chunk tag` lines, a sentence for each record; a document begins with -DOCSTART-."""

    def __init__(self, file: IO[str]):
        self._file = file
        self._document: object = None

    def add_record(self, record: Labelled) -> None:
        """Append one record."""
        tokens, tags = tags_of_spans(record)
        if not tokens:
            raise Unreadable("no token")
        names = _names(record, len(tokens), NAMES_2003 if set(record.columns) <= set(NAMES_2003) else None)
        columns = [record.columns.get(name, ("_",) * len(tokens)) for name in names]
        words = [record.text[a:b] for a, b in tokens]
        if any(c.isspace() for word in (*words, *(v for c in columns for v in c)) for c in word):
            raise Unreadable("a token or one of its columns holds a space")
        document = record.extra.get("document")
        if document is not None and document != self._document:
            self._file.write(f"{DOCUMENT} -X- -X- O\n\n")
        self._document = document
        for fields in zip(words, *columns, tags, strict=True):
            self._file.write(" ".join(fields) + "\n")
        self._file.write("\n")


def _names(record: Labelled, n_tokens: int, usual: Sequence[str] | None) -> Sequence[str]:
    names = tuple(record.columns) if usual is None else usual
    wrong = [name for name, values in record.columns.items() if len(values) != n_tokens]
    if wrong:
        raise Unreadable(f"the column {wrong[0]} has not one value for each token")
    return names


def read_conllu(file: IO[str]) -> Iterator[Numbered]:
    """Yield a row for each sentence of CoNLL-U; names stand in MISC as NER=B-PER, other columns are kept.

    The text is put together from tokens and SpaceAfter=No or SpacesAfter. Empty words (1.1) are passed
    over; a sentence with a contraction (1-2) is not read, for its words are not parts of its text.
    """
    for sentence in _sentences(file, comments=True):
        try:
            yield sentence.line, _row_u(sentence)
        except Unreadable as e:
            yield sentence.line, e


def _row_u(sentence: _Sentence) -> Row:
    for fields in sentence.tokens:
        if len(fields) != 1 + len(UD):
            raise Unreadable(f"a line has {len(fields)} columns; CoNLL-U has {1 + len(UD)}")
        if "-" in fields[0]:
            raise Unreadable(
                f"the words {fields[0]} are a contraction, {fields[1]!r:.40}: no parts of a text"
            )
    kept = [fields[1:] for fields in sentence.tokens if fields[0].isdigit()]
    if not kept:
        raise Unreadable("a sentence without a numbered word")
    notes = [_notes(fields[-1]) for fields in kept]
    words = [fields[0] for fields in kept]
    text, tokens = _placed(words, [_space_after(n, i == len(kept) - 1) for i, n in enumerate(notes)])
    sentence.comments.pop("text", None)
    tags = [n.get("NER", n.get("ner", "O")) for n in notes]
    columns = {name: tuple(fields[1 + i] for fields in kept) for i, name in enumerate(UD[1:-1])}
    others = tuple("|".join(f"{k}={v}" for k, v in n.items() if k not in _OURS) or "_" for n in notes)
    columns = {k: v for k, v in {**columns, "misc": others}.items() if set(v) != {"_"}}
    before = _unescaped(notes[0].get("SpacesBefore", ""))
    text, tokens = before + text, [(a + len(before), b + len(before)) for a, b in tokens]
    spans = tuple(spans_of_tags(text, tokens, tags))
    extra = {k: v for k, v in sentence.comments.items() if k}
    return write_spans(Labelled(text, None, spans, tokens=tuple(tokens), columns=columns, extra=extra))


_OURS = ("NER", "ner", "SpaceAfter", "SpacesAfter", "SpacesBefore")


def _notes(misc: str) -> dict[str, str]:
    if misc == "_":
        return {}
    return {name: value for name, _, value in (note.partition("=") for note in misc.split("|"))}


def _space_after(notes: dict[str, str], is_last: bool) -> str:
    if "SpacesAfter" in notes:
        return _unescaped(notes["SpacesAfter"])
    return "" if is_last or notes.get("SpaceAfter") == "No" else " "


def _unescaped(text: str) -> str:
    return re.sub(r"\\[stnrpv]", lambda m: _UNESCAPES[m[0]], text)


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in text)


class ConlluWriter:
    """Writes CoNLL-U: a sentence for each record, its text exact, its spans in MISC as NER=B-PER."""

    def __init__(self, file: IO[str]):
        self._file = file

    def add_record(self, record: Labelled) -> None:
        """Append one record."""
        tokens, tags = tags_of_spans(record)
        if not tokens:
            raise Unreadable("no token")
        _names(record, len(tokens), None)
        lines = [f"# {name} = {_comment(name, value)}" for name, value in record.extra.items()]
        if record.label is not None:
            lines.append(f"# label = {_comment('label', record.label)}")
        lines.append(f"# text = {' '.join(record.text.split())}")
        ends = [*(start for start, _ in tokens[1:]), len(record.text)]
        for i, ((start, end), tag, following) in enumerate(zip(tokens, tags, ends, strict=True)):
            notes = [] if tag == "O" else [f"NER={tag}"]
            if not i and start:
                notes.append(f"SpacesBefore={_escaped(record.text[:start])}")
            notes += _space_notes(record.text[end:following], i == len(tokens) - 1)
            values = {name: column[i] for name, column in record.columns.items()}
            own = values.get("misc", "_")
            misc = "|".join([*([] if own == "_" else [own]), *notes]) or "_"
            word = record.text[start:end]
            fields = [str(i + 1), word, *(values.get(name, "_") for name in UD[1:-1]), misc]
            if any("\t" in f or "\n" in f or not f for f in fields):
                raise Unreadable(f"a column of the word {word!r:.40} is empty, or holds a tab or line end")
            lines.append("\t".join(fields))
        self._file.write("\n".join(lines) + "\n\n")


def _space_notes(gap: str, is_last: bool) -> list[str]:
    if gap == ("" if is_last else " "):
        return []
    return [f"SpacesAfter={_escaped(gap)}"] if gap else ["SpaceAfter=No"]


def _comment(name: str, value: object) -> str:
    text = str(value)
    if "\n" in text or "\r" in text or "=" in name:
        raise Unreadable(f"{name} holds a line end or =, which a comment of CoNLL-U cannot")
    return text
