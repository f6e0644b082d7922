"""Whisper: an encoder of sound and a decoder of text, for speech recognition and translation.

Source: arXiv:2212.04356; sizes, table 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, TransformerConfig
from luban.models.families.original import SHARED_FIELDS, block_names, encoder_fields
from luban.models.family import Family, Field, Format, Json, Name, head_width, named, refuse

LENGTHS = {"max_len": 448, "source_max_len": 1500}
SIZES: dict[str, dict[str, Any]] = {
    "test": {"dim": 64, "n_layers": 2, "n_heads": 2, "ffn_dim": 256, **LENGTHS},
    "tiny": {"dim": 384, "n_layers": 4, "n_heads": 6, "ffn_dim": 1536, **LENGTHS},
    "base": {"dim": 512, "n_layers": 6, "n_heads": 8, "ffn_dim": 2048, **LENGTHS},
    "small": {"dim": 768, "n_layers": 12, "n_heads": 12, "ffn_dim": 3072, **LENGTHS},
    "medium": {"dim": 1024, "n_layers": 24, "n_heads": 16, "ffn_dim": 4096, **LENGTHS},
    "large-v3": {"dim": 1280, "n_layers": 32, "n_heads": 20, "ffn_dim": 5120, "n_mels": 128, **LENGTHS},
}


def choices(fields: Json) -> Json:
    """Return what every Whisper is: keys have no bias, the encoder's positions are sinusoids."""
    return {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "reads_source": True,
        "source": "audio",
        "position": "learned",
        "norm": "layer",
        "activation": "gelu",
        "mlp": "plain",
        "attention_bias": ("q", "v", "out"),
        "mlp_bias": True,
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """Token scores are the embedding's products."""
    return replace(head, layer="none", bias=head.kind not in ("tokens", "none", "vector"))


def read(config: Json, fields: Json) -> Json:
    """Refuse variants with other arithmetic."""
    refuse(config, "scale_embedding", False, "scaled embeddings")
    return fields | {"n_kv_heads": fields["n_heads"], "encoder": encoder_fields(fields)}


FORMAT = Format(
    model_type="whisper",
    fields=(
        *SHARED_FIELDS,
        Field("max_len", "max_target_positions"),
        Field("source_max_len", "max_source_positions"),
        Field("n_mels", "num_mel_bins", 80),
    ),
    names=(
        Name("stem.tokens.weight", "model.decoder.embed_tokens.weight"),
        Name("stem.positions.weight", "model.decoder.embed_positions.weight"),
        *named("encoder.stem.conv1", "model.encoder.conv1"),
        *named("encoder.stem.conv2", "model.encoder.conv2"),
        Name("encoder.stem.positions.weight", "model.encoder.embed_positions.weight"),
        *block_names("encoder.trunk.blocks.{i}.", "model.encoder.layers.{i}."),
        *block_names("trunk.blocks.{i}.", "model.decoder.layers.{i}."),
        *named("encoder.trunk.norm", "model.encoder.layer_norm"),
        *named("trunk.norm", "model.decoder.layer_norm"),
        Name("head.weight", "proj_out.weight"),
    ),
    heads={"WhisperForConditionalGeneration": "tokens", "WhisperModel": "none"},
    is_tied=True,
    read=read,
    write=lambda config: {"is_encoder_decoder": True, "scale_embedding": False},
    prefix="model.",
)

FAMILY = Family(
    name="whisper",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="mean",
    fit_head=fit_head,
    format=FORMAT,
)
