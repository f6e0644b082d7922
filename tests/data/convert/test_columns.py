"""The types of columns: the first value decides, numbers may widen, the rest is set aside."""

import json
from typing import Any

import pytest

from luban.data.convert.columns import Columns
from luban.data.encoding import Unreadable


def columns(*rows: dict[str, Any]) -> Columns:
    found = Columns()
    for row in rows:
        found.look(row)
    return found


@pytest.mark.parametrize(
    ("seen", "other", "reason"),
    [
        (1, "a", "n = 'a' does not fit its column of 64-bit whole numbers"),
        ("a", 1, "n = 1 does not fit its column of text"),
        (True, 1, "does not fit its column of true and false"),
        ([1], ["a"], "does not fit its column of lists"),
        ({"a": 1}, {"a": "x"}, "does not fit its column of objects with a"),
        (1, 2**70, "does not fit"),
        (1, [1, "a"], "does not fit"),
        ("a", "half \ud800", "a lone surrogate"),
    ],
)
def test_a_value_of_another_type_than_the_first_is_refused(seen: Any, other: Any, reason: str) -> None:
    found = columns({"n": seen}, {"n": other})
    assert found.fitted({"n": seen}) == {"n": seen}
    with pytest.raises(Unreadable, match=reason):
        found.fitted({"n": other})


def test_whole_numbers_and_nothing_go_into_a_column_of_fractions() -> None:
    found = columns({"n": None}, {"n": 1}, {"n": 0.5})
    assert found.fitted({"n": 1}) == {"n": 1.0}
    assert found.fitted({"n": None}) == {"n": None}


def test_keys_of_all_rows_make_the_objects_of_a_column() -> None:
    found = columns({"o": {"a": 1}}, {"o": {"b": [{"c": "x"}]}}, {"o": {}})
    assert found.fitted({"o": {"a": 1}}) == {"o": {"a": 1, "b": None}}
    assert str(found.schema().field("o").type) == "struct<a: int64, b: list<item: struct<c: string>>>"


def test_objects_without_keys_and_tools_are_json() -> None:
    found = columns({"o": {}, "tools": [{"name": "f", "parameters": {}}]})
    fitted = found.fitted({"o": {}, "tools": [{"name": "北"}]})
    assert fitted == {"o": "{}", "tools": '[{"name": "北"}]'}
    described = json.loads(found.schema().metadata[b"huggingface"])
    assert described["info"]["features"]["tools"] == {"dtype": "string", "_type": "Value"}
