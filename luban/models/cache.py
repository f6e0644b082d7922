"""What a decoder remembers of the tokens it has read, so that each new one costs one step.

cache = Cache(model.config, batch_size=2, max_len=64)
logits = model(prompt, documents, cache=cache)      # reads the prompt, and source=... where there is one
logits = model(next_token, cache=cache)             # (2, 1): reads one more
"""

from __future__ import annotations

import torch
from torch import Tensor

from luban.errors import ConfigError, DataError
from luban.models.config import ModelConfig, TransformerConfig


class Cache:
    """The memory of a batch: keys and values, or recurrent states, one `LayerCache` a layer."""

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        max_len: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        if config.trunk.sight != "causal":
            raise ConfigError(
                f"a {config.family} model that sees its whole document cannot go on from a cache",
                fix="use a decoder: gpt2, llama, qwen2, t5, or recurrent with a token head",
            )
        self.batch_size, self.max_len, self.n_tokens = batch_size, max_len, 0
        self.documents: Tensor | None = None
        """Documents of the tokens read so far (B, n_tokens); None while every row is one document."""
        self.source_documents: Tensor | None = None
        """Documents of the source (B, S); None: each row reads all of its own."""
        self.layers: list[LayerCache] = []
        if isinstance(config.trunk, TransformerConfig):
            shape = (batch_size, config.trunk.n_kv_heads, max_len, config.trunk.head_dim)
            self.layers = [
                LayerCache(*(torch.empty(shape, device=device, dtype=dtype) for _ in "kv"))
                for _ in range(config.n_layers)
            ]
        self.states: list[tuple[Tensor, ...]] = []
        """State of each recurrent layer, tensors (1, B, C); empty before the first token."""

    @property
    def has_source(self) -> bool:
        """Whether a source has been read."""
        return bool(self.layers) and self.layers[0].source is not None

    def check_room(self, n_new: int) -> None:
        """Refuse tokens that do not fit."""
        if self.n_tokens + n_new > self.max_len:
            raise DataError(
                f"{self.n_tokens} tokens read and {n_new} new ones do not fit a cache of {self.max_len}",
                fix=f"make the cache with max_len = {self.n_tokens + n_new} or more",
            )

    def advance(self, n_new: int, documents: Tensor | None) -> None:
        """Note that `n_new` tokens were read; `documents` (B, all of them)."""
        self.n_tokens += n_new
        self.documents = documents

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only, in this order; a row may be named twice."""
        self.batch_size = len(rows)
        index = torch.tensor(rows)
        for layer in self.layers:
            layer.keep(index)
        self.states = [tuple(part[:, index.to(part.device)] for part in state) for state in self.states]
        self.documents = _rows(self.documents, index)
        self.source_documents = _rows(self.source_documents, index)

    def cut(self, n_tokens: int) -> None:
        """Forget all tokens after the first `n_tokens`, as if they had not been read."""
        if self.states:
            raise ConfigError(
                "a recurrent state cannot forget its last tokens", fix="read the row again from its start"
            )
        self.n_tokens = n_tokens
        for layer in self.layers:
            layer.n_tokens = n_tokens
        self.documents = None if self.documents is None else self.documents[:, :n_tokens]


class LayerCache:
    """Keys and values of one layer, each (B, K, max_len, D), filled from the left; and the source's."""

    def __init__(self, keys: Tensor, values: Tensor):
        self.keys, self.values, self.n_tokens = keys, values, 0
        self.source: tuple[Tensor, Tensor] | None = None

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (B, K, T, D); return all so far, as views."""
        start, self.n_tokens = self.n_tokens, self.n_tokens + k.shape[2]
        self.keys[:, :, start : self.n_tokens] = k
        self.values[:, :, start : self.n_tokens] = v
        return self.keys[:, :, : self.n_tokens], self.values[:, :, : self.n_tokens]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, copying no more than is filled."""
        rows = rows.to(self.keys.device)
        self.keys, self.values = (self._kept(t, rows) for t in (self.keys, self.values))
        if self.source is not None:
            self.source = self.source[0][rows], self.source[1][rows]

    def _kept(self, tensor: Tensor, rows: Tensor) -> Tensor:
        kept = tensor.new_empty(len(rows), *tensor.shape[1:])
        kept[:, :, : self.n_tokens] = tensor[:, :, : self.n_tokens][rows]
        return kept


def _rows(documents: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if documents is None else documents[rows.to(documents.device)]
