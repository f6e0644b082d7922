"""The Transformer of 2017: encoder and decoder, sinusoidal positions, a norm after each residual sum.

Loads and saves as Marian, the translation models that kept its structure. Source: arXiv:1706.03762;
sizes, table 3.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from luban.models.config import ALL_PROJECTIONS, HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import ACTIVATIONS, Family, Field, Format, Json, Name, head_width, named, refuse

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 3, "n_heads": 4, "ffn_dim": 1024, "max_len": 256, "dropout": 0.1},
    "base": {"dim": 512, "n_layers": 6, "n_heads": 8, "ffn_dim": 2048, "max_len": 512, "dropout": 0.1},
    "big": {"dim": 1024, "n_layers": 6, "n_heads": 16, "ffn_dim": 4096, "max_len": 512, "dropout": 0.3},
}


def choices(fields: Json) -> Json:
    """Return what the paper fixes; embeddings grow by sqrt(dim), section 3.4."""
    return {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "reads_source": True,
        "position": "sinusoidal",
        "norm": "layer",
        "norm_place": "after",
        "activation": "relu",
        "mlp": "plain",
        "attention_bias": ALL_PROJECTIONS,
        "mlp_bias": True,
        "stem_scale": math.sqrt(fields["dim"]),
        "init": "xavier",
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """Token scores share the embedding and add a bias."""
    return replace(head, layer="none", bias=head.kind not in ("none", "vector"))


def read(config: Json, fields: Json) -> Json:
    """Refuse variants with other arithmetic."""
    refuse(config, "share_encoder_decoder_embeddings", True, "two vocabularies")
    refuse(config, "decoder_vocab_size", config.get("vocab_size"), "two vocabularies")
    refuse(config, "normalize_before", False, "a norm before each sublayer")
    is_scaled = bool(config.get("scale_embedding"))
    return fields | {
        "n_kv_heads": fields["n_heads"],
        "stem_scale": math.sqrt(fields["dim"]) if is_scaled else 1.0,
        "encoder": encoder_fields(fields),
    }


def encoder_fields(fields: Json) -> Json:
    """Give the encoder's heads their own width, where their number is its own."""
    own = fields["encoder"]
    return own | {"n_kv_heads": own["n_heads"], "head_dim": head_width({"dim": fields["dim"], **own})}


def write(config: ModelConfig) -> Json:
    """Return what follows from several settings."""
    return {
        "is_encoder_decoder": True,
        "scale_embedding": config.stem_scale != 1.0,
        "decoder_vocab_size": config.vocab_size,
        "share_encoder_decoder_embeddings": True,
        "normalize_before": False,
    }


SHARED_FIELDS = (
    Field("vocab_size", "vocab_size"),
    Field("dim", "d_model"),
    Field("encoder.n_layers", "encoder_layers"),
    Field("encoder.n_heads", "encoder_attention_heads"),
    Field("encoder.ffn_dim", "encoder_ffn_dim"),
    Field("n_layers", "decoder_layers"),
    Field("n_heads", "decoder_attention_heads"),
    Field("ffn_dim", "decoder_ffn_dim"),
    Field("activation", "activation_function", "gelu", ACTIVATIONS),
    Field("dropout", "dropout", 0.1),
    Field("attention_dropout", "attention_dropout", 0.0),
    Field("mlp_dropout", "activation_dropout", 0.0),
)
"""What Marian and Whisper spell alike."""


def block_names(ours: str, theirs: str) -> tuple[Name, ...]:
    """Return the names of a block, whose attention to the source only decoders have."""
    parts = (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("out", "out_proj"))
    return (
        *(n for o, t in parts for n in named(f"{ours}attention.{o}", f"{theirs}self_attn.{t}")),
        *(n for o, t in parts for n in named(f"{ours}cross.{o}", f"{theirs}encoder_attn.{t}")),
        *named(f"{ours}attention_norm", f"{theirs}self_attn_layer_norm"),
        *named(f"{ours}cross_norm", f"{theirs}encoder_attn_layer_norm"),
        *named(f"{ours}mlp.up", f"{theirs}fc1"),
        *named(f"{ours}mlp.down", f"{theirs}fc2"),
        *named(f"{ours}mlp_norm", f"{theirs}final_layer_norm"),
    )


HEADLESS = ("head.kind", "none")
"""Their files hold the sinusoids only in models without a head."""
FORMAT = Format(
    model_type="marian",
    fields=(*SHARED_FIELDS, Field("max_len", "max_position_embeddings")),
    names=(
        Name("stem.tokens.weight", "model.shared.weight"),
        Name("stem.tokens.weight", "model.encoder.embed_tokens.weight"),
        Name("stem.tokens.weight", "model.decoder.embed_tokens.weight"),
        *block_names("encoder.trunk.blocks.{i}.", "model.encoder.layers.{i}."),
        *block_names("trunk.blocks.{i}.", "model.decoder.layers.{i}."),
        *(
            Name(f"{ours}stem.positions.weight", f"model.{theirs}.embed_positions.weight", when=HEADLESS)
            for ours, theirs in (("encoder.", "encoder"), ("", "decoder"))
        ),
        Name("head.weight", "lm_head.weight"),
        Name("head.bias", "final_logits_bias", row=True),
    ),
    heads={"MarianMTModel": "tokens", "MarianModel": "none"},
    is_tied=True,
    read=read,
    write=write,
    prefix="model.",
    buffers=r"embed_positions\.weight$",
)

FAMILY = Family(
    name="original",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="mean",
    fit_head=fit_head,
    format=FORMAT,
)
