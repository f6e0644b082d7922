"""The model: stem, trunk and head, put together from one config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from luban.errors import DataError
from luban.models.attention import Memory
from luban.models.cache import Cache
from luban.models.config import ModelConfig, NoTrunkConfig, RecurrentConfig, TransformerConfig, Trunk
from luban.models.heads import HEADS, TokensHead
from luban.models.positions import Layout, lay_out
from luban.models.recurrent import Recurrent
from luban.models.stems import AudioStem, TokenStem
from luban.models.transformer import Transformer

if TYPE_CHECKING:
    from luban.models.load import LoadReport


class Model(nn.Module):
    """Token ids (B, T) to scores: (B, T, V) for a token head, (B, K) for a class head.

    documents (B, T): which document of its row a token belongs to; 0 marks padding. Tokens see only
    their own document, and positions count from its start. None: every row is one document.
    source: what an encoder reads, (B, S) tokens or (B, M, frames) of sound; documents of the same
    number in source_documents (B, S) are what each document reads; None: all of its row.
    segments (B, T): which of BERT's two texts a token belongs to, from 0; None: all to the first.
    Weights are uninitialised; `build_model` draws them, `load_model` reads them.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.stem = TokenStem(config)
        self.encoder = Encoder(config) if config.encoder is not None else None
        self.trunk = TRUNKS[type(config.trunk)](config.trunk)
        self.head = HEADS[config.head.kind](config)
        self.load_report: LoadReport | None = None
        self.tie()

    def forward(
        self,
        tokens: Tensor,
        documents: Tensor | None = None,
        cache: Cache | None = None,
        *,
        source: Tensor | None = None,
        source_documents: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Score tokens or classes; `cache` holds what was read before and reads these too."""
        inputs = {"source": source, "source_documents": source_documents, "segments": segments}
        hidden = self.hidden(tokens, documents, cache, **inputs)
        return self.head(hidden, documents)

    def hidden(
        self,
        tokens: Tensor,
        documents: Tensor | None = None,
        cache: Cache | None = None,
        *,
        source: Tensor | None = None,
        source_documents: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Return the trunk's last hidden states, (B, T) -> (B, T, C)."""
        self._check(tokens, documents, cache)
        memory = self._memory(source, source_documents, cache, len(tokens))
        layout = _layout(tokens, documents, cache)
        if cache is not None and layout.documents is None:
            self._check_length(layout.n_past + tokens.shape[1])
        elif cache is not None and tokens.is_cpu:
            # Left padding makes a row wider than its text: what counts is the place in the document.
            self._check_length(int(layout.positions.max()) + 1)
        hidden = self.trunk(self.stem(tokens, layout.positions, segments), layout, cache, memory)
        if cache is not None:
            cache.advance(tokens.shape[1], layout.documents)
        return hidden

    def encode(self, source: Tensor, documents: Tensor | None = None) -> Memory:
        """Let the encoder read a source, tokens (B, S) or sound (B, M, frames)."""
        if self.encoder is None:
            raise DataError(
                f"this {self.config.family} model reads no source", fix="give it tokens only, or use t5"
            )
        if self.config.source == "tokens":
            self._check_ids(source)
            self._check_length(source.shape[1], self.config.source_max_len or self.config.max_len)
        return Memory(self.encoder(source, documents), documents)

    def tie(self) -> None:
        """Share what is one matrix: the encoder's embedding, a tied head's; needed again after weights
        were replaced."""
        if self.encoder is not None and isinstance(self.encoder.stem, TokenStem):
            self.encoder.stem.tokens = self.stem.tokens
        if isinstance(self.head, TokensHead) and self.config.head.tied:
            self.head.weight = self.stem.tokens.weight  # type: ignore[assignment]

    def _memory(
        self, source: Tensor | None, documents: Tensor | None, cache: Cache | None, n_rows: int
    ) -> Memory | None:
        if source is None:
            if self.encoder is not None and (cache is None or not cache.has_source):
                raise DataError(
                    f"this {self.config.family} model reads a source, and none is given",
                    fix="call model(tokens, source=source_tokens)",
                )
            return None
        if len(source) != n_rows:
            raise DataError(
                f"{n_rows} rows of tokens read {len(source)} sources", fix="give each row its own source"
            )
        if documents is not None and self.config.source == "tokens" and documents.shape != source.shape:
            raise DataError(
                f"source_documents {tuple(documents.shape)} do not match the source {tuple(source.shape)}",
                fix="number every token of the source, 0 for padding",
            )
        memory = self.encode(source, documents)
        if cache is not None:
            cache.source_documents = memory.documents
        return memory

    def _check(self, tokens: Tensor, documents: Tensor | None, cache: Cache | None) -> None:
        if tokens.ndim != 2 or tokens.is_floating_point():
            raise DataError(
                f"tokens of the shape {tuple(tokens.shape)} and the type {tokens.dtype} are no rows of ids",
                fix="give whole numbers (B, T), such as torch.tensor([[5, 6, 7]])",
            )
        if cache is None:
            self._check_length(tokens.shape[1])
        elif cache.batch_size != len(tokens):
            raise DataError(
                f"{len(tokens)} rows of tokens do not go on from a cache of {cache.batch_size}",
                fix=f"make the cache with batch_size = {len(tokens)}",
            )
        if documents is not None and documents.shape != tokens.shape:
            raise ValueError(f"documents {tuple(documents.shape)} do not match tokens {tuple(tokens.shape)}")
        if cache is not None:
            cache.check_room(tokens.shape[1])
        self._check_ids(tokens)

    def _check_ids(self, tokens: Tensor) -> None:
        if not tokens.numel():
            raise DataError(
                f"tokens of the shape {tuple(tokens.shape)} hold nothing to read", fix="give each row a token"
            )
        if tokens.is_cpu and not torch.compiler.is_compiling():
            low, high = (int(v) for v in tokens.aminmax())  # elsewhere it would wait for the device
            if low < 0 or high >= self.config.vocab_size:
                wrong, last = low if low < 0 else high, self.config.vocab_size - 1
                raise DataError(
                    f"token id {wrong} is outside the model's vocabulary, 0 to {last}",
                    fix="use the tokenizer that the model was trained with",
                )

    def _check_length(self, n_tokens: int, most: int | None = None) -> None:
        most = most or self.config.max_len
        if n_tokens > most:
            raise DataError(
                f"a row of {n_tokens} tokens is longer than the model's max_len = {most}",
                fix=f"cut the text to {most} tokens, or use a model with a larger max_len",
            )


class Encoder(nn.Module):
    """Stem and trunk that read a source, each token its whole document."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        assert config.encoder is not None
        self.stem = (
            AudioStem(config)
            if config.source == "audio"
            else TokenStem(config, config.source_max_len or config.max_len)
        )
        self.trunk = Transformer(config.encoder)

    def forward(self, source: Tensor, documents: Tensor | None = None) -> Tensor:
        """(B, S) or (B, M, frames) -> (B, S, C)."""
        if isinstance(self.stem, AudioStem):
            x = self.stem(source)
            return self.trunk(x, lay_out(x, documents, None, 0))
        layout = lay_out(source, documents, None, 0)
        return self.trunk(self.stem(source, layout.positions), layout)


class NoTrunk(nn.Module):
    """Hidden states are the stem's."""

    def __init__(self, config: NoTrunkConfig):
        super().__init__()

    def forward(
        self, x: Tensor, layout: Layout, cache: Cache | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Pass (B, T, C) through."""
        return x


TRUNKS: dict[type[Trunk], type[nn.Module]] = {
    TransformerConfig: Transformer,
    RecurrentConfig: Recurrent,
    NoTrunkConfig: NoTrunk,
}


def _layout(tokens: Tensor, documents: Tensor | None, cache: Cache | None) -> Layout:
    if cache is None:
        return lay_out(tokens, documents, None, 0)
    return lay_out(tokens, documents, cache.documents, cache.n_tokens)
