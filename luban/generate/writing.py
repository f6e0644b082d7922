"""Prompts in, text out: what `decode` writes, as text that grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from luban.errors import CheckpointError, ConfigError, DataError
from luban.generate.beam import Beam, BeamSettings, beam_search
from luban.generate.decode import Decoding, Finish, Token
from luban.generate.reader import Prompts, evaluating
from luban.generate.rules import Rule
from luban.generate.settings import SamplingSettings
from luban.generate.speculative import Draft, Speculation
from luban.generate.text import TextPieces
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
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One of a beam search's answers to a prompt."""

    text: str
    score: float
    """Mean log-probability of a token at length_penalty 1; see `beam`."""
    n_tokens: int
    finish: Finish


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    settings: SamplingSettings | None = None,
    beams: BeamSettings | None = None,
    draft: Draft | None = None,
) -> list[str]:
    """Return what the model writes after each prompt; a batch gives the texts that one by one would.

    For a model with an encoder the prompt is the source. A text ends at the tokenizer's end token,
    before a stop text, after `max_new_tokens`, or where the model's context is full. With `beams` it
    is the best that a beam search finds; with a `draft` several tokens are written at once.
    """
    settings = settings or SamplingSettings()
    if beams is not None:
        if draft is not None:
            raise ConfigError("a beam search takes no draft", fix="give either beams or a draft")
        return [found[0].text for found in search(model, tokenizer, prompts, settings, beams)]
    texts = [""] * len(prompts)
    for piece in write(model, tokenizer, prompts, settings, draft=draft):
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
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    rules: Sequence[Rule] = (),
    draft: Draft | None = None,
) -> Iterator[Written]:
    """Yield the texts of all rows as they grow, one piece a row and token; the last has its finish.

    A draft guesses tokens ahead: see `speculative`. Its rows are written one after another.
    """
    yield from write_after(model, tokenizer, read_prompts(model, tokenizer, prompts), settings, rules, draft)


def write_after(
    model: Model,
    tokenizer: Tokenizer,
    asked: Prompts,
    settings: SamplingSettings,
    rules: Sequence[Rule] = (),
    draft: Draft | None = None,
) -> Iterator[Written]:
    """Yield the texts of rows that are given as ids, as `write` does."""
    ends = end_ids(model, tokenizer)
    with evaluating(model):
        if draft is None:
            decoding = Decoding(model, asked, settings, rules=rules, end_ids=ends)
            yield from _texts(decoding, _pieces(model, tokenizer, asked, settings))
            return
        for row in range(len(asked)):
            prompt = asked.row(row)
            one = Speculation(model, prompt, settings, draft, rules=rules, end_ids=ends)
            texts = _pieces(model, tokenizer, prompt, settings)
            yield from (replace(piece, row=row) for piece in _texts(one, texts))


def search(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    beams: BeamSettings,
) -> list[list[Answer]]:
    """Return the `n_best` answers that a beam search finds to each prompt, best first."""
    asked = read_prompts(model, tokenizer, prompts)
    found = beam_search(model, asked, settings, beams, end_ids=end_ids(model, tokenizer))
    begins = [asked.row(i) for i in range(len(asked))]
    return [
        [_answer(beam, *_pieces(model, tokenizer, begin, settings)) for beam in row]
        for begin, row in zip(begins, found, strict=True)
    ]


def read_prompts(model: Model, tokenizer: Tokenizer, prompts: Sequence[str]) -> Prompts:
    """Return the ids of prompts: what the rows begin with, or what the encoder reads.

    An empty prompt becomes a start token.
    """
    if model.config.encoder is None:
        return Prompts([_not_empty(tokenizer, tokenizer.encode(prompt)) for prompt in prompts])
    if model.config.source != "tokens":
        raise CheckpointError(
            f"this {model.config.family} model reads {model.config.source}, not text",
            fix="give it to luban.generate.decode as Prompts(ids, source=...)",
        )
    sources = [_not_empty(tokenizer, ids) for ids in tokenizer.encode_batch(prompts, special=True)]
    tokens, documents = _padded(sources)
    return Prompts([[start_id(model)] for _ in prompts], tokens, documents)


def start_id(model: Model) -> int:
    """Return what the target of an encoder-decoder begins with."""
    if model.config.start_id is None:
        raise CheckpointError(
            f"this {model.config.family} model names no token to begin a text with",
            fix="name one as decoder_start_token_id in its config.json",
        )
    return model.config.start_id


def end_ids(model: Model, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that end a text."""
    own = model.config.eos_id if tokenizer.eos_id is None else tokenizer.eos_id
    return [] if own is None else [own]


def _not_empty(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    found = ids or [i for i in (tokenizer.bos_id, tokenizer.eos_id) if i is not None][:1]
    if not found:
        raise DataError(
            "the prompt is empty, and the tokenizer has no token to start from", fix="write a prompt"
        )
    return found


def _padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor | None]:
    """Return rows as one tensor (B, S), and where it is padded which part is text, else None."""
    longest = max(map(len, rows), default=1)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    documents = torch.zeros_like(tokens)
    for i, ids in enumerate(rows):
        tokens[i, : len(ids)] = torch.tensor(ids)
        documents[i, : len(ids)] = 1
    return tokens, documents if bool((documents == 0).any()) else None


def _answer(beam: Beam, text: TextPieces) -> Answer:
    whole = "".join(text.add(id) for id in beam.ids) + text.finish()
    return Answer(whole, beam.score, len(beam.ids) + (beam.finish == "stop"), beam.finish)


def _pieces(
    model: Model, tokenizer: Tokenizer, prompts: Prompts, settings: SamplingSettings
) -> list[TextPieces]:
    """Return a text for each row, to which a prompt of the same text belongs."""
    begins = prompts.ids if model.encoder is None else [()] * len(prompts)
    return [TextPieces(tokenizer, settings.stop, before) for before in begins]


def _texts(decoding: Decoding | Speculation, texts: Sequence[TextPieces]) -> Iterator[Written]:
    while decoding.rows.going:
        for token in decoding.step():
            if texts[token.row].is_done:  # a stop text came before the end of what the step wrote
                break
            piece = _piece(token, texts[token.row])
            if piece.finish and not token.finish:
                decoding.rows.end(token.row)
            yield piece


def _piece(token: Token, text: TextPieces) -> Written:
    n_tokens = text.n_tokens + 1
    if token.id is None:
        return Written(token.row, text.finish(), n_tokens, "stop")
    piece = text.add(token.id)
    if text.is_done:
        return Written(token.row, piece, n_tokens, "stop")
    if token.finish:
        return Written(token.row, piece + text.finish(), n_tokens, token.finish)
    return Written(token.row, piece, n_tokens)
