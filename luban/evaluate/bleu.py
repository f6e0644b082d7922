"""BLEU and chrF of translations by sacreBLEU, with its signatures and intervals of our own.

Counts of every sentence are sacreBLEU's, so that a resample is a sum of rows. Sources: BLEU, Papineni
et al. ACL 2002; signatures, arXiv:1804.08771; chrF, Popović, WMT 2015; bootstrap, Koehn, EMNLP 2004.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.errors import DataError, MissingExtra
from luban.evaluate.intervals import Floats, Ints, Plan, Score, Statistic, bootstrap

HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
KANA = re.compile(r"[\u3040-\u30ff]")
LETTER = re.compile(r"[^\W\d_]")
MOSTLY = 0.3
"""Share of Chinese among the letters of the references from which on they count as Chinese."""


@dataclass(frozen=True, slots=True)
class TranslationScores:
    """BLEU and chrF, from 0 to 100, and what decides each."""

    scores: dict[str, Score]
    signatures: dict[str, str]


class Counts:
    """What sacreBLEU counts in every sentence, for BLEU and chrF.

    references (n, any number): the translations that each hypothesis is compared with; an empty one is
    left out, as sacreBLEU does with None.
    """

    def __init__(
        self,
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
        tokenize: str | None = None,
    ):
        if not hypotheses:
            raise DataError("there are no translations to score", fix="check the file and the --split")
        if len(hypotheses) != len(references) or not all(references):
            raise DataError(
                f"{len(hypotheses)} translations and {len(references)} sets of references do not match",
                fix="give every translation one reference or more",
            )
        self.tokenize = tokenize or choose_tokenizer([r for some in references for r in some])
        module = _sacrebleu()
        self.metrics: dict[str, Any] = {
            "bleu": module.BLEU(tokenize=self.tokenize),
            "chrf": module.CHRF(),
        }
        streams = _streams(references)
        self._rows: dict[str, NDArray[np.float64]] = {
            name: np.array(metric._extract_corpus_statistics(list(hypotheses), streams), np.float64)
            for name, metric in self.metrics.items()
        }

    def signatures(self) -> dict[str, str]:
        """Return sacreBLEU's signature of each score."""
        return {name: str(metric.get_signature()) for name, metric in self.metrics.items()}

    def corpus(self) -> dict[str, float]:
        """Return the scores of all sentences together."""
        return {name: self._score(name, rows.sum(0)) for name, rows in self._rows.items()}

    def statistic(self, rows: Ints) -> dict[str, Floats]:
        """Return the scores of resamples: row numbers (R, n) -> (R,) each."""
        times = np.stack([np.bincount(drawn, minlength=len(self)) for drawn in rows]).astype(np.float64)
        return {
            name: np.array([self._score(name, sums) for sums in times @ counts])
            for name, counts in self._rows.items()
        }

    def sentences(self, name: str) -> list[float]:
        """Return a score of each sentence alone."""
        return [self._score(name, row) for row in self._rows[name]]

    def __len__(self) -> int:
        return len(self._rows["bleu"])

    def _score(self, name: str, sums: NDArray[np.float64]) -> float:
        found = self.metrics[name]._compute_score_from_stats([round(v) for v in sums])
        return float(found.score)


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    plan: Plan,
    tokenize: str | None = None,
) -> TranslationScores:
    """Return BLEU and chrF of translations, each with one reference or more, with intervals.

    Words are cut by "zh" where the references are Chinese, by "char" for Japanese, else by "13a", unless
    `tokenize` names another tokenizer of sacreBLEU's.
    """
    counts = Counts(hypotheses, references, tokenize)
    statistic: Statistic = counts.statistic
    return TranslationScores(bootstrap(statistic, len(counts), plan), counts.signatures())


def choose_tokenizer(texts: Sequence[str]) -> str:
    """Return sacreBLEU's tokenizer for texts by their script: "zh", "char" for Japanese, or "13a"."""
    letters = "".join(LETTER.findall("".join(texts[:2000])))
    if not letters or len(HAN.findall(letters)) + len(KANA.findall(letters)) < MOSTLY * len(letters):
        return "13a"
    return "char" if len(KANA.findall(letters)) > 0.1 * len(letters) else "zh"


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Turn rows of references into as many columns as the row with most has."""
    most = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(most)]


def _sacrebleu() -> Any:
    try:
        return importlib.import_module("sacrebleu")
    except ImportError:
        raise MissingExtra("sacrebleu", "eval") from None
