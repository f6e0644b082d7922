"""What a model is pre-trained to predict, and the ids that this needs."""

from __future__ import annotations

from typing import Literal, NoReturn

import torch

from luban.errors import CheckpointError, ConfigError
from luban.models.config import ModelConfig
from luban.objectives.fill_in_the_middle import rearranged
from luban.objectives.masked_token import Masking, masked
from luban.objectives.span_corruption import Corruption, draw, last_ids, without_spans
from luban.tasks.corrupted import Corrupt
from luban.tasks.infill import infill_of
from luban.tasks.settings import CorruptionSettings, PretrainSettings
from luban.tokenizer import Tokenizer
from luban.tokenizer.continuations import continues_word

Objective = Literal["next_token", "masked", "span_corruption", "fill_in_the_middle"]
Sight = Literal["past", "all", "source"]

OBJECTIVES: dict[Sight, tuple[Objective, ...]] = {
    "past": ("next_token", "fill_in_the_middle"),
    "all": ("masked",),
    "source": ("span_corruption",),
}
"""What can be learnt by a model that sees the past, all, or a source; the first is its habit."""


def choose_objective(wanted: Literal["auto"] | Objective, config: ModelConfig) -> Objective:
    """Return the objective, by default the habit of such a model; refuse one that it cannot learn."""
    sight = _sight(config)
    able = OBJECTIVES[sight]
    if wanted == "auto":
        return able[0]
    if wanted not in able:
        what = {
            "past": "sees the past alone",
            "all": "sees the tokens it would predict",
            "source": "reads a source and writes a target",
        }[sight]
        raise CheckpointError(
            f"this {config.family} model {what}, and cannot learn by {wanted}",
            fix=f"set objective to {' or '.join(able)}, or choose another model.family",
        )
    return wanted


def n_marks(objective: Objective, tokenizer: Tokenizer, settings: CorruptionSettings) -> int:
    """Return how many ids the objective needs at the end of the vocabulary, behind the tokenizer's."""
    if objective == "span_corruption" and not _sentinels(tokenizer):
        return settings.n_sentinels
    return 0


def corruption(
    objective: Objective, config: ModelConfig, tokenizer: Tokenizer, end: int, settings: PretrainSettings
) -> Corrupt | None:
    """Return what hides a part of each batch; None where nothing is hidden. `end` ends a document."""
    shares = settings.corruption
    missing = tokenizer.vocab_size + n_marks(objective, tokenizer, shares) - config.vocab_size
    if missing > 0:
        raise ConfigError(
            f"{objective} needs {missing} more ids than the model's vocabulary of {config.vocab_size} has",
            fix="lower corruption.n_sentinels, extend the model's vocabulary, or train a new model",
        )
    if objective == "masked":
        masking = _masking(tokenizer, shares)
        return lambda batch, generator: masked(batch, masking, generator)
    if objective == "span_corruption":
        spans = _spans(config, tokenizer, end, shares)
        draw(settings.context, spans, torch.Generator())  # too few sentinels for a long document are said now
        return lambda batch, generator: without_spans(batch, spans, generator)
    if objective == "fill_in_the_middle":
        infill = infill_of(
            tokenizer,
            end,
            share=shares.infill_share,
            spm_share=shares.spm_share,
            line_share=shares.line_share,
        )
        return lambda batch, generator: rearranged(batch, infill, generator)
    return None


def _sight(config: ModelConfig) -> Sight:
    if config.head.kind != "tokens":
        _refuse(config, "predicts no tokens")
    if config.trunk.n_layers == 0:
        _refuse(config, "reads each word alone")
    if config.encoder is not None:
        if config.source != "tokens":
            _refuse(config, f"reads {config.source}")
        return "source"
    return "past" if config.trunk.sight == "causal" else "all"


def _refuse(config: ModelConfig, why: str) -> NoReturn:
    raise CheckpointError(
        f"this {config.family} model {why}, and cannot be pre-trained on texts",
        fix="set model.family to llama, bert or t5, or name a folder of a language model",
    )


def _masking(tokenizer: Tokenizer, settings: CorruptionSettings) -> Masking:
    if tokenizer.mask_id is None:
        raise CheckpointError(
            "the tokenizer has no mask token", fix="use a tokenizer of an encoder, or one that luban trained"
        )
    return Masking(
        mask_id=tokenizer.mask_id,
        vocab_size=tokenizer.vocab_size,
        special_ids=tuple(sorted(tokenizer.special_ids)),
        share=settings.masked_share,
        continues_word=torch.tensor(continues_word(tokenizer)) if settings.whole_words else None,
    )


def _spans(config: ModelConfig, tokenizer: Tokenizer, end: int, settings: CorruptionSettings) -> Corruption:
    if config.start_id is None:
        raise CheckpointError(
            f"this {config.family} model names no token to begin a target with",
            fix="name one as decoder_start_token_id in its config.json",
        )
    return Corruption(
        sentinels=_sentinels(tokenizer) or last_ids(config.vocab_size, settings.n_sentinels),
        start_id=config.start_id,
        end_id=end,
        pad_id=tokenizer.pad_id or 0,
        share=settings.span_share,
        mean_length=settings.span_length,
    )


def _sentinels(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids of <extra_id_0>, <extra_id_1>, ..., as far as the tokenizer has them."""
    found: list[int] = []
    while (id := tokenizer.token_id(f"<extra_id_{len(found)}>")) is not None:
        found.append(id)
    return tuple(found)
