"""Layers with a low-rank change beside a matrix that rests: LoRA of linear layers and of tables, and DoRA.

Sources: arXiv:2106.09685; DoRA, arXiv:2402.09353.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LowRank(nn.Module):
    """What they share: A (R, in) and B (out, R) learn, and the base layer's own matrix rests.

    Weight and bias keep the names they had.
    """

    weight: Any
    scale: float
    dropout: float
    lora_a: nn.Parameter
    lora_b: nn.Parameter
    is_rslora: bool
    _before: tuple[nn.Parameter, ...] | None

    def _begin(
        self, base: nn.Linear | nn.Embedding, a: Tensor, b: Tensor, scale: float, dropout: float
    ) -> None:
        nn.Module.__init__(self)
        like = base.weight
        self.lora_a, self.lora_b = (nn.Parameter(t.to(like)) for t in (a, b))
        self.scale, self.dropout, self.is_rslora = scale, dropout, False
        self._before = None
        self.train(base.training)

    @property
    def rank(self) -> int:
        """Rows of A."""
        return len(self.lora_a)

    @property
    def is_merged(self) -> bool:
        """Whether the matrix holds the adapter already."""
        return self._before is not None

    @torch.no_grad()
    def merge(self) -> None:
        """Fold the adapter into the matrix; a layer that shares the matrix keeps it as it was."""
        if self._before is None:
            before = self.weight
            self.weight = nn.Parameter(self.folded(), requires_grad=before.requires_grad)
            self._before = (before,)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Give the matrix back, the very one that it was."""
        if self._before is not None:
            (self.weight,) = self._before
            self._before = None

    def folded(self) -> Tensor:
        """Return the matrix with the adapter in it."""
        raise NotImplementedError

    def plain(self) -> nn.Module:
        """Return the layer without its adapter, and with its matrix as it is now."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{super().extra_repr()}, rank={self.rank}, scale={self.scale:g}"


class LoraLinear(LowRank, nn.Linear):
    """x·Wᵀ + bias + scale·x·Aᵀ·Bᵀ."""

    def __init__(self, base: nn.Linear, a: Tensor, b: Tensor, scale: float, dropout: float = 0.0):
        self._begin(base, a, b, scale, dropout)
        self.in_features, self.out_features = base.in_features, base.out_features
        self._take(base)
        self.group: tuple[_Together, int] = (_Together((self,)), 0)

    def _take(self, base: nn.Linear) -> None:
        """Go on with the base layer's own matrix and bias."""
        self.weight, self.bias = base.weight, base.bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if self.is_merged:
            return F.linear(x, self.weight, self.bias)
        if self._is_ordinary(x):
            low = F.linear(F.dropout(x, self.dropout, self.training), self.lora_a)
            return F.linear(x, self.weight, self.bias) + F.linear(low, self.lora_b) * self.scale
        together, place = self.group
        return together.read(x, place)

    def _is_ordinary(self, x: Tensor) -> bool:
        """Whether torch's own gradients are called for: `_Read` does less, or a compiler better."""
        return bool(
            (self.dropout and self.training)
            or self.weight.requires_grad
            or torch.is_autocast_enabled(x.device.type)
            or torch.compiler.is_compiling()
        )

    def folded(self) -> Tensor:
        """Return W + scale·B·A."""
        return torch.addmm(self.weight, self.lora_b, self.lora_a, alpha=self.scale)

    def plain(self) -> nn.Linear:
        """Return a linear layer with the matrix as it is now."""
        with torch.device("meta"):
            plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        plain.weight, plain.bias = self.weight, self.bias
        return plain.train(self.training)


class DoraLinear(LoraLinear):
    """LoRA of the directions of W's rows; their lengths, `magnitude` (out,), learn apart.

    magnitude · (W + scale·B·A) / |W + scale·B·A|, and the lengths below pass no gradient (section 4.3).
    """

    def __init__(self, base: nn.Linear, a: Tensor, b: Tensor, scale: float, dropout: float = 0.0):
        super().__init__(base, a, b, scale, dropout)
        with torch.no_grad():
            self.magnitude = nn.Parameter(self._lengths())

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if self.is_merged:
            return F.linear(x, self.weight, self.bias)
        with torch.no_grad():
            lengths = self._lengths()
        share = self.magnitude / lengths
        noisy = F.dropout(x, self.dropout, self.training)
        plain = F.linear(x, self.weight)
        # What the row's new length adds to the base term goes through dropout too, as in `peft`.
        seen = plain if noisy is x else F.linear(noisy, self.weight)
        change = F.linear(F.linear(noisy, self.lora_a), self.lora_b) * self.scale
        found = plain + (share - 1) * seen + share * change
        return found if self.bias is None else found + self.bias

    def folded(self) -> Tensor:
        """Return the matrix with the adapter in it."""
        whole = super().folded()
        return whole * (self.magnitude / whole.norm(dim=1))[:, None]

    def _lengths(self) -> Tensor:
        return super().folded().norm(dim=1)


class LoraEmbedding(LowRank, nn.Embedding):
    """A table whose row i is W[i] + scale·B·A[:, i]: A (R, V), B (C, R)."""

    def __init__(self, base: nn.Embedding, a: Tensor, b: Tensor, scale: float, dropout: float = 0.0):
        self._begin(base, a, b, scale, dropout)
        self.num_embeddings, self.embedding_dim = base.num_embeddings, base.embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = base.padding_idx, None, 2.0
        self.scale_grad_by_freq, self.sparse = False, False
        self.weight = base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(…) -> (…, C)."""
        found = F.embedding(ids, self.weight)
        if self.is_merged:
            return found
        return found + F.linear(F.embedding(ids, self.lora_a.t()), self.lora_b) * self.scale

    def folded(self) -> Tensor:
        """Return W + scale·(B·A)ᵀ."""
        return torch.addmm(self.weight, self.lora_a.t(), self.lora_b.t(), alpha=self.scale)

    def plain(self) -> nn.Embedding:
        """Return a table of the rows as they are now."""
        plain = nn.Embedding(self.num_embeddings, self.embedding_dim, _weight=self.weight)
        plain.weight = self.weight
        return plain.train(self.training)


def join(layers: Sequence[LoraLinear]) -> None:
    """Let layers that are always given the same x, one right after the other, be worked out together."""
    together = _Together(layers)
    for place, layer in enumerate(layers):
        layer.group = (together, place)


class _Together:
    """Layers that read the same x: the first that is called answers for all, and x is read once.

    What it worked out for the others waits here until they ask with that very x.
    """

    def __init__(self, layers: Sequence[LoraLinear]):
        self._layers = tuple(layers)
        self._x: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}

    def read(self, x: Tensor, place: int) -> Tensor:
        if self._x is not x or place not in self._waiting:
            layers = self._layers if not any(m.is_merged for m in self._layers) else (self._layers[place],)
            places = range(len(layers)) if len(layers) > 1 else (place,)
            self._x, self._waiting = x, dict(zip(places, _read(x, layers), strict=True))
        found = self._waiting.pop(place)
        if not self._waiting:
            self._x = None
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> _Together:
        copy = _Together(())
        memo[id(self)] = copy
        copy._layers = deepcopy(self._layers, memo)
        return copy


def _read(x: Tensor, layers: Sequence[LoraLinear]) -> tuple[Tensor, ...]:
    parts = [t for m in layers for t in (m.weight, m.bias, m.lora_a, m.lora_b)]
    scales = [m.scale for m in layers]
    found: tuple[Tensor, ...] = _Read.apply(x, scales, *parts)  # type: ignore[no-untyped-call]
    return found


class _Read(torch.autograd.Function):
    """Several adapted layers of one x: it is kept once, and x·Aᵀ is worked out again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: list[float], *parts: Any) -> tuple[Tensor, ...]:
        weights, biases, a, b = (parts[i::4] for i in range(4))
        rows, stacked = x.flatten(0, -2), torch.cat(a)
        lows = torch.split(rows @ stacked.t(), [len(m) for m in a], 1)
        ctx.save_for_backward(rows, stacked, *weights, *b)
        ctx.scales, ctx.shape = scales, x.shape
        found = (
            F.linear(rows, w, bias).addmm_(low, up.t(), alpha=scale).view(*x.shape[:-1], len(w))
            for w, bias, low, up, scale in zip(weights, biases, lows, b, scales, strict=True)
        )
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        rows, stacked, *kept = ctx.saved_tensors
        weights, b = kept[: len(grads)], kept[len(grads) :]
        outs = [g.flatten(0, -2) for g in grads]
        ranks = [m.shape[1] for m in b]
        lows = (rows @ stacked.t()).split(ranks, 1)
        into_b = [(g.t() @ low).mul_(s) for g, low, s in zip(outs, lows, ctx.scales, strict=True)]
        back = torch.cat([(g @ up).mul_(s) for g, up, s in zip(outs, b, ctx.scales, strict=True)], 1)
        into_a = (back.t() @ rows).split(ranks)
        into_x = None
        if ctx.needs_input_grad[0]:
            into_x = back @ stacked
            for g, weight in zip(outs, weights, strict=True):
                into_x.addmm_(g, weight)
            into_x = into_x.view(ctx.shape)
        return into_x, None, *(t for pair in zip(into_a, into_b, strict=True) for t in (None, None, *pair))
