"""Attention: each token gathers from the tokens it may see.

Shape letters: B batch, T tokens, S tokens that can be read (past ones included), C width, H heads,
K kv heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.models.cache import LayerCache
from luban.models.config import TransformerConfig
from luban.models.dropout import dropout, is_cheap
from luban.models.norms import RMSNorm
from luban.models.positions import DistanceBias, Layout, alibi
from luban.models.rotary import Rotation, rotate, rotation


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What an encoder made of a source: hidden states (B, S, C), and whose they are.

    documents (B, S) match those of the tokens that read it, 0 is padding; None: each row reads its own.
    """

    hidden: Tensor
    documents: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every layer of one forward pass shares: who sees whom, and where tokens stand.

    mask (B or 1, H or 1, T, S) is added to the scores: 0 where seen, -inf where not, plus what
    positions add; None: no document ends inside a row, and `is_causal` says the rest. source: the
    encoder's hidden states; None where a cache holds their keys and values. source_mask (B, 1, T, S).
    """

    mask: Tensor | None
    is_causal: bool
    turn: Rotation | None
    source: Tensor | None = None
    source_mask: Tensor | None = None


def build_scene(
    layout: Layout, config: TransformerConfig, like: Tensor, bias: DistanceBias | None = None
) -> Scene:
    """Work out the scene once, in the dtype and on the device of the hidden states `like`."""
    is_causal = config.sight == "causal"
    n_tokens = layout.positions.shape[1]
    turn = rotation(layout.positions, config, like.dtype) if config.position == "rotary" else None
    by_distance = _by_distance(layout, config, like, bias)
    if layout.documents is None and by_distance is None:
        if not is_causal or n_tokens == 1:
            return Scene(None, False, turn)
        if layout.n_past == 0:
            return Scene(None, True, turn)
    mask = _mask(layout, n_tokens, is_causal, like)
    return Scene(mask if by_distance is None else mask + by_distance, False, turn)


def source_mask(layout: Layout, n_tokens: int, sources: Tensor | None, like: Tensor) -> Tensor | None:
    """Say which of the source's tokens each token may read: (B, 1, T, S), or None for all.

    `sources` (B, S) are the source's documents. What is padding here reads everything there, so that
    no row of scores is empty.
    """
    if sources is None:
        return None
    if layout.documents is None:
        seen = (sources != 0)[:, None, None, :]
    else:
        reader = layout.documents[:, -n_tokens:, None]
        seen = ((reader == sources[:, None, :]) | (reader == 0)).unsqueeze(1)
    return _added(seen, like)


def _by_distance(
    layout: Layout, config: TransformerConfig, like: Tensor, bias: DistanceBias | None
) -> Tensor | None:
    n_tokens = layout.positions.shape[1]
    if bias is not None:
        return bias(layout, n_tokens).to(like.dtype)
    return alibi(layout, n_tokens, config.n_heads, like) if config.position == "alibi" else None


def _mask(layout: Layout, n_tokens: int, is_causal: bool, like: Tensor) -> Tensor:
    n_seen = layout.n_past + n_tokens
    seen = torch.ones(1, 1, n_tokens, n_seen, dtype=torch.bool, device=like.device)
    if is_causal:
        seen = seen.tril(layout.n_past)
    if layout.documents is not None:
        # Padding carries id 0 and so sees padding: no row of scores is empty, none becomes NaN.
        reader, read = layout.documents[:, -n_tokens:], layout.documents
        seen = seen & (reader[:, None, :, None] == read[:, None, None, :])
    return _added(seen, like)


def _added(seen: Tensor, like: Tensor) -> Tensor:
    """Return what scores gain, 0 or -inf; a boolean mask would be converted again in every layer."""
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill_(~seen, -torch.inf)


class Attention(nn.Module):
    """Queries, keys and values; what reads what is said by the two kinds below.

    Source: arXiv:1706.03762 section 3.2; grouped key/value heads, arXiv:2305.13245; normalised
    queries and keys, arXiv:2302.05442.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        bias = config.attention_bias
        self.q = nn.Linear(config.dim, width, bias="q" in bias)
        self.k = nn.Linear(config.dim, kv_width, bias="k" in bias)
        self.v = nn.Linear(config.dim, kv_width, bias="v" in bias)
        self.out = nn.Linear(width, config.dim, bias="out" in bias)
        self.q_norm = RMSNorm(config.head_dim, eps=config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, eps=config.norm_eps) if config.qk_norm else None
        self.head_dim, self.dropout = config.head_dim, config.attention_dropout
        self.scale, self.is_grouped = config.attention_scale, config.n_kv_heads < config.n_heads
        self.is_turned = config.position == "rotary"

    def queries(self, x: Tensor, turn: Rotation | None = None) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return self._finish(self._split(self.q(x)), self.q_norm, turn)

    def keys_values(self, source: Tensor, turn: Rotation | None = None) -> tuple[Tensor, Tensor]:
        """(B, S, C) -> twice (B, K, S, D)."""
        return self._finish(self._split(self.k(source)), self.k_norm, turn), self._split(self.v(source))

    def read(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """Gather values by how well keys answer queries, all heads into one vector a token (B, T, C)."""
        if self.dropout and self.training and is_cheap(q):
            return self.out(self._gather(q, k, v, mask, is_causal).transpose(1, 2).flatten(2))
        gathered = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            is_causal=is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
            enable_gqa=self.is_grouped,
        )
        return self.out(gathered.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, C)

    def _gather(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        """Attend with dropout, which torch's own kernel for a CPU lacks: it takes these steps, but slower."""
        if self.is_grouped:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = (q * (self.head_dim**-0.5 if self.scale is None else self.scale)) @ k.transpose(-2, -1)
        if is_causal:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(hidden, -torch.inf)
        return dropout((scores if mask is None else scores + mask).softmax(-1), self.dropout) @ v

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (B, H or K, T or S, D)

    def _finish(self, x: Tensor, norm: nn.Module | None, turn: Rotation | None) -> Tensor:
        x = x if norm is None else norm(x)
        return x if turn is None else self.rotate(x, turn)

    def rotate(self, x: Tensor, turn: Rotation) -> Tensor:
        """Turn queries or keys (B, H, T, D) to their places."""
        return rotate(x, turn)


class SelfAttention(Attention):
    """Each token reads from its own row."""

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Keep (B, T, C)."""
        q = self.queries(x, scene.turn)
        k, v = self.keys_values(x, scene.turn)
        if cache is not None:
            k, v = cache.extend(k, v)
        return self.read(q, k, v, scene.mask, scene.is_causal)


class CrossAttention(Attention):
    """Each token reads from the encoder's hidden states."""

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Keep (B, T, C); with a cache, the source's keys and values are worked out once."""
        q = self.queries(x)
        if cache is None:
            assert scene.source is not None  # the model has checked
            k, v = self.keys_values(scene.source)
        else:
            if scene.source is not None:
                cache.source = self.keys_values(scene.source)
            assert cache.source is not None
            k, v = cache.source
        return self.read(q, k, v, scene.source_mask)
