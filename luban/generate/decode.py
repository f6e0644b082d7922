"""The decoding loop: prompts in, text out, one token a row at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from luban.errors import CheckpointError, DataError
from luban.generate.sampling import choose, generators
from luban.generate.settings import SamplingSettings
from luban.generate.text import TextPieces
from luban.models.cache import Cache
from luban.models.model import Model
from luban.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Written:
    """Some more text of one row, the tokens that row has so far, and why it ended, if it has.

    "stop": the end token or a stop text; "length": `max_new_tokens`, or the context is full.
    """

    row: int
    text: str
    n_tokens: int
    finish: Literal["stop", "length"] | None = None


def generate(
    model: Model, tokenizer: Tokenizer, prompts: Sequence[str], *, settings: SamplingSettings | None = None
) -> list[str]:
    """Return what the model writes after each prompt; a batch gives the texts that one by one would.

    A text ends at the tokenizer's end token, before a stop text, after `max_new_tokens`, or where
    the model's context is full.
    """
    texts = [""] * len(prompts)
    for piece in write(model, tokenizer, prompts, settings or SamplingSettings()):
        texts[piece.row] += piece.text
    return texts


def stream(
    model: Model, tokenizer: Tokenizer, prompt: str, settings: SamplingSettings | None = None
) -> Iterator[str]:
    """Yield the text in pieces as it is written; a character is held back until it is whole."""
    for piece in write(model, tokenizer, [prompt], settings or SamplingSettings()):
        if piece.text:
            yield piece.text


def write(
    model: Model, tokenizer: Tokenizer, prompts: Sequence[str], settings: SamplingSettings
) -> Iterator[Written]:
    """Yield the texts of all rows as they grow, one piece a row and token; the last has its finish."""
    _check_writer(model)
    prompt_ids = [encode_prompt(model, tokenizer, prompt) for prompt in prompts]
    texts = [TextPieces(tokenizer, settings.stop) for _ in prompts]
    rooms = [min(settings.max_new_tokens, model.config.max_len - len(ids)) for ids in prompt_ids]
    chance = generators(len(prompts), settings.seed)
    rows = list(range(len(prompts)))  # those still being written
    was_training = model.training
    model.eval()
    try:
        reader = _Reader(model, prompt_ids, max(rooms)) if rows else None
        while reader and rows:
            tokens = choose(reader.logits, settings, [chance[row] for row in rows])
            going = []
            for i, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                piece = _add(row, token, texts[row], rooms[row], tokenizer.eos_id)
                yield piece
                if piece.finish is None:
                    going.append(i)
            rows = [rows[i] for i in going]
            if rows:
                reader.read(tokens[going], going)
    finally:
        model.train(was_training)


def encode_prompt(model: Model, tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the ids of a prompt that leaves room for an answer; an empty one becomes a start token."""
    ids = tokenizer.encode(prompt)
    if not ids:
        ids = [i for i in (tokenizer.bos_id, tokenizer.eos_id) if i is not None][:1]
    if not ids:
        raise DataError(
            "the prompt is empty, and the tokenizer has no token to start from", fix="write a prompt"
        )
    context = model.config.max_len
    if len(ids) >= context:
        raise DataError(
            f"the prompt is {len(ids)} tokens, and the model's context is {context}, answer included",
            fix=f"shorten it to at most {context - 1} tokens",
        )
    return ids


def _check_writer(model: Model) -> None:
    if model.config.head.kind != "tokens" or model.config.trunk.sight != "causal":
        what = "classifies" if model.config.head.kind == "classes" else "encodes"
        raise CheckpointError(
            f"this {model.config.family} model {what} texts and cannot write them",
            fix="name a language model, such as gpt2, llama or recurrent, trained with `luban train --task pretrain`",
        )


def _add(row: int, token: int, text: TextPieces, room: int, eos_id: int | None) -> Written:
    n_tokens = len(text.ids) + 1
    if token == eos_id:
        return Written(row, text.finish(), n_tokens, "stop")
    piece = text.add(token)
    if text.is_done:
        return Written(row, piece, n_tokens, "stop")
    if n_tokens == room:
        return Written(row, piece + text.finish(), n_tokens, "length")
    return Written(row, piece, n_tokens)


class _Reader:
    """Keeps the cache of the rows still being written, and the scores of their next tokens (B, V)."""

    def __init__(self, model: Model, prompts: list[list[int]], n_new: int):
        self.model = model
        parameter = next(model.parameters())
        longest = max(map(len, prompts))
        self.cache = Cache(
            model.config, len(prompts), longest + n_new, device=parameter.device, dtype=parameter.dtype
        )
        # Padding stands on the left, so that every prompt ends in the last column.
        tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
        documents = torch.zeros_like(tokens)
        for row, ids in enumerate(prompts):
            tokens[row, longest - len(ids) :] = torch.tensor(ids)
            documents[row, longest - len(ids) :] = 1
        is_padded = bool((documents == 0).any())
        self.logits = self._last(tokens, documents if is_padded else None)

    def read(self, tokens: Tensor, going: list[int]) -> None:
        """Read one more token (B,) in each row of `going`, and let the others go."""
        if len(going) < self.cache.batch_size:
            self.cache.keep(going)
        self.logits = self._last(tokens.unsqueeze(1), None)

    @torch.no_grad()
    def _last(self, tokens: Tensor, documents: Tensor | None) -> Tensor:
        device = next(self.model.parameters()).device
        documents = None if documents is None else documents.to(device)
        hidden = self.model.hidden(tokens.to(device), documents, self.cache)
        return self.model.head(hidden[:, -1])  # the scores of the prompt's other tokens are not needed
