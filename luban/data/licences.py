"""A filter by licence that reads SPDX expressions: `MIT`, `Apache-2.0 OR GPL-2.0-only`, `(A AND B) OR C`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from luban.records import Document, Drop

UNKNOWN = frozenset({"", "unknown", "noassertion", "none", "other", "und"})
"""What says that nothing is known; NOASSERTION and NONE are SPDX's words."""

_TOKEN = re.compile(r"[()]|[^\s()]+")
_VERSION = re.compile(r"(?:-only|-or-later|\+)\Z")
_PROSE = (
    (re.compile(r"\A(?:the )?(mit|isc|zlib) licen[cs]e\Z"), r"\1"),
    (re.compile(r"\Aapache(?: software)?(?: licen[cs]e)?,?[ -](?:version |v)?2(?:\.0)?\Z"), "apache-2.0"),
    (re.compile(r"\A(a|l)?gpl ?v?([23])(?:\.0)?\Z"), r"\1gpl-\2.0"),
    (re.compile(r"\Acc[ -](by(?:-sa|-nc|-nd){0,2})[ -]([1-4](?:\.[05])?)\Z"), r"cc-\1-\2"),
    (re.compile(r"\A(?:cc0|cc-0|cc0 1\.0|public domain)\Z"), "cc0-1.0"),
    (re.compile(r"\Absd[ -]([234])[ -]clause(?: licen[cs]e)?\Z"), r"bsd-\1-clause"),
)
"""Common ways to write what SPDX has a name for."""


@dataclass(frozen=True, slots=True)
class AllowedLicence:
    """Drop documents whose licence is not allowed, or is denied, or is unknown where that will not do.

    Names are compared without case; `GPL-3.0` stands for GPL-3.0-only and GPL-3.0-or-later too, and `*`
    for anything. Of `A OR B` one usable licence is enough; of `A AND B` both must be.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    keep_unknown: bool = True
    name = "licence"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document or a Drop."""
        licence = document.licence
        if licence.strip().lower() in UNKNOWN:
            return document if self.keep_unknown else Drop("licence unknown", f"licence {licence!r}")
        if allows(licence, self._is_usable):
            return document
        limits = [f"allowed: {', '.join(self.allow)}"] if self.allow else []
        limits += [f"denied: {', '.join(self.deny)}"] if self.deny else []
        return Drop("licence", f"{licence}; {'; '.join(limits) or 'unknown ones are dropped'}")

    def _is_usable(self, name: str) -> bool:
        if name in UNKNOWN:
            return self.keep_unknown
        return not matches(name, self.deny) and (
            not self.allow or matches(name, self.allow, takes_limits=False)
        )


def matches(name: str, patterns: tuple[str, ...], takes_limits: bool = True) -> bool:
    """Whether a licence is one of those that the patterns name.

    Without `takes_limits`, `CC-BY-*` leaves out CC-BY-NC and CC-BY-ND: NC and ND must be named, or be under
    the pattern `*`.
    """
    names = (plain_name(name), _VERSION.sub("", plain_name(name)))
    return any(
        (takes_limits or pattern == "*" or _limits(names[0]) <= _limits(plain_name(pattern)))
        and any(fnmatchcase(n, plain_name(pattern)) for n in names)
        for pattern in patterns
    )


def _limits(name: str) -> set[str]:
    return {"nc", "nd"}.intersection(name.split("-")) if name.startswith("cc-") else set()


def plain_name(licence: str) -> str:
    """Return a licence's SPDX name in small letters where it is written in another common way."""
    name = " ".join(licence.lower().split())
    for shape, spdx in _PROSE:
        name = shape.sub(spdx, name)
    return name


def allows(expression: str, is_usable: Callable[[str], bool]) -> bool:
    """Whether an SPDX expression leaves a usable choice; AND binds closer than OR, WITH adds an exception.

    A string that is no expression is taken as one name. (SPDX specification 2.3, annex D.)
    """
    if not re.search(r"\s(?:OR|AND|WITH|or|and)\s", expression):
        return is_usable(plain_name(expression.strip("() ")))
    tokens = _TOKEN.findall(expression)
    try:
        result, left = _either(tokens, is_usable)
    except (IndexError, RecursionError):
        return is_usable(plain_name(expression))
    return result if not left else is_usable(plain_name(expression))


def _either(tokens: list[str], is_usable: Callable[[str], bool]) -> tuple[bool, list[str]]:
    result, tokens = _both(tokens, is_usable)
    while tokens and tokens[0].upper() == "OR":
        other, tokens = _both(tokens[1:], is_usable)
        result = result or other
    return result, tokens


def _both(tokens: list[str], is_usable: Callable[[str], bool]) -> tuple[bool, list[str]]:
    result, tokens = _one(tokens, is_usable)
    while tokens and tokens[0].upper() == "AND":
        other, tokens = _one(tokens[1:], is_usable)
        result = result and other
    return result, tokens


def _one(tokens: list[str], is_usable: Callable[[str], bool]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        result, tokens = _either(tokens[1:], is_usable)
        if tokens[0] != ")":
            raise IndexError
        return result, tokens[1:]
    words = 1
    while words < len(tokens) and tokens[words].upper() not in ("OR", "AND", "WITH", "(", ")"):
        words += 1  # "MIT License" inside an expression
    result = is_usable(plain_name(" ".join(tokens[:words])))
    tokens = tokens[words:]
    if tokens and tokens[0].upper() == "WITH":  # an exception only gives more rights
        tokens = tokens[2:]
    return result, tokens
