"""The types of columns, found by looking at every row, and whether a value fits its column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from luban.data.convert.records import Row, json_of
from luban.data.encoding import Unreadable
from luban.data.extras import load_extra

Kind = str | tuple[str, Any]
"""null, bool, int, float, text, json, ("list", kind), or ("struct", {name: kind})."""
EMPTY: Kind = ("struct", {})
"""Objects without keys, which Arrow's files cannot hold: they are JSON."""
JSON_COLUMNS = frozenset({"tools", "columns"})
"""Columns whose keys differ from row to row: in a table they are JSON, as other tools write them too."""
_DTYPES = {"null": "null", "bool": "bool", "int": "int64", "float": "float64", "text": "string"}


@dataclass(slots=True)
class Columns:
    """Names and types of the columns that rows have; the first row with a value decides."""

    kinds: dict[str, Kind] = field(default_factory=dict)

    def look(self, row: Row) -> None:
        """Learn from a row; what does not go with earlier rows changes nothing."""
        for name, value in row.items():
            before = self.kinds.get(name, "null")
            try:
                self.kinds[name] = _merged(before, kind_of(name, value))
            except _Clash:
                self.kinds[name] = before

    def fitted(self, row: Row) -> Row:
        """Return the row as its columns have it; raises Unreadable where a value does not fit."""
        fitted = {}
        for name, value in row.items():
            kind = self.kinds[name]
            try:
                if _merged(kind, kind_of(name, value)) != kind:
                    raise _Clash
            except _Clash:
                shown = f"{value!r:.60}"
                raise Unreadable(f"{name} = {shown} does not fit its column of {_name(kind)}") from None
            fitted[name] = _as(kind, value)
        return fitted

    def schema(self) -> Any:
        """Return the pyarrow schema, with the description that Hugging Face's library reads."""
        pa = load_extra("pyarrow")
        described = json_of({"info": {"features": self.features()}})
        fields = [(name, _arrow(kind)) for name, kind in self.kinds.items()]
        return pa.schema(fields, metadata={"huggingface": described})

    def features(self) -> Row:
        """Return the columns as Hugging Face's dataset_info.json describes them."""
        return {name: _feature(kind) for name, kind in self.kinds.items()}


class _Clash(Exception):
    """Two kinds that no column can hold."""


def kind_of(name: str, value: Any) -> Kind:
    """Return the kind of a value of a column."""
    if isinstance(value, (list, tuple, dict)) and name in JSON_COLUMNS:
        return "json"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise _Clash
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (list, tuple)):
        kind: Kind = "null"
        for item in value:
            kind = _merged(kind, kind_of("", item))
        return ("list", kind)
    if isinstance(value, dict):
        return ("struct", {str(k): kind_of("", v) for k, v in value.items()})
    raise _Clash


def _merged(a: Kind, b: Kind) -> Kind:
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if (a, b) in (("int", "float"), ("float", "int")):
        return "float"
    if isinstance(a, tuple) and isinstance(b, tuple) and a[0] == b[0]:
        if a[0] == "list":
            return ("list", _merged(a[1], b[1]))
        names = {**a[1], **b[1]}
        return ("struct", {k: _merged(a[1].get(k, "null"), b[1].get(k, "null")) for k in names})
    if a == "json" and isinstance(b, tuple):
        return a
    raise _Clash


def _as(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind in ("json", EMPTY):
        return json_of(value)
    if kind == "text":
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unreadable("it holds half a character (a lone surrogate)") from None
    if kind == "float":
        return float(value)
    if isinstance(kind, tuple) and kind[0] == "list":
        return [_as(kind[1], item) for item in value]
    if isinstance(kind, tuple):
        return {name: _as(inner, value.get(name)) for name, inner in kind[1].items()}
    return value


def _name(kind: Kind) -> str:
    if isinstance(kind, str):
        return {"int": "64-bit whole numbers", "float": "numbers", "bool": "true and false"}.get(kind, kind)
    return "lists" if kind[0] == "list" else f"objects with {', '.join(kind[1])}"


def _arrow(kind: Kind) -> Any:
    pa = load_extra("pyarrow")
    if isinstance(kind, str) or kind == EMPTY:
        return {
            "null": pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(),
        }.get(str(kind), pa.string())  # fmt: skip
    if kind[0] == "list":
        return pa.list_(_arrow(kind[1]))
    return pa.struct([(name, _arrow(inner)) for name, inner in kind[1].items()])


def _feature(kind: Kind) -> Any:
    if isinstance(kind, str) or kind == EMPTY:
        return {"dtype": _DTYPES.get(str(kind), "string"), "_type": "Value"}
    if kind[0] == "list":
        return [_feature(kind[1])]
    return {name: _feature(inner) for name, inner in kind[1].items()}
