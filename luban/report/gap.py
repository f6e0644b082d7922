"""How far training rows score above validation rows, and in words what that suggests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luban.records import LOWER_IS_BETTER

Verdict = Literal["by heart", "little learnt", "close"]

SHARE_APART, RATIO_APART = 0.05, 1.15
"""Scores in 0 to 1 that differ by more, and losses with a larger ratio, are apart."""
LOW_SHARE, LITTLE_BETTER = 0.75, 0.9
"""Shares below, and losses above so much of the first one, tell of little learning."""

ENGLISH: dict[Verdict, str] = {
    "by heart": "The model has learnt rows by heart: try more dropout, weight decay, label smoothing or "
    "token dropout, fewer steps, or more data.",
    "little learnt": "Little is learnt: the model is too small, stopped too early, or its learning rate is "
    "wrong; try more steps, a larger model, or `luban train --find-lr`.",
    "close": "They are close together: there is room for more steps or a larger model.",
}
CHINESE: dict[Verdict, str] = {
    "by heart": "模型在死记训练数据：可以加大 dropout、权重衰减、标签平滑或词元丢弃，减少步数，或增加数据。",
    "little learnt": "学到的还很少：模型太小、停得太早，或学习率不合适；可以增加步数、换更大的模型，"
    "或用 `luban train --find-lr` 找学习率。",
    "close": "两者接近：还可以训练更多步，或换更大的模型。",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """One score on training rows and on validation rows, both with the best weights."""

    name: str
    train: float
    validation: float
    verdict: Verdict

    @property
    def english(self) -> str:
        """Both scores and what they suggest."""
        name = self.name.replace("_", " ")
        return (
            f"{name} {self.train:.3f} on training rows, {self.validation:.3f} on validation rows. "
            f"{ENGLISH[self.verdict]}"
        )

    @property
    def chinese(self) -> str:
        """The same in Chinese."""
        return (
            f"{self.name}：训练数据 {self.train:.3f}，验证数据 {self.validation:.3f}。{CHINESE[self.verdict]}"
        )


def gap_of(facts: Mapping[str, Any], settings: Mapping[str, Any]) -> Gap | None:
    """Return the gap of a training stage; None where its facts do not tell."""
    on_train, best, first = (_scores(facts.get(key)) for key in ("on_train", "best", "first"))
    names = [name for name in on_train if name in best]
    if not names:
        return None
    wanted = settings.get("best_by")
    name = wanted if wanted in names else names[0]
    train, validation = on_train[name], best[name]
    return Gap(name, train, validation, _verdict(name, train, validation, first.get(name)))


def _verdict(name: str, train: float, validation: float, first: float | None) -> Verdict:
    if name in LOWER_IS_BETTER:
        is_apart = validation > RATIO_APART * train
        is_poor = first is not None and min(train, validation) > LITTLE_BETTER * first
    else:
        is_apart = train - validation > SHARE_APART
        is_poor = train < LOW_SHARE
    if is_apart:
        return "by heart"
    return "little learnt" if is_poor else "close"


def _scores(part: Any) -> dict[str, float]:
    """Return the numbers of a mapping from a file that may be partial."""
    values = part.items() if isinstance(part, dict) else ()
    return {
        k: float(v)
        for k, v in values
        if k != "step" and isinstance(v, int | float) and not isinstance(v, bool)
    }
