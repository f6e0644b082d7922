"""Numbers, sizes, times and languages as people write them."""

from __future__ import annotations

import re
from datetime import datetime

from luban.report.ladder import Score

LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
    "und": "undetermined",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def plain(text: str) -> str:
    """Return text without control characters and half surrogates, which no terminal or page should get."""
    return _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8")


def shorten(text: str, most: int) -> str:
    """Return at most `most` characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def whole(value: float | None) -> str:
    """Write a count: 12,345."""
    return "–" if value is None else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed number of decimals."""
    return "–" if value is None else f"{value:.{digits}f}"


def magnitude(value: float | None) -> str:
    """Write a count in three digits: 22.7 M."""
    if value is None:
        return "–"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}" if value < 999.5 * limit else f"{value / limit:.0f} {unit}"
    return f"{value:.0f}"


def size(n_bytes: float | None) -> str:
    """Write a size in bytes: 3.9 MB."""
    if n_bytes is None:
        return "–"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.1f} {unit}"
    return f"{n_bytes:.0f} B"


def duration(seconds: float | None) -> str:
    """Write a time: 4.2 s, 5 min 43 s, 2 h 05 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(part: float, of: float) -> str:
    """Write a share: 76 %."""
    return f"{100 * part / of:.0f} %" if of else "–"


def several(n: float | None, word: str) -> str:
    """Write how many there are of something: 1 document, 12,345 documents."""
    return f"{whole(n)} {word}" if n == 1 else f"{whole(n)} {word}s"


def share(part: float, of: float) -> str:
    """Write a share of which even the least is not nothing: < 1 %."""
    return "< 1 %" if 0 < part < 0.005 * of else percent(part, of)


def brief(value: float) -> str:
    """Write a count in at most six characters: 1,234, 12.3 k."""
    return whole(value) if value < 10_000 else magnitude(value)


def score(value: Score | None, digits: int = 3) -> str:
    """Write a score with its interval: 0.842 [0.814, 0.870]."""
    if value is None:
        return "–"
    text = decimal(value.value, digits)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{decimal(value.low, digits)}, {decimal(value.high, digits)}]"


def date(iso: str) -> str:
    """Write an ISO time for people; what is none stays as it is."""
    try:
        when = datetime.fromisoformat(iso.replace("Z", "+00:00"))
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".strip()


def language(code: str) -> str:
    """Write a language's name: zh -> Chinese."""
    return LANGUAGES.get(code, code)
