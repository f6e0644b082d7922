"""LSTM: a recurrent trunk; one direction for writing, both for classifying.

Source: Hochreiter and Schmidhuber (1997); bidirectional, Schuster and Paliwal (1997).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, RecurrentConfig
from luban.models.family import (
    Family,
    Json,
    Name,
    need,
    special_ids,
    split_fields,
    write_special_ids,
)

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 1, "max_len": 4096, "dropout": 0.2},
    "small": {"dim": 512, "n_layers": 2, "max_len": 4096, "dropout": 0.2},
    "medium": {"dim": 1024, "n_layers": 2, "max_len": 4096, "dropout": 0.3},
}


def build(fields: Json) -> ModelConfig:
    """Return the config of a size; a head of classes may look both ways."""
    model, trunk = split_fields(fields, RecurrentConfig)
    head = model.get("head") or HeadConfig(kind="none")
    trunk.setdefault("sight", "full" if head.kind == "classes" else "causal")
    return ModelConfig(family="lstm", trunk=RecurrentConfig(**trunk), **model)


def read(config: Json) -> ModelConfig:
    """Read config.json."""
    fields = {
        "vocab_size": need(config, "vocab_size"),
        "max_len": need(config, "max_position_embeddings"),
        "dim": need(config, "hidden_size"),
        "n_layers": need(config, "num_hidden_layers"),
        "sight": "full" if need(config, "bidirectional") else "causal",
        "dropout": config.get("dropout", 0.0),
    }
    return build(fields | special_ids(config))


def write(config: ModelConfig) -> Json:
    """Return the trunk's part of config.json."""
    trunk = config.trunk
    return {
        "hidden_size": trunk.dim,
        "num_hidden_layers": trunk.n_layers,
        "max_position_embeddings": config.max_len,
        "vocab_size": config.vocab_size,
        "bidirectional": trunk.sight == "full",
        "dropout": trunk.dropout,
        **write_special_ids(config),
    }


def fit_head(head: HeadConfig) -> HeadConfig:
    """Add biases; token scores share the embedding."""
    return replace(head, layer="none", bias=head.kind != "none")


NAMES = (
    Name("stem.tokens.weight", "stem.tokens.weight"),
    *(
        Name(f"trunk.blocks.{{i}}.{kind}_l0{way}", f"trunk.blocks.{{i}}.{kind}_l0{way}")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for way in ("", "_reverse")
    ),
    *(Name(n, n) for n in ("head.weight", "head.bias", "head.classes.weight", "head.classes.bias")),
)

FAMILY = Family(
    model_type="luban-lstm",
    sizes=SIZES,
    build=build,
    read=read,
    write=write,
    names=NAMES,
    heads={
        "LubanLSTMForCausalLM": "tokens",
        "LubanLSTMForSequenceClassification": "classes",
        "LubanLSTMModel": "none",
    },
    pool="mean",
    is_tied=True,
    fit_head=fit_head,
)
