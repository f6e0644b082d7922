"""Recurrent networks: plain, GRU and LSTM; one direction for writing, both for classifying.

Source: Elman (1990), Finding structure in time; arXiv:1406.1078; Hochreiter and Schmidhuber (1997),
Long short-term memory; both directions, Schuster and Paliwal (1997).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, RecurrentConfig
from luban.models.family import Family, Json

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 1, "max_len": 4096, "dropout": 0.2},
    "small": {"dim": 512, "n_layers": 2, "max_len": 4096, "dropout": 0.2},
    "medium": {"dim": 1024, "n_layers": 2, "max_len": 4096, "dropout": 0.3},
}


def choices(fields: Json) -> Json:
    """All but a head that writes may look both ways; a vocabulary needs the past alone."""
    head = fields["head"]
    return {"sight": "causal" if head is None or head.kind in ("tokens", "none") else "full"}


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """Add biases; token scores share the embedding."""
    return replace(head, layer="none", bias=head.kind not in ("none", "vector"))


FAMILY = Family(
    name="recurrent", trunk=RecurrentConfig, sizes=SIZES, choices=choices, pool="mean", fit_head=fit_head
)
