"""Scripts and languages: which text has no spaces, and what language a text is in."""

from __future__ import annotations

import re

from luban.data.extras import load_extra

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3040-\u30ff\uff66-\uff9f"
HANGUL = "\uac00-\ud7af\u1100-\u11ff"
UNSPACED = f"{HAN}{KANA}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Scripts written without spaces between words: Han, kana, Thai, Lao, Burmese, Khmer."""

SAMPLE_CHARS = 600  # enough to name a language; more only costs time
UNKNOWN = "und"

_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(f"[{KANA}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_CJK = re.compile(f"[{HAN}{KANA}{HANGUL}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_LETTER = re.compile(r"[^\W\d_]")


def count_cjk(text: str) -> int:
    """Return how many Chinese, Japanese and Korean characters a text has."""
    return 0 if text.isascii() else len(text) - len(_CJK.sub("", text))


def is_unspaced(text: str) -> bool:
    """Whether most of the text's letters belong to scripts without spaces."""
    if text.isascii():
        return False
    unspaced = len(text) - len(_UNSPACED.sub("", text))
    return unspaced * 3 > len(text)


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of the text's language, "und" if it has no letters.

    Chinese, Japanese and Korean are told by their scripts, others by py3langid.
    """
    middle = max(0, (len(text) - SAMPLE_CHARS) // 2)  # beginnings are titles and names
    sample = text[middle : middle + SAMPLE_CHARS]
    letters = len(_LETTER.findall(sample))
    if not letters:
        return UNKNOWN
    kana, hangul, han = (len(p.findall(sample)) for p in (_KANA, _HANGUL, _HAN))
    if hangul > 0.3 * letters:
        return "ko"
    if kana > 0.1 * letters and kana + han > 0.3 * letters:
        return "ja"
    if han > 0.3 * letters:  # an English word is several letters, a Chinese one about two
        return "zh"
    ranked = load_extra("py3langid").rank(sample)
    return next((code for code, _ in ranked if len(code) == 2), UNKNOWN)  # the others are near-dialects
