"""Llama: a decoder with rotary positions, RMS norms, gated MLPs and shared key/value heads.

Source: arXiv:2302.13971, arXiv:2307.09288, arXiv:2407.21783. SmolLM2 (arXiv:2502.02737) and TinyLlama
(arXiv:2401.02385) have the same structure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import ALL_PROJECTIONS, HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import ACTIVATIONS, Family, Field, Format, Json, Name, head_width, named, refuse
from luban.models.rope_config import read_rope, write_rope

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


def choices(fields: Json) -> Json:
    """TransformerConfig's own defaults are Llama's."""
    return {"head_dim": head_width(fields)}


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """Llama's heads are one matrix; that of tags adds a bias."""
    return replace(head, layer="none", bias=head.kind in ("tags", "spans"))


def read(config: Json, fields: Json) -> Json:
    """Add what depends on several keys."""
    refuse(config, "pretraining_tp", 1, "sliced arithmetic")
    has_bias = fields["attention_bias"]
    return fields | {
        "n_kv_heads": fields["n_kv_heads"] or fields["n_heads"],
        "attention_bias": ALL_PROJECTIONS if has_bias else (),
        "head_dim": head_width(fields),
        **read_rope(config),
    }


def write(config: ModelConfig) -> Json:
    """Return what depends on several settings."""
    assert isinstance(config.trunk, TransformerConfig)
    return {"attention_bias": bool(config.trunk.attention_bias), **write_rope(config.trunk)}


FIELDS = (
    Field("vocab_size", "vocab_size"),
    Field("max_len", "max_position_embeddings"),
    Field("dim", "hidden_size"),
    Field("n_layers", "num_hidden_layers"),
    Field("n_heads", "num_attention_heads"),
    Field("n_kv_heads", "num_key_value_heads", None),
    Field("head_dim", "head_dim", None),
    Field("ffn_dim", "intermediate_size"),
    Field("norm_eps", "rms_norm_eps", 1e-6),
    Field("activation", "hidden_act", "silu", ACTIVATIONS),
    Field("attention_dropout", "attention_dropout", 0.0),
)
OURS, THEIRS = "trunk.blocks.{i}.", "model.layers.{i}."
NAMES = (
    Name("stem.tokens.weight", "model.embed_tokens.weight"),
    *named(f"{OURS}attention.q", f"{THEIRS}self_attn.q_proj"),
    *named(f"{OURS}attention.k", f"{THEIRS}self_attn.k_proj"),
    *named(f"{OURS}attention.v", f"{THEIRS}self_attn.v_proj"),
    *named(f"{OURS}attention.out", f"{THEIRS}self_attn.o_proj"),
    *named(f"{OURS}mlp.gate", f"{THEIRS}mlp.gate_proj"),
    *named(f"{OURS}mlp.up", f"{THEIRS}mlp.up_proj"),
    *named(f"{OURS}mlp.down", f"{THEIRS}mlp.down_proj"),
    Name(f"{OURS}attention_norm.weight", f"{THEIRS}input_layernorm.weight"),
    Name(f"{OURS}mlp_norm.weight", f"{THEIRS}post_attention_layernorm.weight"),
    Name("trunk.norm.weight", "model.norm.weight"),
    Name("head.weight", "lm_head.weight"),
    Name("head.classes.weight", "score.weight", when=("head.kind", "classes")),
    *named("head.tags", "score", when=("head.kind", "tags")),
)

FORMAT = Format(
    model_type="llama",
    fields=(
        *FIELDS,
        Field("attention_bias", "attention_bias", False),
        Field("mlp_bias", "mlp_bias", False),
    ),
    names=NAMES,
    heads={
        "LlamaForCausalLM": "tokens",
        "LlamaForSequenceClassification": "classes",
        "LlamaForTokenClassification": "tags",
        "LlamaModel": "none",
    },
    is_tied=False,
    read=read,
    write=write,
    prefix="model.",
    buffers=r"rotary_emb\.inv_freq$",
)

FAMILY = Family(
    name="llama",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="last",
    fit_head=fit_head,
    format=FORMAT,
)
