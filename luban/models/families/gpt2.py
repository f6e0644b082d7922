"""GPT-2: a decoder with learned positions and a norm before each sublayer.

Source: Radford et al. (2019), Language models are unsupervised multitask learners; sizes, table 2.
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
    "tiny": {"dim": 256, "n_layers": 4, "n_heads": 4, "max_len": 256},
    "small": {"dim": 768, "n_layers": 12, "n_heads": 12, "max_len": 1024, "dropout": 0.1},
    "medium": {"dim": 1024, "n_layers": 24, "n_heads": 16, "max_len": 1024, "dropout": 0.1},
    "large": {"dim": 1280, "n_layers": 36, "n_heads": 20, "max_len": 1024, "dropout": 0.1},
    "xl": {"dim": 1600, "n_layers": 48, "n_heads": 25, "max_len": 1024, "dropout": 0.1},
}


def build(fields: Json) -> ModelConfig:
    """Return the config of a size: full multi-head attention, an MLP four times as wide."""
    model, trunk = split_fields(fields, TransformerConfig)
    choices: Json = {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "ffn_dim": 4 * fields["dim"],
        "position": "learned",
        "norm": "layer",
        "activation": "gelu_tanh",
        "mlp": "plain",
        "attention_bias": True,
        "mlp_bias": True,
        "init": "scaled",
    }
    return ModelConfig(family="gpt2", trunk=TransformerConfig(**choices | trunk), **model)


def read(config: Json) -> ModelConfig:
    """Read config.json."""
    refuse(config, "scale_attn_weights", True, "unscaled attention")
    refuse(config, "scale_attn_by_inverse_layer_idx", False, "attention scaled by depth")
    refuse(config, "add_cross_attention", False, "cross-attention")
    dim = need(config, "n_embd")
    fields = {
        "vocab_size": need(config, "vocab_size"),
        "max_len": need(config, "n_positions"),
        "dim": dim,
        "n_layers": need(config, "n_layer"),
        "n_heads": need(config, "n_head"),
        "ffn_dim": config.get("n_inner") or 4 * dim,
        "norm_eps": config.get("layer_norm_epsilon", 1e-5),
        "activation": choose(config, "activation_function", ACTIVATIONS, "gelu_new"),
        "dropout": config.get("resid_pdrop", 0.1),
        "attention_dropout": config.get("attn_pdrop", 0.1),
    }
    return build(fields | special_ids(config))


def write(config: ModelConfig) -> Json:
    """Return the trunk's part of config.json."""
    trunk = config.trunk
    assert isinstance(trunk, TransformerConfig)
    return {
        "n_embd": trunk.dim,
        "n_layer": trunk.n_layers,
        "n_head": trunk.n_heads,
        "n_inner": trunk.ffn_dim,
        "n_positions": config.max_len,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": trunk.norm_eps,
        "activation_function": flip(ACTIVATIONS, trunk.activation),
        "embd_pdrop": trunk.dropout,
        "resid_pdrop": trunk.dropout,
        "attn_pdrop": trunk.attention_dropout,
        **write_special_ids(config),
    }


def fit_head(head: HeadConfig) -> HeadConfig:
    """GPT-2's heads are one matrix."""
    return replace(head, layer="none", bias=False)


OURS, THEIRS = "trunk.blocks.{i}.", "transformer.h.{i}."
NAMES = (
    Name("stem.tokens.weight", "transformer.wte.weight"),
    Name("stem.positions.weight", "transformer.wpe.weight"),
    *(
        Name(f"{OURS}attention.{ours}.{kind}", f"{THEIRS}attn.c_attn.{kind}", (part, 3), kind == "weight")
        for part, ours in enumerate("qkv")
        for kind in ("weight", "bias")
    ),
    *(
        Name(f"{OURS}{ours}.{kind}", f"{THEIRS}{theirs}.{kind}", transpose=kind == "weight")
        for ours, theirs in (
            ("attention.out", "attn.c_proj"),
            ("mlp.up", "mlp.c_fc"),
            ("mlp.down", "mlp.c_proj"),
        )
        for kind in ("weight", "bias")
    ),
    *(
        Name(f"{ours}.{kind}", f"{theirs}.{kind}")
        for ours, theirs in (
            (f"{OURS}attention_norm", f"{THEIRS}ln_1"),
            (f"{OURS}mlp_norm", f"{THEIRS}ln_2"),
            ("trunk.norm", "transformer.ln_f"),
        )
        for kind in ("weight", "bias")
    ),
    Name("head.weight", "lm_head.weight"),
    Name("head.classes.weight", "score.weight"),
)

FAMILY = Family(
    model_type="gpt2",
    sizes=SIZES,
    build=build,
    read=read,
    write=write,
    names=NAMES,
    heads={
        "GPT2LMHeadModel": "tokens",
        "GPT2ForSequenceClassification": "classes",
        "GPT2Model": "none",
    },
    pool="last",
    is_tied=True,
    fit_head=fit_head,
    prefix="transformer.",
    buffers=r"(^|\.)attn\.(masked_)?bias$",
)
