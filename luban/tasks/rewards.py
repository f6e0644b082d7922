"""Programmatic rewards: named checkers that say how good an answer is, as a number.

Each is a function (answer, row) -> float; the row is the line of the data that the prompt came from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

from luban.config import nearest
from luban.errors import ConfigError, DataError

Reward = Callable[[str, Mapping[str, Any]], float]
REFERENCES = ("final", "answer", "solution", "reference", "output")
"""Columns that may hold what is right, the first that a row has."""
NUMBER = re.compile(r"[-−]?\d[\d,，]*(?:\.\d+)?|[-−]?\.\d+")
MARKED = re.compile(r"####\s*[^\d.\-−\n]{0,4}([-−]?[\d.][\d,，]*(?:\.\d+)?)")
"""How GSM8K writes a result: "#### 1,234" (arXiv:2110.14168), perhaps with a unit before it."""


def number(answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if the answer's final number is the row's, else 0: after ####, or else the last one.

    Commas, units and a sign of money do not count: "so it is $1,234.00." is 1234.
    """
    said, right = final_number(answer), final_number(str(_reference(row)))
    if right is None:
        raise DataError(
            f"the row's answer holds no number: {_reference(row)!r:.60}", fix="choose another reward"
        )
    return float(said is not None and said == right)


def marked_number(answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if the number after #### is the row's, else 0: the format counts too."""
    return number(answer, row) if MARKED.search(answer) else 0.0


def format_number(answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if the last line of the answer is "#### n", whatever the number; else 0."""
    lines = answer.strip().splitlines()
    return float(bool(lines) and MARKED.fullmatch(lines[-1].strip().rstrip(".")) is not None)


def exact(answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if the answer is the row's, but for space around it; else 0."""
    return float(answer.strip() == str(_reference(row)).strip())


def contains(answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if the row's answer stands in this one, whatever the case; else 0."""
    return float(str(_reference(row)).strip().casefold() in answer.casefold())


def matches(pattern: str, answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 if a regular expression is found in the answer; else 0."""
    return float(re.search(pattern, answer) is not None)


def length(longest: str, answer: str, row: Mapping[str, Any]) -> float:
    """Return 1 for an answer of at most so many characters, and less the longer it is."""
    most = _whole("length", longest)
    n = len(answer.strip())
    return 0.0 if n == 0 else min(1.0, most / n)


PLAIN: dict[str, Reward] = {
    "number": number,
    "marked_number": marked_number,
    "format_number": format_number,
    "exact": exact,
    "contains": contains,
}
WITH_VALUE: dict[str, Callable[[str, str, Mapping[str, Any]], float]] = {"matches": matches, "length": length}
"""Written name=value, such as matches=^Yes or length=200."""


def find_reward(name: str, *, allow_code: bool = False) -> Reward:
    """Return a reward by its name; "FILE.py:function" runs a user's own, if `allow_code` says so.

    The user's file is imported into this process, with all rights of the user, once, before the first
    step; its function is called as function(answer, row) for every answer.
    """
    key, has_value, value = name.partition("=")
    if has_value and key in WITH_VALUE:
        if key == "matches":
            _check_pattern(value)
        else:
            _whole(key, value)
        return partial(WITH_VALUE[key], value)
    if name in PLAIN:
        return PLAIN[name]
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _own(Path(file), function, allow_code=allow_code)
    known = [*PLAIN, *(f"{key}=VALUE" for key in WITH_VALUE)]
    raise ConfigError(f"there is no reward {name!r}", fix=f"{nearest(key, known)}; or FILE.py:function")


def final_number(text: str) -> Decimal | None:
    """Return the number that an answer comes to: the one after the last ####, or else the last one."""
    marked = MARKED.findall(text)
    found = marked or NUMBER.findall(text)
    if not found:
        return None
    plain = found[-1].replace(",", "").replace("，", "").replace("−", "-").rstrip(".")
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None


def _reference(row: Mapping[str, Any]) -> Any:
    for name in REFERENCES:
        if row.get(name) is not None:
            return row[name]
    raise DataError(
        f"a row has no answer to compare with; it has: {', '.join(map(str, row))}",
        fix=f"name it in one of the columns {', '.join(REFERENCES)}",
    )


def _own(file: Path, name: str, *, allow_code: bool) -> Reward:
    if not allow_code:
        raise ConfigError(
            f"{file}:{name} would run a program of yours inside this one",
            fix="read the file, then set train.allow_code=true",
        )
    if not file.is_file():
        raise ConfigError(
            f"{file} is not there", fix="name a Python file and a function in it: FILE.py:function"
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"luban_reward_{digest}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{file} has no function {name}", fix="write one: def reward(answer, row): ...")
    return partial(_called, function, f"{file}:{name}")


def _called(function: Callable[..., Any], where: str, answer: str, row: Mapping[str, Any]) -> float:
    """Call a user's function, which may do anything."""
    try:
        value = float(function(answer, row))
    except Exception as e:
        raise DataError(f"{where} failed on an answer: {e!r}", fix="let it return a number") from e
    if value != value or value in (float("inf"), float("-inf")):
        raise DataError(f"{where} returned {value}", fix="let it return a finite number")
    return value


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as e:
        raise ConfigError(f"matches={pattern} is no regular expression: {e}", fix="repair it") from None


def _whole(name: str, value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise ConfigError(f"{name}={value} is no number of characters", fix=f"write {name}=200")
    return int(value)
