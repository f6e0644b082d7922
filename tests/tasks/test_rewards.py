"""Checkers: what earns a reward, and what of a user's own code may run."""

from pathlib import Path

import pytest

from luban.errors import ConfigError, DataError
from luban.tasks.rewards import final_number, find_reward


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("She has 48+24 = <<48+24=72>>72 clips.\n#### 72", 72),
        ("#### 1,234", 1234),
        ("so it is $1,234.00.", 1234),
        ("#### $18", 18),
        ("3 apples and 4 pears make 7 fruits", 7),
        ("所以一共是 1，250 元。", 1250),
        ("#### −5 degrees", -5),
        ("it falls by -0.5", -0.5),
        ("#### 10\nNo, wait: 11", 10),
        ("none", None),
        ("####", None),
    ],
)
def test_the_final_number_is_found_whatever_stands_around_it(text: str, value: float | None) -> None:
    found = final_number(text)
    assert (None if found is None else float(found)) == value


def test_each_named_reward_pays_for_what_it_says() -> None:
    row = {"final": "72", "answer": "... #### 72"}
    cases = {
        "number": ("It is 72.", "It is 71."),
        "marked_number": ("#### 72", "It is 72."),
        "format_number": ("Well.\n#### 3", "#### 3\nthat is it"),
        "exact": (" 72\n", "72."),
        "contains": ("is 72, I think", "is 7"),
        "matches=^是": ("是的", "不是"),
    }
    for name, (good, bad) in cases.items():
        reward = find_reward(name)
        assert (reward(good, row), reward(bad, row)) == (1.0, 0.0), name
    length = find_reward("length=4")
    assert [length(text, row) for text in ("", "四个字", "eight ch")] == [0.0, 1.0, 0.5]


def test_a_row_without_what_is_right_is_refused() -> None:
    with pytest.raises(DataError, match="no answer to compare with; it has: question"):
        find_reward("exact")("x", {"question": "?"})
    with pytest.raises(DataError, match="holds no number"):
        find_reward("number")("x", {"answer": "forty"})


def test_a_users_function_runs_only_when_allowed(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "def reward(answer, row):\n    return len(answer) / row['n']\ndef bad(a, r):\n    return float('nan')\n"
    )
    with pytest.raises(ConfigError, match="would run a program of yours"):
        find_reward(f"{file}:reward")
    assert find_reward(f"{file}:reward", allow_code=True)("abcd", {"n": 8}) == 0.5
    with pytest.raises(DataError, match="failed on an answer: KeyError"):
        find_reward(f"{file}:reward", allow_code=True)("abcd", {})
    with pytest.raises(DataError, match="returned nan"):
        find_reward(f"{file}:bad", allow_code=True)("abcd", {})
    with pytest.raises(ConfigError, match="has no function other"):
        find_reward(f"{file}:other", allow_code=True)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("numbre", "no reward 'numbre'"), ("matches=(", "no regular expression"), ("length=x", "no number of"),
     ("gone.py:f", "not there")],
)  # fmt: skip
def test_a_reward_that_is_none_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        find_reward(name, allow_code=True)
