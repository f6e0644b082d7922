"""T5: an encoder and a decoder that know positions by distance; 1.0, and 1.1 (Flan) with gated MLPs.

Source: arXiv:1910.10683; 1.1, arXiv:2002.05202; sizes, appendix of the first and section 3.7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import ACTIVATIONS, Family, Field, Format, Json, Name, choose, flip, named

GATED = {"mlp": "gated", "activation": "gelu_tanh", "head": HeadConfig(tied=False)}
SIZES: dict[str, dict[str, Any]] = {
    name: {"dim": dim, "n_layers": n_layers, "n_heads": n_heads, "ffn_dim": ffn_dim, "max_len": 512, **more}
    for name, dim, n_layers, n_heads, ffn_dim, more in (
        ("tiny", 256, 3, 4, 1024, {}),
        ("small", 512, 6, 8, 2048, {"dropout": 0.1}),
        ("base", 768, 12, 12, 3072, {"dropout": 0.1}),
        ("large", 1024, 24, 16, 4096, {"dropout": 0.1}),
        ("1.1-tiny", 256, 3, 4, 704, GATED),
        ("1.1-small", 512, 8, 6, 1024, {"head_dim": 64, **GATED}),
        ("1.1-base", 768, 12, 12, 2048, GATED),
        ("1.1-large", 1024, 24, 16, 2816, GATED),
    )
}
MAX_LEN = 512
"""T5 sets no limit; its files name none. What it was trained with."""


def choices(fields: Json) -> Json:
    """Return what every T5 is; a head's width need not divide the stream's."""
    return {
        "head_dim": max(1, fields["dim"] // max(1, fields["n_heads"])),
        "n_kv_heads": fields["n_heads"],
        "reads_source": True,
        "position": "relative",
        "attention_scale": 1.0,
        "norm": "rms",
        "norm_eps": 1e-6,
        "activation": "relu",
        "mlp": "plain",
        "mlp_dropout": fields.get("dropout", 0.0),
        "init": "t5",
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """1.0 shares the embedding with the head and makes up for its scale; 1.1 does neither."""
    scale = config.dim**-0.5 if head.kind == "tokens" and head.tied else 1.0
    return replace(head, layer="none", bias=head.kind not in ("tokens", "none", "vector"), scale=scale)


def read(config: Json, fields: Json) -> Json:
    """Take apart the name of the MLP, and give the decoder its own depth."""
    kind = config.get("feed_forward_proj", "relu")
    gate, _, word = kind.rpartition("-")
    word = "gelu_new" if kind == "gated-gelu" else word
    dropouts = ("dropout", "attention_dropout", "mlp_dropout")
    return fields | {
        "n_layers": config.get("num_decoder_layers") or fields["encoder"]["n_layers"],
        "mlp": "gated" if gate == "gated" else "plain",
        "activation": choose(config, "feed_forward_proj", ACTIVATIONS, word),
        **dict.fromkeys(dropouts, config.get("dropout_rate", 0.1)),
        "max_len": config.get("n_positions") or MAX_LEN,
    }


def read_head(config: Json, head: HeadConfig) -> HeadConfig:
    """Whether scores are scaled stands apart from whether the matrix is shared in newer files."""
    is_scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
    return replace(head, scale=config["d_model"] ** -0.5 if is_scaled and head.kind == "tokens" else 1.0)


def write(config: ModelConfig) -> Json:
    """Put the name of the MLP together again."""
    trunk = config.trunk
    assert isinstance(trunk, TransformerConfig)
    word = flip(ACTIVATIONS, trunk.activation)
    gated = "gated-gelu" if trunk.activation == "gelu_tanh" else f"gated-{word}"
    return {
        "num_decoder_layers": trunk.n_layers,
        "feed_forward_proj": gated if trunk.mlp == "gated" else word,
        "is_encoder_decoder": True,
        "dropout_rate": trunk.dropout,
        "scale_decoder_outputs": config.head.scale != 1.0,
        "n_positions": config.max_len,
    }


def _attention(ours: str, theirs: str) -> tuple[Name, ...]:
    parts = (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o"))
    return tuple(Name(f"{ours}.{o}.weight", f"{theirs}.{t}.weight") for o, t in parts)


def _block(ours: str, theirs: str, mlp: int) -> tuple[Name, ...]:
    dense = f"{theirs}layer.{mlp}.DenseReluDense."
    return (
        *_attention(f"{ours}attention", f"{theirs}layer.0.SelfAttention"),
        Name(f"{ours}attention_norm.weight", f"{theirs}layer.0.layer_norm.weight"),
        Name(f"{ours}mlp.gate.weight", f"{dense}wi_0.weight"),
        Name(f"{ours}mlp.up.weight", f"{dense}wi_1.weight", when=("trunk.mlp", "gated")),
        Name(f"{ours}mlp.up.weight", f"{dense}wi.weight", when=("trunk.mlp", "plain")),
        Name(f"{ours}mlp.down.weight", f"{dense}wo.weight"),
        Name(f"{ours}mlp_norm.weight", f"{theirs}layer.{mlp}.layer_norm.weight"),
    )


DISTANCES = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
FORMAT = Format(
    model_type="t5",
    fields=(
        Field("vocab_size", "vocab_size"),
        Field("dim", "d_model"),
        Field("head_dim", "d_kv", 64),
        Field("ffn_dim", "d_ff"),
        Field("encoder.n_layers", "num_layers"),
        Field("n_heads", "num_heads"),
        Field("n_buckets", "relative_attention_num_buckets", 32),
        Field("max_distance", "relative_attention_max_distance", 128),
        Field("norm_eps", "layer_norm_epsilon", 1e-6),
    ),
    names=(
        Name("stem.tokens.weight", "shared.weight"),
        Name("stem.tokens.weight", "encoder.embed_tokens.weight"),
        Name("stem.tokens.weight", "decoder.embed_tokens.weight"),
        *_block("encoder.trunk.blocks.{i}.", "encoder.block.{i}.", 1),
        *_block("trunk.blocks.{i}.", "decoder.block.{i}.", 2),
        *_attention("trunk.blocks.{i}.cross", "decoder.block.{i}.layer.1.EncDecAttention"),
        *named("trunk.blocks.{i}.cross_norm", "decoder.block.{i}.layer.1.layer_norm", "weight"),
        Name("encoder.trunk.distances.weight", f"encoder.{DISTANCES}"),
        Name("trunk.distances.weight", f"decoder.{DISTANCES}"),
        *named("encoder.trunk.norm", "encoder.final_layer_norm", "weight"),
        *named("trunk.norm", "decoder.final_layer_norm", "weight"),
        Name("head.weight", "lm_head.weight"),
    ),
    heads={"T5ForConditionalGeneration": "tokens", "T5Model": "none"},
    is_tied=True,
    read=read,
    read_head=read_head,
    write=write,
    buffers=r"layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",
)

FAMILY = Family(
    name="t5", trunk=TransformerConfig, sizes=SIZES, choices=choices, pool="mean", fit_head=fit_head,
    format=FORMAT,
)  # fmt: skip
