"""Qwen 2, 2.5 and 3: Llama's structure; 2 and 2.5 add biases to queries, keys and values, and 3
normalises each head's queries and keys instead.

Source: arXiv:2407.10671, arXiv:2412.15115, arXiv:2505.09388; sizes from their tables.
"""

from __future__ import annotations

from typing import Any

from luban.models.config import ALL_PROJECTIONS, HeadConfig, ModelConfig, TransformerConfig
from luban.models.families import llama
from luban.models.family import Family, Field, Format, Json, head_width, named, refuse
from luban.models.rope_config import read_rope, write_rope

TINY = llama.SIZES["tiny"] | {"rope_theta": 1e6, "norm_eps": 1e-6}
QWEN2_SIZES: dict[str, dict[str, Any]] = {
    "tiny": TINY,
    "0.5b": TINY
    | {"dim": 896, "n_layers": 24, "n_heads": 14, "n_kv_heads": 2, "ffn_dim": 4864, "max_len": 32768},
    "1.5b": TINY
    | {"dim": 1536, "n_layers": 28, "n_heads": 12, "n_kv_heads": 2, "ffn_dim": 8960, "max_len": 32768},
    "7b": TINY
    | {"dim": 3584, "n_layers": 28, "n_heads": 28, "n_kv_heads": 4, "ffn_dim": 18944, "max_len": 32768}
    | {"head": HeadConfig(tied=False)},
}
QWEN3_SIZES: dict[str, dict[str, Any]] = {
    "tiny": TINY,
    "0.6b": TINY
    | {"dim": 1024, "n_layers": 28, "n_heads": 16, "n_kv_heads": 8, "ffn_dim": 3072, "max_len": 40960}
    | {"head_dim": 128},
    "1.7b": TINY
    | {"dim": 2048, "n_layers": 28, "n_heads": 16, "n_kv_heads": 8, "ffn_dim": 6144, "max_len": 40960}
    | {"head_dim": 128},
    "4b": TINY
    | {"dim": 2560, "n_layers": 36, "n_heads": 32, "n_kv_heads": 8, "ffn_dim": 9728, "max_len": 40960}
    | {"head_dim": 128},
}


def qwen2_choices(fields: Json) -> Json:
    """Llama's, with biases where tokens are read from."""
    return {"head_dim": head_width(fields), "attention_bias": ("q", "k", "v")}


def qwen3_choices(fields: Json) -> Json:
    """Llama's, with normalised queries and keys."""
    return {"head_dim": head_width(fields), "qk_norm": True}


def _read(config: Json, fields: Json) -> Json:
    refuse(config, "use_sliding_window", False, "attention to a window of the past")
    return fields | {
        "n_kv_heads": fields["n_kv_heads"] or fields["n_heads"],
        "head_dim": head_width(fields),
        **read_rope(config),
    }


def read_qwen3(config: Json, fields: Json) -> Json:
    """Qwen 3's heads are 128 wide unless config.json says otherwise."""
    bias = ALL_PROJECTIONS if fields.pop("attention_bias") else ()
    return _read(config, fields) | {"attention_bias": bias}


def _write(config: ModelConfig) -> Json:
    assert isinstance(config.trunk, TransformerConfig)
    return {"use_sliding_window": False, **write_rope(config.trunk)}


def write_qwen3(config: ModelConfig) -> Json:
    """Return what depends on several settings."""
    assert isinstance(config.trunk, TransformerConfig)
    return {"attention_bias": bool(config.trunk.attention_bias), **_write(config)}


def _format(model_type: str, **parts: Any) -> Format:
    return Format(
        model_type=model_type,
        heads={
            f"{model_type.title()}ForCausalLM": "tokens",
            f"{model_type.title()}ForSequenceClassification": "classes",
            f"{model_type.title()}ForTokenClassification": "tags",
            f"{model_type.title()}Model": "none",
        },
        is_tied=False,
        prefix="model.",
        buffers=llama.FORMAT.buffers,
        **parts,
    )


ROOT = {"trunk": TransformerConfig, "pool": "last", "fit_head": llama.fit_head}
QWEN2 = Family(
    name="qwen2",
    sizes=QWEN2_SIZES,
    choices=qwen2_choices,
    format=_format("qwen2", fields=llama.FIELDS, names=llama.NAMES, read=_read, write=_write),
    **ROOT,  # type: ignore[arg-type]
)
QWEN3 = Family(
    name="qwen3",
    sizes=QWEN3_SIZES,
    choices=qwen3_choices,
    format=_format(
        "qwen3",
        fields=(
            *(f if f.ours != "head_dim" else Field("head_dim", "head_dim", 128) for f in llama.FIELDS),
            Field("attention_bias", "attention_bias", False),
        ),
        names=(
            *llama.NAMES,
            *named(f"{llama.OURS}attention.q_norm", f"{llama.THEIRS}self_attn.q_norm", "weight"),
            *named(f"{llama.OURS}attention.k_norm", f"{llama.THEIRS}self_attn.k_norm", "weight"),
        ),
        read=read_qwen3,
        write=write_qwen3,
    ),
    **ROOT,  # type: ignore[arg-type]
)
