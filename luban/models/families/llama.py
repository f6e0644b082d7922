"""Llama: a decoder with rotary positions, RMS norms, gated MLPs and shared key/value heads.

Source: arXiv:2302.13971, arXiv:2307.09288. SmolLM2 (arXiv:2502.02737) and TinyLlama
(arXiv:2401.02385) have the same structure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.errors import CheckpointError
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
    "tiny": {"dim": 256, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 704, "max_len": 512},
    "smollm2-135m": {
        "dim": 576,
        "n_layers": 30,
        "n_heads": 9,
        "n_kv_heads": 3,
        "ffn_dim": 1536,
        "max_len": 8192,
        "rope_theta": 100_000.0,
    },
    "tinyllama-1.1b": {
        "dim": 2048,
        "n_layers": 22,
        "n_heads": 32,
        "n_kv_heads": 4,
        "ffn_dim": 5632,
        "max_len": 2048,
        "head": HeadConfig(tied=False),
    },
}


def build(fields: Json) -> ModelConfig:
    """Return the config of a size; TransformerConfig's own defaults are Llama's."""
    model, trunk = split_fields(fields, TransformerConfig)
    whole: Json = {"head_dim": head_width(fields)} | trunk
    return ModelConfig(family="llama", trunk=TransformerConfig(**whole), **model)


def read(config: Json) -> ModelConfig:
    """Read config.json."""
    refuse(config, "pretraining_tp", 1, "sliced arithmetic")
    n_heads = need(config, "num_attention_heads")
    fields = {
        "vocab_size": need(config, "vocab_size"),
        "max_len": need(config, "max_position_embeddings"),
        "dim": need(config, "hidden_size"),
        "n_layers": need(config, "num_hidden_layers"),
        "n_heads": n_heads,
        "n_kv_heads": config.get("num_key_value_heads") or n_heads,
        "ffn_dim": need(config, "intermediate_size"),
        "rope_theta": _theta(config),
        "norm_eps": config.get("rms_norm_eps", 1e-6),
        "activation": choose(config, "hidden_act", ACTIVATIONS, "silu"),
        "attention_bias": bool(config.get("attention_bias")),
        "mlp_bias": bool(config.get("mlp_bias")),
        "attention_dropout": config.get("attention_dropout") or 0.0,
    }
    if config.get("head_dim"):
        fields["head_dim"] = config["head_dim"]
    return build(fields | special_ids(config))


def _theta(config: Json) -> float:
    """Return the rotary base, from where newer or older files keep it."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind != "default":
        raise CheckpointError(
            f"config.json: rotary positions of type {kind!r} are not supported",
            fix="use a model whose positions are not rescaled (rope_type default)",
        )
    return float(scaling.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def write(config: ModelConfig) -> Json:
    """Return the trunk's part of config.json; the rotary base twice, for newer and older readers."""
    trunk = config.trunk
    assert isinstance(trunk, TransformerConfig)
    return {
        "hidden_size": trunk.dim,
        "num_hidden_layers": trunk.n_layers,
        "num_attention_heads": trunk.n_heads,
        "num_key_value_heads": trunk.n_kv_heads,
        "head_dim": trunk.head_dim,
        "intermediate_size": trunk.ffn_dim,
        "max_position_embeddings": config.max_len,
        "vocab_size": config.vocab_size,
        "rms_norm_eps": trunk.norm_eps,
        "rope_theta": trunk.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": trunk.rope_theta},
        "hidden_act": flip(ACTIVATIONS, trunk.activation),
        "attention_bias": trunk.attention_bias,
        "mlp_bias": trunk.mlp_bias,
        "attention_dropout": trunk.attention_dropout,
        **write_special_ids(config),
    }


def fit_head(head: HeadConfig) -> HeadConfig:
    """Llama's heads are one matrix."""
    return replace(head, layer="none", bias=False)


OURS, THEIRS = "trunk.blocks.{i}.", "model.layers.{i}."
NAMES = (
    Name("stem.tokens.weight", "model.embed_tokens.weight"),
    *(
        Name(f"{OURS}{ours}.{kind}", f"{THEIRS}{theirs}.{kind}")
        for ours, theirs in (
            ("attention.q", "self_attn.q_proj"),
            ("attention.k", "self_attn.k_proj"),
            ("attention.v", "self_attn.v_proj"),
            ("attention.out", "self_attn.o_proj"),
            ("mlp.gate", "mlp.gate_proj"),
            ("mlp.up", "mlp.up_proj"),
            ("mlp.down", "mlp.down_proj"),
        )
        for kind in ("weight", "bias")
    ),
    Name(f"{OURS}attention_norm.weight", f"{THEIRS}input_layernorm.weight"),
    Name(f"{OURS}mlp_norm.weight", f"{THEIRS}post_attention_layernorm.weight"),
    Name("trunk.norm.weight", "model.norm.weight"),
    Name("head.weight", "lm_head.weight"),
    Name("head.classes.weight", "score.weight"),
)

FAMILY = Family(
    model_type="llama",
    sizes=SIZES,
    build=build,
    read=read,
    write=write,
    names=NAMES,
    heads={
        "LlamaForCausalLM": "tokens",
        "LlamaForSequenceClassification": "classes",
        "LlamaModel": "none",
    },
    pool="last",
    is_tied=False,
    fit_head=fit_head,
    prefix="model.",
    buffers=r"rotary_emb\.inv_freq$",
)
