"""BERT: an encoder with learned positions and a norm after each residual sum.

Source: arXiv:1810.04805; the small sizes, arXiv:1908.08962; MiniLM, arXiv:2002.10957.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import (
    ACTIVATIONS,
    Family,
    Json,
    Name,
    choose,
    flip,
    head_width,
    need,
    refuse,
    special_ids,
    split_fields,
    write_special_ids,
)

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 4, "n_heads": 4, "ffn_dim": 1024, "max_len": 256, "dropout": 0.1},
    "mini": {"dim": 256, "n_layers": 4, "n_heads": 4, "ffn_dim": 1024, "max_len": 512, "dropout": 0.1},
    "minilm-l6": {"dim": 384, "n_layers": 6, "n_heads": 12, "ffn_dim": 1536, "max_len": 512, "dropout": 0.1},
    "base": {"dim": 768, "n_layers": 12, "n_heads": 12, "ffn_dim": 3072, "max_len": 512, "dropout": 0.1},
}


def build(fields: Json) -> ModelConfig:
    """Return the config of a size."""
    model, trunk = split_fields(fields, TransformerConfig)
    choices: Json = {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "sight": "full",
        "position": "learned",
        "norm": "layer",
        "norm_place": "after",
        "norm_eps": 1e-12,
        "activation": "gelu",
        "mlp": "plain",
        "attention_bias": True,
        "mlp_bias": True,
    }
    whole: Json = {"n_segments": 2, "stem_norm": True} | model
    return ModelConfig(family="bert", trunk=TransformerConfig(**choices | trunk), **whole)


def read(config: Json) -> ModelConfig:
    """Read config.json."""
    refuse(config, "position_embedding_type", "absolute", "another kind of position")
    refuse(config, "is_decoder", False, "a BERT decoder")
    fields = {
        "vocab_size": need(config, "vocab_size"),
        "max_len": need(config, "max_position_embeddings"),
        "n_segments": config.get("type_vocab_size", 2),
        "dim": need(config, "hidden_size"),
        "n_layers": need(config, "num_hidden_layers"),
        "n_heads": need(config, "num_attention_heads"),
        "ffn_dim": need(config, "intermediate_size"),
        "norm_eps": config.get("layer_norm_eps", 1e-12),
        "activation": choose(config, "hidden_act", ACTIVATIONS, "gelu"),
        "dropout": config.get("hidden_dropout_prob", 0.1),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.1),
    }
    return build(fields | special_ids(config))


def write(config: ModelConfig) -> Json:
    """Return the trunk's part of config.json."""
    trunk = config.trunk
    assert isinstance(trunk, TransformerConfig)
    return {
        "hidden_size": trunk.dim,
        "num_hidden_layers": trunk.n_layers,
        "num_attention_heads": trunk.n_heads,
        "intermediate_size": trunk.ffn_dim,
        "max_position_embeddings": config.max_len,
        "vocab_size": config.vocab_size,
        "type_vocab_size": config.n_segments,
        "layer_norm_eps": trunk.norm_eps,
        "hidden_act": flip(ACTIVATIONS, trunk.activation),
        "hidden_dropout_prob": trunk.dropout,
        "attention_probs_dropout_prob": trunk.attention_dropout,
        "position_embedding_type": "absolute",
        **write_special_ids(config),
    }


def fit_head(head: HeadConfig) -> HeadConfig:
    """BERT transforms before the vocabulary, and passes its first token through a tanh pooler."""
    if head.kind == "tokens":
        return replace(head, layer="transform", bias=True)
    has_pooler = head.kind == "none" or head.pool == "first"
    return replace(head, layer="pooler" if has_pooler else "none", bias=True)


OURS, THEIRS = "trunk.blocks.{i}.", "bert.encoder.layer.{i}."
NAMES = (
    Name("stem.tokens.weight", "bert.embeddings.word_embeddings.weight"),
    Name("stem.positions.weight", "bert.embeddings.position_embeddings.weight"),
    Name("stem.segments.weight", "bert.embeddings.token_type_embeddings.weight"),
    *(
        Name(f"{ours}.{kind}", f"{theirs}.{kind}")
        for ours, theirs in (
            ("stem.norm", "bert.embeddings.LayerNorm"),
            (f"{OURS}attention.q", f"{THEIRS}attention.self.query"),
            (f"{OURS}attention.k", f"{THEIRS}attention.self.key"),
            (f"{OURS}attention.v", f"{THEIRS}attention.self.value"),
            (f"{OURS}attention.out", f"{THEIRS}attention.output.dense"),
            (f"{OURS}attention_norm", f"{THEIRS}attention.output.LayerNorm"),
            (f"{OURS}mlp.up", f"{THEIRS}intermediate.dense"),
            (f"{OURS}mlp.down", f"{THEIRS}output.dense"),
            (f"{OURS}mlp_norm", f"{THEIRS}output.LayerNorm"),
            ("head.transform.dense", "cls.predictions.transform.dense"),
            ("head.transform.norm", "cls.predictions.transform.LayerNorm"),
            ("head.pooler", "bert.pooler.dense"),
            ("head.classes", "classifier"),
            ("head.sentences", "cls.seq_relationship"),
        )
        for kind in ("weight", "bias")
    ),
    Name("head.weight", "cls.predictions.decoder.weight"),
    Name("head.bias", "cls.predictions.bias"),
    Name("head.bias", "cls.predictions.decoder.bias"),
)

FAMILY = Family(
    model_type="bert",
    sizes=SIZES,
    build=build,
    read=read,
    write=write,
    names=NAMES,
    heads={
        "BertForMaskedLM": "tokens",
        "BertForPreTraining": "tokens",
        "BertForSequenceClassification": "classes",
        "BertModel": "none",
    },
    pool="first",
    is_tied=True,
    fit_head=fit_head,
    prefix="bert.",
    buffers=r"embeddings\.position_ids$",
    renames=((".gamma", ".weight"), (".beta", ".bias")),
)
