"""The model: stem, trunk and head, put together from one config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from luban.errors import DataError
from luban.models.cache import Cache
from luban.models.config import ModelConfig, RecurrentConfig
from luban.models.heads import HEADS, TokensHead
from luban.models.positions import Layout, lay_out
from luban.models.recurrent import Recurrent
from luban.models.stems import TokenStem
from luban.models.transformer import Transformer

if TYPE_CHECKING:
    from luban.models.load import LoadReport


class Model(nn.Module):
    """Token ids (B, T) to scores: (B, T, V) for a token head, (B, K) for a class head.

    documents (B, T): which document of its row a token belongs to; 0 marks padding. Tokens see only
    their own document, and positions count from its start. None: every row is one document.
    Weights are uninitialised; `build_model` draws them, `load_model` reads them.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.stem = TokenStem(config)
        self.trunk = (
            Recurrent(config.trunk)
            if isinstance(config.trunk, RecurrentConfig)
            else Transformer(config.trunk)
        )
        self.head = HEADS[config.head.kind](config)
        self.load_report: LoadReport | None = None
        self.tie()

    def forward(self, tokens: Tensor, documents: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Score tokens or classes; `cache` holds what was read before and reads these too."""
        return self.head(self.hidden(tokens, documents, cache), documents)

    def hidden(self, tokens: Tensor, documents: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the trunk's last hidden states, (B, T) -> (B, T, C)."""
        self._check(tokens, documents, cache)
        layout = _layout(tokens, documents, cache)
        if cache is not None and layout.documents is None:
            self._check_length(layout.n_past + tokens.shape[1])
        elif cache is not None and tokens.is_cpu:
            # Left padding makes a row wider than its text: what counts is the place in the document.
            self._check_length(int(layout.positions.max()) + 1)
        hidden = self.trunk(self.stem(tokens, layout.positions), layout, cache)
        if cache is not None:
            cache.advance(tokens.shape[1], layout.documents)
        return hidden

    def tie(self) -> None:
        """Let a tied head use the stem's embedding; needed again after weights were replaced."""
        if isinstance(self.head, TokensHead) and self.config.head.tied:
            self.head.weight = self.stem.tokens.weight  # type: ignore[assignment]

    def _check(self, tokens: Tensor, documents: Tensor | None, cache: Cache | None) -> None:
        if not tokens.numel():
            raise DataError(
                f"tokens of the shape {tuple(tokens.shape)} hold nothing to read", fix="give each row a token"
            )
        if cache is None:
            self._check_length(tokens.shape[1])
        if documents is not None and documents.shape != tokens.shape:
            raise ValueError(f"documents {tuple(documents.shape)} do not match tokens {tuple(tokens.shape)}")
        if cache is not None:
            cache.check_room(tokens.shape[1])
        if tokens.is_cpu and not torch.compiler.is_compiling():
            low, high = (int(v) for v in tokens.aminmax())  # elsewhere it would wait for the device
            if low < 0 or high >= self.config.vocab_size:
                wrong, last = low if low < 0 else high, self.config.vocab_size - 1
                raise DataError(
                    f"token id {wrong} is outside the model's vocabulary, 0 to {last}",
                    fix="use the tokenizer that the model was trained with",
                )

    def _check_length(self, n_tokens: int) -> None:
        if n_tokens > self.config.max_len:
            raise DataError(
                f"a row of {n_tokens} tokens is longer than the model's max_len = {self.config.max_len}",
                fix=f"cut the text to {self.config.max_len} tokens, or use a model with a larger max_len",
            )


def _trunk(config: ModelConfig) -> Recurrent | Transformer:
    if isinstance(config.trunk, RecurrentConfig):
        return Recurrent(config.trunk)
    return Transformer(config.trunk)


def _layout(tokens: Tensor, documents: Tensor | None, cache: Cache | None) -> Layout:
    if cache is None:
        return lay_out(tokens, documents, None, 0)
    return lay_out(tokens, documents, cache.documents, cache.n_tokens)
