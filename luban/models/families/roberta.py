"""RoBERTa: BERT without segments, trained longer on masks drawn anew each time.

Positions start after two unused rows of their table, and classes have a layer of their own in place
of BERT's pooler. Source: arXiv:1907.11692; sizes, section 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.models.config import HeadConfig, ModelConfig, TransformerConfig
from luban.models.families import bert
from luban.models.family import Family, Format, Json, Name, named

SIZES: dict[str, dict[str, Any]] = {
    "tiny": bert.SIZES["tiny"],
    "base": bert.SIZES["base"],
    "large": bert.SIZES["large"],
}
PAD_ID = 1


def choices(fields: Json) -> Json:
    """BERT's, with one kind of segment, and places counted from after the padding's id."""
    pad_id = fields.get("pad_id", PAD_ID)
    offset = (PAD_ID if pad_id is None else pad_id) + 1
    return bert.choices(fields) | {
        "n_segments": 1,
        "norm_eps": 1e-5,
        "pad_id": pad_id,
        "position_offset": offset,
    }


def fit_head(head: HeadConfig, config: ModelConfig) -> HeadConfig:
    """Like BERT's; the transform before the vocabulary is always a GELU."""
    head = bert.fit_head(head, config)
    return replace(head, activation="gelu") if head.kind == "tokens" else head


def read(config: Json, fields: Json) -> Json:
    """Their longest row counts the unused rows of the table."""
    fields = bert.read(config, fields)
    offset = (PAD_ID if fields["pad_id"] is None else fields["pad_id"]) + 1
    return fields | {"position_offset": offset, "max_len": fields["max_len"] - offset}


def write(config: ModelConfig) -> Json:
    """Count the unused rows again; the padding's id says how many they are."""
    return {
        "max_position_embeddings": config.max_len + config.position_offset,
        "pad_token_id": config.position_offset - 1,
    }


FORMAT = Format(
    model_type="roberta",
    fields=bert.FIELDS,
    names=(
        *bert.trunk_names("roberta"),
        *named("head.transform.dense", "lm_head.dense"),
        *named("head.transform.norm", "lm_head.layer_norm"),
        *named("head.pooler", "roberta.pooler.dense", when=("head.kind", "none")),
        *named("head.pooler", "classifier.dense", when=("head.kind", "classes")),
        *named("head.classes", "classifier.out_proj", when=("head.kind", "classes")),
        Name("head.weight", "lm_head.decoder.weight"),
        Name("head.bias", "lm_head.bias"),
        Name("head.bias", "lm_head.decoder.bias", when=("head.tied", False)),
        Name("head.bias", "lm_head.decoder.bias"),
    ),
    heads={
        "RobertaForMaskedLM": "tokens",
        "RobertaForSequenceClassification": "classes",
        "RobertaForTokenClassification": "tags",
        "RobertaForQuestionAnswering": "spans",
        "RobertaModel": "none",
    },
    is_tied=True,
    read=read,
    write=write,
    prefix="roberta.",
    buffers=r"embeddings\.(position|token_type)_ids$",
    renames=bert.FORMAT.renames,
)

FAMILY = Family(
    name="roberta",
    trunk=TransformerConfig,
    sizes=SIZES,
    choices=choices,
    pool="first",
    fit_head=fit_head,
    format=FORMAT,
)
