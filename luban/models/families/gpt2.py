"""GPT-2 and GPT-3: decoders with learned positions and a norm before each sublayer.

Source: Radford et al. (2019), Language models are unsupervised multitask learners, table 2;
arXiv:2005.14165, table 2.1. GPT-3's every second layer attends to a band only; here all attend fully.
Two of its rows do not add up (24 heads of 128 in a width of 2048; a width of 5140): the number of
heads of the first and the width of the second follow from the other columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import ALL_PROJECTIONS, HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import ACTIVATIONS, Family, Field, Format, Json, Name, head_width, named, refuse

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 4, "n_heads": 4, "max_len": 256},
    "small": {"dim": 768, "n_layers": 12, "n_heads": 12, "max_len": 1024, "dropout": 0.1},
    "medium": {"dim": 1024, "n_layers": 24, "n_heads": 16, "max_len": 1024, "dropout": 0.1},
    "large": {"dim": 1280, "n_layers": 36, "n_heads": 20, "max_len": 1024, "dropout": 0.1},
    "xl": {"dim": 1600, "n_layers": 48, "n_heads": 25, "max_len": 1024, "dropout": 0.1},
    "gpt3-small": {"dim": 768, "n_layers": 12, "n_heads": 12, "max_len": 2048},
    "gpt3-medium": {"dim": 1024, "n_layers": 24, "n_heads": 16, "max_len": 2048},
    "gpt3-large": {"dim": 1536, "n_layers": 24, "n_heads": 16, "max_len": 2048},
    "gpt3-xl": {"dim": 2048, "n_layers": 24, "n_heads": 16, "max_len": 2048},
    "gpt3-2.7b": {"dim": 2560, "n_layers": 32, "n_heads": 32, "max_len": 2048},
    "gpt3-6.7b": {"dim": 4096, "n_layers": 32, "n_heads": 32, "max_len": 2048},
    "gpt3-13b": {"dim": 5120, "n_layers": 40, "n_heads": 40, "max_len": 2048},
    "gpt3-175b": {"dim": 12288, "n_layers": 96, "n_heads": 96, "max_len": 2048},
}


def choices(fields: Json) -> Json:
    """Return what every GPT is: full multi-head attention, an MLP four times as wide."""
    return {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "ffn_dim": 4 * fields["dim"],
        "position": "learned",
        "norm": "layer",
        "activation": "gelu_tanh",
        "mlp": "plain",
        "attention_bias": ALL_PROJECTIONS,
        "mlp_bias": True,
        "init": "scaled",
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """GPT-2's heads are one matrix; that of tags adds a bias."""
    return replace(head, layer="none", bias=head.kind in ("tags", "spans"))


def read(config: Json, fields: Json) -> Json:
    """Refuse variants with other arithmetic."""
    refuse(config, "scale_attn_weights", True, "unscaled attention")
    refuse(config, "scale_attn_by_inverse_layer_idx", False, "attention scaled by depth")
    refuse(config, "add_cross_attention", False, "cross-attention")
    return fields | {"ffn_dim": fields["ffn_dim"] or 4 * fields["dim"]}


OURS, THEIRS = "trunk.blocks.{i}.", "transformer.h.{i}."
FORMAT = Format(
    model_type="gpt2",
    fields=(
        Field("vocab_size", "vocab_size"),
        Field("max_len", "n_positions"),
        Field("dim", "n_embd"),
        Field("n_layers", "n_layer"),
        Field("n_heads", "n_head"),
        Field("ffn_dim", "n_inner", None),
        Field("norm_eps", "layer_norm_epsilon", 1e-5),
        Field("activation", "activation_function", "gelu_new", ACTIVATIONS),
        Field("dropout", "resid_pdrop", 0.1),
        Field("attention_dropout", "attn_pdrop", 0.1),
    ),
    names=(
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
        *named(f"{OURS}attention_norm", f"{THEIRS}ln_1"),
        *named(f"{OURS}mlp_norm", f"{THEIRS}ln_2"),
        *named("trunk.norm", "transformer.ln_f"),
        Name("head.weight", "lm_head.weight"),
        Name("head.classes.weight", "score.weight"),
        *named("head.tags", "classifier", when=("head.kind", "tags")),
    ),
    heads={
        "GPT2LMHeadModel": "tokens",
        "GPT2ForSequenceClassification": "classes",
        "GPT2ForTokenClassification": "tags",
        "GPT2Model": "none",
    },
    is_tied=True,
    read=read,
    write=lambda config: {"embd_pdrop": config.trunk.dropout},
    prefix="transformer.",
    buffers=r"(^|\.)attn\.(masked_)?bias$",
)

FAMILY = Family(
    name="gpt2",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="last",
    fit_head=fit_head,
    format=FORMAT,
)
