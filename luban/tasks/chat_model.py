"""The model and the tokenizer to tune for chat: format, rows of new tokens, the end of a turn."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.errors import ConfigError, DataError
from luban.log import Log
from luban.models.changes import SCORES, replace_rows
from luban.models.model import Model
from luban.tasks.chat_rows import Row
from luban.tasks.chat_settings import ChatSettings
from luban.tasks.start import open_model
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.chat_formats import FORMATS, with_format
from luban.tune.surgery import extend_vocabulary

SPREAD = 0.1
"""How far new rows stand from the mean of all, in deviations: apart, and still likely nowhere."""


def open_chat_model(settings: ChatSettings, folder: Path, log: Log) -> tuple[Model, Tokenizer, int]:
    """Return model, tokenizer, and how many rows were added for tokens of the chat format."""
    if settings.model is not None:
        raise ConfigError(
            "train.model builds a model, and --task chat tunes one", fix="leave train.model out"
        )
    own = load_tokenizer(folder)
    model = open_model(folder, settings.surgery, log=log, seed=settings.seed)
    check_answers(model, folder)
    own.check_fits(model.config.vocab_size, folder)
    if not settings.template:
        return model, own, 0
    tokenizer = with_format(own, settings.template)
    n_new = tokenizer.vocab_size - own.vocab_size
    if n_new:
        _add_rows(model, own, tokenizer, settings)
        added = ", ".join(tokenizer.token(own.vocab_size + i) for i in range(n_new))
        log.say(f"the format {settings.template} adds {n_new} tokens: {added}")
    return model, tokenizer, n_new


def check_answers(model: Model, folder: Path) -> None:
    """Refuse a model that does not go on with a text."""
    config = model.config
    is_decoder = getattr(config.trunk, "sight", "") != "full" and config.encoder is None
    if config.head.kind != "tokens" or not is_decoder:
        raise ConfigError(
            f"{folder} is a {config.family} model, which does not go on with a text",
            fix="give a decoder, such as a llama, qwen or gpt2 model",
        )


def end_turns(model: Model, tokenizer: Tokenizer, row: Row, log: Log) -> None:
    """Let the token that ends an answer end what the model writes; a template without one is refused."""
    ids, supervised = row
    end = next(id for id, flag in zip(reversed(ids), reversed(supervised), strict=True) if flag)
    if end not in tokenizer.special_ids:
        raise DataError(
            f"the chat template ends an answer with {tokenizer.piece(end)!r}, no special token, so the model "
            "would not learn to stop",
            fix="let the template write eos_token after an answer, or set train.template",
        )
    if end != model.config.eos_id:
        log.say(f"{tokenizer.token(end)} now ends what the model writes, as its chat template does")
        model.config = dataclasses.replace(model.config, eos_id=end)


def wake_rows(model: Model, n_new: int) -> None:
    """Let the last `n_new` rows of the tables of tokens learn, even where all other weights rest."""
    for table in _tables(model):
        if table.requires_grad:
            continue
        table.requires_grad_(True)
        learns = torch.zeros(len(table), *[1] * (table.dim() - 1))
        learns[-n_new:] = 1
        hook: Any = partial(_masked, learns)
        table.register_hook(hook)  # type: ignore[no-untyped-call]


def _masked(learns: Tensor, gradient: Tensor) -> Tensor:
    return gradient * learns.to(gradient)


def _tables(model: Model) -> list[Tensor]:
    tables = [model.stem.tokens.weight, *(getattr(model.head, n.removeprefix("head.")) for n in SCORES)]
    return list({id(t): t for t in tables if t is not None}.values())


def _add_rows(model: Model, own: Tokenizer, tokenizer: Tokenizer, settings: ChatSettings) -> None:
    """Give new tokens rows near the mean of all; the one that ends an answer begins as the end of a text."""
    extend_vocabulary(model, own, tokenizer)
    n_old, end = own.vocab_size, FORMATS[settings.template].end
    chance = torch.Generator().manual_seed(settings.seed)

    def apart(name: str, table: Tensor) -> Tensor:
        table = table.detach().clone()
        if end and own.token_id(end) is None and own.eos_id is not None:
            table[tokenizer.token_id(end)] = table[own.eos_id]
        noise = torch.randn(table[n_old:].shape, generator=chance).to(table)
        table[n_old:] += SPREAD * table[:n_old].std(0) * noise
        return table

    replace_rows(model, apart, tokenizer.vocab_size)
