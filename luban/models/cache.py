"""What a decoder remembers of the tokens it has read, so that each new one costs one step.

cache = Cache(model.config, batch_size=2, max_len=64)
logits = model(prompt, documents, cache=cache)      # reads the prompt
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
                fix="use a decoder: gpt2, llama, or lstm with a token head",
            )
        self.batch_size, self.max_len, self.n_tokens = batch_size, max_len, 0
        self.documents: Tensor | None = None
        """Documents of the tokens read so far (B, n_tokens); None while every row is one document."""
        self.layers: list[LayerCache] = []
        if isinstance(config.trunk, TransformerConfig):
            shape = (batch_size, config.trunk.n_kv_heads, max_len, config.trunk.head_dim)
            self.layers = [
                LayerCache(*(torch.empty(shape, device=device, dtype=dtype) for _ in "kv"))
                for _ in range(config.n_layers)
            ]
        self.states: list[tuple[Tensor, Tensor]] = []
        """Hidden and cell state of each recurrent layer, each (1, B, C); empty before the first token."""

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
        """Forget all rows but these."""
        self.batch_size = len(rows)
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        self.states = [(hidden[:, rows], cell[:, rows]) for hidden, cell in self.states]
        if self.documents is not None:
            self.documents = self.documents[rows]


class LayerCache:
    """Keys and values of one layer, each (B, K, max_len, D), filled from the left."""

    def __init__(self, keys: Tensor, values: Tensor):
        self.keys, self.values, self.n_tokens = keys, values, 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (B, K, T, D); return all so far, as views."""
        start, self.n_tokens = self.n_tokens, self.n_tokens + k.shape[2]
        self.keys[:, :, start : self.n_tokens] = k
        self.values[:, :, start : self.n_tokens] = v
        return self.keys[:, :, : self.n_tokens], self.values[:, :, : self.n_tokens]
