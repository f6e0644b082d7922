"""Times as ISO 8601, from the ways in which files write them."""

from __future__ import annotations

import datetime
import email.utils
import re
from typing import Any

_ISO = re.compile(
    r"(\d{4})(?:[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?"
    r"(?:[T ]\s*(\d\d?):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?\s*(Z|[+-]\d\d:?\d\d|UTC)?)?)?)?月?\s*$"
)
_EXACT = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ?)?"
)  # nothing to change or to doubt
_COMPACT = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(\d\d)?)?(Z|[+-]\d\d[:']?\d\d'?)?'?$")
_FIRST, _LAST = (
    1_000_000_000,
    4_000_000_000,
)  # seconds since 1970: 2001 to 2096; smaller numbers are years, ids


def iso_time(value: Any) -> str:
    """Return a time as ISO 8601, as exact as it was written; "" for what is none.

    One with an offset is given in UTC, so that times can be compared as text.

    iso_time("2024/5/1 8:30") -> "2024-05-01T08:30:00"; iso_time(1714521600) -> "2024-04-30T..."
    """
    if isinstance(value, str) and _EXACT.fullmatch(value):
        return value
    if isinstance(value, datetime.datetime):
        return _in_utc(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, (int, float)):
        return _from_number(float(value))
    return _from_text(value.strip()) if isinstance(value, str) and len(value) < 64 else ""


def _from_number(value: float) -> str:
    for unit in (1.0, 1e3, 1e6, 1e9):
        if _FIRST <= value / unit < _LAST:
            moment = datetime.datetime.fromtimestamp(value / unit, datetime.timezone.utc)
            return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{int(value)}" if 1000 <= value <= 2200 and value == int(value) else ""


def _from_text(text: str) -> str:
    match = _ISO.match(text) or _COMPACT.match(text)
    if match:
        return _checked(*match.groups())
    if text.isdigit():
        return _from_number(float(text))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return ""
    return _in_utc(moment)


def _in_utc(moment: datetime.datetime) -> str:
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(datetime.timezone.utc)
        except OverflowError:  # in the first or the last year
            return ""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _checked(*parts: str | None) -> str:
    year, month, day, hour, minute, second, zone = parts
    numbers = [int(part or default) for part, default in zip(parts[:6], (1, 1, 1, 0, 0, 0), strict=True)]
    try:
        moment = datetime.datetime(*numbers[:5], second=min(numbers[5], 59))  # type: ignore[misc, arg-type]
    except ValueError:
        return ""
    if hour is None:
        return moment.date().isoformat()[: 10 if day else 7 if month else 4]
    zone = (zone or "").replace("'", "").replace("UTC", "Z").replace("+00:00", "Z").replace("+0000", "Z")
    if zone in ("", "Z"):
        return moment.isoformat(timespec="seconds") + zone
    offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    if offset >= datetime.timedelta(days=1):
        return ""
    behind = datetime.timezone(-offset if zone[0] == "-" else offset)
    return _in_utc(moment.replace(tzinfo=behind))
