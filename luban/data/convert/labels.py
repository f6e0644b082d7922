"""Texts with labels: plain rows with a label or spans, and Label Studio's tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from luban.data.convert.records import Label, Labelled, Row, Span, joined, rest, span_of, text_in, whole
from luban.data.encoding import Unreadable
from luban.data.examples import LABEL_COLUMNS, label_name
from luban.data.messages import parsed
from luban.data.tables import TEXT_COLUMNS, find_column

SPANS = ("spans", "entities")
_SPAN_LABELS = ("type", "label", "labels", "entity", "entity_type")
_OWN = ("relations", "tokens", "columns")


def read_labelled(row: Row) -> Labelled:
    """Return a row with a text and, under their usual names, a label, spans, relations and tokens.

    {"text": "Ann left", "spans": [{"start": 0, "end": 3, "type": "PER"}]}
    """
    column = find_column(None, TEXT_COLUMNS, list(row), "row")
    if column is None:
        raise Unreadable(f"no text; its columns are {', '.join(map(str, row))}")
    text = text_in(row, column)
    label_column = find_column(None, LABEL_COLUMNS, list(row), "row")
    spans_column = next((name for name in SPANS if row.get(name) is not None), None)
    spans = tuple(_spans(text, parsed(row[spans_column]))) if spans_column else ()
    used = [name for name in (column, label_column, spans_column) if name]
    return Labelled(
        text,
        _label(row.get(label_column)) if label_column else None,
        spans,
        tuple(_relations(row, len(spans))),
        tuple(_tokens(row, len(text))),
        _columns(row),
        rest(row, (*used, *_OWN)),
    )


def _label(value: Any) -> Label:
    value = parsed(value) if isinstance(value, str) and value.startswith("[") else value
    if isinstance(value, list) and value and all(isinstance(v, str) and v.strip() for v in value):
        return tuple(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if (isinstance(value, str) and value.strip()) or (isinstance(value, float) and value == value):
        return value
    raise Unreadable(f"the label = {value!r:.60} is no label")


def _spans(text: str, spans: Any) -> Iterator[Span]:
    if not isinstance(spans, list) or not all(isinstance(s, dict) for s in spans):
        raise Unreadable("spans is no list of objects")
    for span in spans:
        label = next((span[name] for name in _SPAN_LABELS if span.get(name) is not None), None)
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
        start, end = whole(span.get("start"), "start"), whole(span.get("end"), "end")
        yield span_of(text, start, end, label, span.get("text"))


def _relations(row: Row, n_spans: int) -> Iterator[tuple[int, int, str]]:
    relations = parsed(row.get("relations"))
    if relations is None or relations == "":
        return
    if not isinstance(relations, list) or not all(isinstance(r, dict) for r in relations):
        raise Unreadable("relations is no list of objects")
    for relation in relations:
        ends = [whole(relation.get(name), name) for name in ("head", "tail")]
        if not all(0 <= end < n_spans for end in ends) or not isinstance(relation.get("type"), str):
            raise Unreadable(f"a relation joins no two of the {n_spans} spans, or has no type: {relation}")
        yield ends[0], ends[1], relation["type"]


def _tokens(row: Row, n_chars: int) -> Iterator[tuple[int, int]]:
    before = 0
    for token in parsed(row.get("tokens")) or ():
        if not isinstance(token, list) or len(token) != 2:
            raise Unreadable(f"a token is no [start, end]: {token!r:.60}")
        start, end = whole(token[0], "a token's start"), whole(token[1], "a token's end")
        if not before <= start < end <= n_chars:
            raise Unreadable(f"the token {start}-{end} is not inside the text, after the token before it")
        yield start, end
        before = end


def _columns(row: Row) -> Mapping[str, tuple[str, ...]]:
    columns = parsed(row.get("columns")) or {}
    if not isinstance(columns, dict) or not all(isinstance(v, list) for v in columns.values()):
        raise Unreadable("columns holds no list for each name")
    return {name: tuple(map(str, values)) for name, values in columns.items() if values}


def write_labelled(record: Labelled) -> Row:
    """Return the record as a row, without the columns that it has nothing for."""
    row: Row = {"text": record.text}
    if record.label is not None:
        row["label"] = list(record.label) if isinstance(record.label, tuple) else record.label
    if record.spans or record.tokens:
        row["spans"] = _plain_spans(record)
    if record.relations:
        row["relations"] = [{"head": a, "tail": b, "type": label} for a, b, label in record.relations]
    if record.tokens:
        row["tokens"] = [list(token) for token in record.tokens]
    if record.columns:
        row["columns"] = {name: list(values) for name, values in record.columns.items()}
    return joined(row, record.extra)


def write_spans(record: Labelled) -> Row:
    """Return the record as a row with spans, be it with none."""
    return {**write_labelled(record), "spans": _plain_spans(record)}


def _plain_spans(record: Labelled) -> list[Row]:
    return [{"start": s.start, "end": s.end, "type": s.label} for s in record.spans]


def read_task(row: Row) -> Labelled:
    """Return a Label Studio task: its first annotation that was not cancelled, else its first prediction.

    Further annotations are carried along. (Label Studio's JSON export: data, annotations[].result[].)
    """
    data = row.get("data")
    if not isinstance(data, dict):
        raise Unreadable("a task has no data")
    column = find_column(None, TEXT_COLUMNS, list(data), "row")
    if column is None:
        raise Unreadable(f"a task has no text in its data; it has: {', '.join(map(str, data))}")
    text = text_in(data, column)
    extra = rest(data, (column,))
    given = [a for a in row.get("annotations") or () if isinstance(a, dict) and not a.get("was_cancelled")]
    guessed = [] if given else [p for p in row.get("predictions") or () if isinstance(p, dict)]
    if guessed:
        extra["predicted"] = True
    if len(given) > 1:
        extra["other_annotations"] = given[1:]
    if "id" in row and "id" not in data:
        extra["id"] = row["id"]
    results = (given or guessed or [{}])[0].get("result") or ()
    return _of_results(text, [r for r in results if isinstance(r, dict)], extra)


def _of_results(text: str, results: list[Row], extra: Row) -> Labelled:
    choices: list[str] = []
    spans: list[Span] = []
    number: dict[str, int] = {}
    joins: list[tuple[str, str, str]] = []
    for result in results:
        kind, value = result.get("type"), result.get("value") or {}
        if kind == "choices":
            choices += value.get("choices") or []
        elif kind in ("labels", "hypertextlabels"):
            labels = value.get("labels", value.get("hypertextlabels")) or [None]
            if len(labels) > 1:
                raise Unreadable(f"a span has several labels: {', '.join(map(str, labels))}")
            start, end = whole(value.get("start"), "start"), whole(value.get("end"), "end")
            number[str(result.get("id"))] = len(spans)
            spans.append(span_of(text, start, end, labels[0], value.get("text")))
        elif kind == "relation":
            label = (result.get("labels") or [result.get("direction", "right")])[0]
            joins.append((str(result.get("from_id")), str(result.get("to_id")), label))
        else:
            raise Unreadable(f"a result of the type {kind}; known are choices, labels, relation")
    if not all(a in number and b in number for a, b, _ in joins):
        raise Unreadable("a relation joins a span that is not there")
    relations = tuple((number[a], number[b], label) for a, b, label in joins)
    label = _label(choices) if len(choices) > 1 else _label(choices[0]) if choices else None
    return Labelled(text, label, tuple(spans), relations, extra=extra)


def write_task(record: Labelled) -> Row:
    """Return a Label Studio task whose controls are named `label` over a text named `text`."""
    extra = dict(record.extra)
    others, predicted = extra.pop("other_annotations", []), extra.pop("predicted", False)
    task: Row = {}
    if isinstance(extra.get("id"), int):
        task["id"] = extra.pop("id")
    task["data"] = joined({"text": record.text}, extra)
    results = list(_results(record))
    place = "predictions" if predicted else "annotations"
    task[place] = [{"result": results}, *others] if results or others else []
    return task


def _results(record: Labelled) -> Iterator[Row]:
    control = {"from_name": "label", "to_name": "text"}
    if record.label is not None:
        choices = record.label if isinstance(record.label, tuple) else (label_name(record.label),)
        # Where one text has both, the two controls need two names.
        own = {"from_name": "choice" if record.spans else "label", "to_name": "text"}
        yield {**own, "type": "choices", "value": {"choices": list(choices)}}
    for i, span in enumerate(record.spans):
        said = record.text[span.start : span.end]
        value = {"start": span.start, "end": span.end, "text": said, "labels": [span.label]}
        yield {"id": f"s{i}", **control, "type": "labels", "value": value}
    for a, b, label in record.relations:
        yield {
            "type": "relation",
            "from_id": f"s{a}",
            "to_id": f"s{b}",
            "direction": "right",
            "labels": [label],
        }
