"""Low-rank adapters (LoRA) beside the linear layers of a finished model, put on from outside.

Source: arXiv:2106.09685; the scale for large ranks, arXiv:2312.03732.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.attention import CrossAttention, SelfAttention
from luban.models.mlp import MLP
from luban.tune.settings import LoraSettings

READ_ALIKE: dict[type[nn.Module], tuple[str, ...]] = {
    SelfAttention: ("q", "k", "v"),
    CrossAttention: ("k", "v"),
    MLP: ("gate", "up"),
}
"""Layers that are always given the same x, one right after the other."""


def attach(model: nn.Module, settings: LoraSettings, *, seed: int = 1) -> tuple[str, ...]:
    """Put adapters on the linear layers that `settings.targets` names, and freeze all else.

    Return their names. The model computes what it did before, since B begins as zero.
    """
    names = _matching(model, settings.targets)
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for name in names:
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        a = torch.empty(settings.rank, base.in_features)
        bound = 1 / math.sqrt(base.in_features)  # as a linear layer of torch begins, and as peft does
        a.uniform_(-bound, bound, generator=generator)
        layers[name] = LoraLinear(
            base, a, torch.zeros(base.out_features, settings.rank), settings.scale, settings.dropout
        )
        layers[name].is_rslora = settings.rslora
    put_on(model, layers)
    return names


def put_on(model: nn.Module, layers: dict[str, LoraLinear]) -> None:
    """Replace linear layers by adapted ones of the same names."""
    for name, layer in layers.items():
        _set(model, name, layer)
    for parent in model.modules():
        _join(parent)


def adapted(model: nn.Module) -> dict[str, LoraLinear]:
    """Return the adapted layers by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoraLinear)}


def merge(model: nn.Module) -> None:
    """Fold every adapter into its matrix; what the matrix was is kept for `unmerge`."""
    for layer in adapted(model).values():
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Give every matrix back what it was before `merge`, bit for bit."""
    for layer in adapted(model).values():
        layer.unmerge()


def detach(model: nn.Module) -> None:
    """Take the adapters off: plain linear layers remain, with the matrices as they are now."""
    for name, layer in adapted(model).items():
        with torch.device("meta"):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight, plain.bias = layer.weight, layer.bias
        plain.train(layer.training)
        _set(model, name, plain)


class LoraLinear(nn.Linear):
    """x·Wᵀ + bias + scale·x·Aᵀ·Bᵀ, where A (R, in) and B (out, R) learn and W rests.

    Weight and bias are the base layer's own, under the names they had.
    """

    def __init__(self, base: nn.Linear, a: Tensor, b: Tensor, scale: float, dropout: float = 0.0):
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.lora_a, self.lora_b = (nn.Parameter(t.to(base.weight)) for t in (a, b))
        self.scale, self.dropout, self.is_rslora = scale, dropout, False
        self.train(base.training)
        self.group: tuple[_Together, int] = (_Together((self,)), 0)
        self._before: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rows of A."""
        return len(self.lora_a)

    @property
    def is_merged(self) -> bool:
        """Whether the matrix holds the adapter already."""
        return self._before is not None

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

    @torch.no_grad()
    def merge(self) -> None:
        """Fold the adapter into the matrix."""
        if self._before is None:
            self._before = self.weight.detach().clone()
            self.weight.addmm_(self.lora_b, self.lora_a, alpha=self.scale)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Give the matrix back what it was."""
        if self._before is not None:
            self.weight.copy_(self._before)
            self._before = None

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{super().extra_repr()}, rank={self.rank}, scale={self.scale:g}"


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


def _matching(model: nn.Module, targets: Sequence[str]) -> tuple[str, ...]:
    if adapted(model):
        raise ConfigError("the model has adapters already", fix="merge them and take them off first")
    linears = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    found: dict[str, None] = {}
    for pattern in targets:
        matched = [name for name in linears if fnmatchcase(name, pattern)]
        if not matched:
            raise ConfigError(
                f"lora.targets: {pattern!r} matches no linear layer", fix=_near(pattern, linears)
            )
        found |= dict.fromkeys(matched)
    if not found:
        raise ConfigError("lora.targets is empty, so there is nothing to learn", fix="name some layers")
    return tuple(name for name in linears if name in found)


def _near(pattern: str, linears: Sequence[str]) -> str:
    return nearest(pattern, sorted({f"*.{name.rpartition('.')[2]}" for name in linears}))


def _set(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def _join(parent: nn.Module) -> None:
    """Let the adapted layers of a module that read alike be worked out together."""
    group = tuple(_members(parent))
    together = _Together(group)
    for place, layer in enumerate(group):
        layer.group = (together, place)


def _members(parent: nn.Module) -> Iterator[LoraLinear]:
    for name in READ_ALIKE.get(type(parent), ()):
        layer = getattr(parent, name)
        if isinstance(layer, LoraLinear):
            yield layer
