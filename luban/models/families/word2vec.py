"""Word vectors: an embedding, and a second one that tells the words around; no layers between.

With a head of classes over the mean it is a linear classifier of texts. Source: arXiv:1310.4546 for the
vectors; the classifier, arXiv:1607.01759 (fastText).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, NoTrunkConfig
from luban.models.family import Family, Json

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 64, "max_len": 4096},
    "small": {"dim": 100, "max_len": 4096},
    "base": {"dim": 300, "max_len": 4096},
}


def choices(fields: Json) -> Json:
    """Nothing is to choose between stem and head."""
    return {}


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """A word and its context have vectors of their own; only other heads than the vocabulary's add a bias."""
    return replace(head, layer="none", bias=head.kind not in ("tokens", "vector", "none"), tied=False)


FAMILY = Family(
    name="word2vec", trunk=NoTrunkConfig, sizes=SIZES, choices=choices, pool="mean", fit_head=fit_head
)
