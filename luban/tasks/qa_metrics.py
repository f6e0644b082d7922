"""How right an answer is: exact match and F1, by the definitions that each language's benchmark has.

English: SQuAD 1.1 and 2.0 (arXiv:1606.05250 section 6.1; arXiv:1806.03822 section 5). Chinese: CMRC 2018
(arXiv:1810.07366 section 4): overlap is the longest run that both have, in characters and foreign words.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Language = Literal["en", "zh"]
_HAN = re.compile("[\u4e00-\u9fa5]")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Punctuation that CMRC passes over; an ellipsis stays, since its list is asked for single characters."""
_RUN = re.compile("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")
_WORD = re.compile(r"\d[\d.,:]*\d|[^\W_]+(?:[.][^\W_]+)*|\S")
"""Foreign words in Chinese as NLTK's word_tokenize cuts them, but for contractions and abbreviations."""
CHINESE_SHARE = 0.2
"""With so many Han characters among what is no space, rows count as Chinese."""


@dataclass(frozen=True, slots=True)
class Definition:
    """How one benchmark compares two answers."""

    name: str
    """What a signature calls it."""
    plain: Callable[[str], object]
    """Answers with an equal plain form match."""
    overlap: Callable[[str, str], float]
    """F1 of a right answer and a prediction."""


def definition(language: Language) -> Definition:
    """Return the official definition for a language."""
    return DEFINITIONS[language]


def exact_match(prediction: str, answers: Sequence[str], how: Definition) -> float:
    """Return 1 if the prediction is one of the answers; no answers: if it is empty."""
    if not answers:
        return float(not prediction)
    return float(any(how.plain(prediction) == how.plain(answer) for answer in answers))


def f1(prediction: str, answers: Sequence[str], how: Definition) -> float:
    """Return the best F1 of the prediction with any answer; no answers: 1 if it is empty."""
    if not answers:
        return float(not prediction)
    return max(how.overlap(answer, prediction) for answer in answers)


def language_of(texts: Iterable[str]) -> Language:
    """Return "zh" for texts with many Han characters, else "en"."""
    han = total = 0
    for text in texts:
        han += len(_HAN.findall(text))
        total += sum(map(len, text.split()))
    return "zh" if han > CHINESE_SHARE * total else "en"


def squad_plain(text: str) -> str:
    """Return lower case without punctuation, articles and extra spaces: "The  Cat." -> "cat"."""
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def squad_f1(answer: str, prediction: str) -> float:
    """Return F1 over the words that both have, however often each."""
    right, said = squad_plain(answer).split(), squad_plain(prediction).split()
    common = (Counter(right) & Counter(said)).total()
    return _f1(common, len(said), len(right))


def cmrc_plain(text: str) -> str:
    """Return lower case without CMRC's list of punctuation."""
    return "".join(c for c in text.lower().strip() if c not in _MARKS)


def cmrc_units(text: str) -> list[str]:
    """Return the characters of Chinese and the words of the rest: "1997年 Hong" -> 1997 年 hong."""
    runs = _RUN.findall(cmrc_plain(text))
    return [unit for run in runs for unit in ([run] if _HAN.match(run) else _WORD.findall(run))]


def cmrc_f1(answer: str, prediction: str) -> float:
    """Return F1 over the longest run of units that stands in both."""
    right, said = cmrc_units(answer), cmrc_units(prediction)
    return _f1(longest_run(right, said), len(said), len(right))


def longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest contiguous run that both sequences have."""
    best, above = 0, [0] * (len(other) + 1)
    for a in one:
        row = [0] + [above[j] + 1 if a == b else 0 for j, b in enumerate(other)]
        best, above = max(best, max(row)), row
    return best


def _f1(common: int, n_said: int, n_right: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / n_said, common / n_right
    return 2 * precision * recall / (precision + recall)


DEFINITIONS: dict[Language, Definition] = {
    "en": Definition("squad-1.1", squad_plain, squad_f1),
    "zh": Definition("cmrc-2018", cmrc_plain, cmrc_f1),
}


def best_threshold(margins: Sequence[float], found: Sequence[float], empty: Sequence[float]) -> float:
    """Return the margin from which on the best span is taken rather than no answer.

    margins: by how much the best span beats no answer; found: its F1; empty: F1 of no answer. Rows at or
    above the threshold answer. Of equals the one that answers most. Source: arXiv:1806.03822 section 5.
    """
    if not margins:
        return 0.0
    order = sorted(range(len(margins)), key=lambda i: -margins[i])
    gains = accumulate((found[i] - empty[i] for i in order), initial=0.0)
    totals = [(gain, n) for n, gain in enumerate(gains) if n in (0, len(order)) or _parts(margins, order, n)]
    _, n = max((round(gain, 9), n) for gain, n in totals)
    if n == len(order):
        return margins[order[-1]] - 1.0
    if n == 0:
        return margins[order[0]] + 1.0
    return (margins[order[n - 1]] + margins[order[n]]) / 2


def _parts(margins: Sequence[float], order: Sequence[int], n: int) -> bool:
    """Whether a threshold can divide the first n rows from the next."""
    return margins[order[n - 1]] > margins[order[n]]
