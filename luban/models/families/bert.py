"""BERT: an encoder with learned positions and a norm after each residual sum.

Source: arXiv:1810.04805; the small sizes, arXiv:1908.08962; MiniLM, arXiv:2002.10957.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import ALL_PROJECTIONS, HeadConfig, ModelConfig, TransformerConfig
from luban.models.family import ACTIVATIONS, Family, Field, Format, Json, Name, head_width, named, refuse

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"dim": 256, "n_layers": 4, "n_heads": 4, "ffn_dim": 1024, "max_len": 256, "dropout": 0.1},
    "mini": {"dim": 256, "n_layers": 4, "n_heads": 4, "ffn_dim": 1024, "max_len": 512, "dropout": 0.1},
    "minilm-l6": {"dim": 384, "n_layers": 6, "n_heads": 12, "ffn_dim": 1536, "max_len": 512, "dropout": 0.1},
    "base": {"dim": 768, "n_layers": 12, "n_heads": 12, "ffn_dim": 3072, "max_len": 512, "dropout": 0.1},
    "large": {"dim": 1024, "n_layers": 24, "n_heads": 16, "ffn_dim": 4096, "max_len": 512, "dropout": 0.1},
}


def choices(fields: Json) -> Json:
    """Return what every BERT is."""
    return {
        "head_dim": head_width(fields),
        "n_kv_heads": fields["n_heads"],
        "sight": "full",
        "position": "learned",
        "norm": "layer",
        "norm_place": "after",
        "norm_eps": 1e-12,
        "activation": "gelu",
        "mlp": "plain",
        "attention_bias": ALL_PROJECTIONS,
        "mlp_bias": True,
        "n_segments": 2,
        "stem_norm": True,
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """BERT transforms before the vocabulary, and passes its first token through a tanh pooler."""
    if head.kind == "tokens":
        return replace(head, layer="transform", bias=True)
    has_pooler = head.kind == "none" or (head.kind == "classes" and head.pool == "first")
    return replace(head, layer="pooler" if has_pooler else "none", bias=head.kind != "vector")


def read(config: Json, fields: Json) -> Json:
    """Refuse the kinds of BERT that are others."""
    refuse(config, "position_embedding_type", "absolute", "another kind of position")
    refuse(config, "is_decoder", False, "a BERT decoder")
    return fields


FIELDS = (
    Field("vocab_size", "vocab_size"),
    Field("max_len", "max_position_embeddings"),
    Field("n_segments", "type_vocab_size", 2),
    Field("dim", "hidden_size"),
    Field("n_layers", "num_hidden_layers"),
    Field("n_heads", "num_attention_heads"),
    Field("ffn_dim", "intermediate_size"),
    Field("norm_eps", "layer_norm_eps", 1e-12),
    Field("activation", "hidden_act", "gelu", ACTIVATIONS),
    Field("dropout", "hidden_dropout_prob", 0.1),
    Field("attention_dropout", "attention_probs_dropout_prob", 0.1),
)


def trunk_names(prefix: str) -> tuple[Name, ...]:
    """Return the names of stem and blocks, which RoBERTa has too."""
    ours, theirs, stem = "trunk.blocks.{i}.", f"{prefix}.encoder.layer.{{i}}.", f"{prefix}.embeddings."
    return (
        Name("stem.tokens.weight", f"{stem}word_embeddings.weight"),
        Name("stem.positions.weight", f"{stem}position_embeddings.weight"),
        Name("stem.segments.weight", f"{stem}token_type_embeddings.weight"),
        *named("stem.norm", f"{stem}LayerNorm"),
        *named(f"{ours}attention.q", f"{theirs}attention.self.query"),
        *named(f"{ours}attention.k", f"{theirs}attention.self.key"),
        *named(f"{ours}attention.v", f"{theirs}attention.self.value"),
        *named(f"{ours}attention.out", f"{theirs}attention.output.dense"),
        *named(f"{ours}attention_norm", f"{theirs}attention.output.LayerNorm"),
        *named(f"{ours}mlp.up", f"{theirs}intermediate.dense"),
        *named(f"{ours}mlp.down", f"{theirs}output.dense"),
        *named(f"{ours}mlp_norm", f"{theirs}output.LayerNorm"),
        *named("head.tags", "classifier", when=("head.kind", "tags")),
        *named("head.spans", "qa_outputs", when=("head.kind", "spans")),
    )


FORMAT = Format(
    model_type="bert",
    fields=FIELDS,
    names=(
        *trunk_names("bert"),
        *named("head.transform.dense", "cls.predictions.transform.dense"),
        *named("head.transform.norm", "cls.predictions.transform.LayerNorm"),
        *named("head.pooler", "bert.pooler.dense"),
        *named("head.classes", "classifier", when=("head.kind", "classes")),
        *named("head.sentences", "cls.seq_relationship"),
        Name("head.weight", "cls.predictions.decoder.weight"),
        Name("head.bias", "cls.predictions.bias"),
        Name("head.bias", "cls.predictions.decoder.bias", when=("head.tied", False)),
        Name("head.bias", "cls.predictions.decoder.bias"),
    ),
    heads={
        "BertForMaskedLM": "tokens",
        "BertForPreTraining": "tokens",
        "BertForSequenceClassification": "classes",
        "BertForTokenClassification": "tags",
        "BertForQuestionAnswering": "spans",
        "BertModel": "none",
    },
    is_tied=True,
    read=read,
    write=lambda config: {"position_embedding_type": "absolute"},
    prefix="bert.",
    buffers=r"embeddings\.position_ids$",
    renames=((".gamma", ".weight"), (".beta", ".bias")),
)

FAMILY = Family(
    name="bert",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="first",
    fit_head=fit_head,
    format=FORMAT,
)
