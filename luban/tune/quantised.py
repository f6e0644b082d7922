"""Linear layers whose matrices rest as 8-bit or 4-bit numbers, with float adapters beside them (QLoRA).

int8: each block of 64 numbers is divided by its largest and rounded. nf4: the same, to 16 values that are
quantiles of a normal distribution. Matrices become floats again for each product, in the forward pass and
in the backward pass; no gradient goes into them, and nothing is multiplied in integers.
Source: arXiv:2305.14314, section 3 and appendix E.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import ConfigError
from luban.models.model import Model
from luban.tune.lora import attach, put_on
from luban.tune.low_rank import LoraLinear
from luban.tune.settings import LoraSettings, QuantiseSettings

BLOCK = 64
"""Numbers that share a scale."""
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
    1.0,
)  # fmt: skip
"""The values that codes stand for (appendix E)."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to store numbers in fewer bits."""

    pack: Callable[[Tensor], tuple[Tensor, Tensor]]
    """(n, BLOCK) floats -> codes, and scales (n,)."""
    unpack: Callable[[Tensor, Tensor], Tensor]
    """Codes and scales -> (n, BLOCK)."""


def _pack_int8(blocks: Tensor) -> tuple[Tensor, Tensor]:
    scales = blocks.abs().amax(1)
    codes = (blocks * (127 / scales.clamp(min=1e-30))[:, None]).round_()
    return codes.to(torch.int8), scales


def _unpack_int8(codes: Tensor, scales: Tensor) -> Tensor:
    return codes.to(scales.dtype).mul_(scales[:, None] / 127)


def _pack_nf4(blocks: Tensor) -> tuple[Tensor, Tensor]:
    scales = blocks.abs().amax(1)
    table = torch.tensor(NF4, dtype=blocks.dtype, device=blocks.device)
    middles = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize(blocks / scales.clamp(min=1e-30)[:, None], middles).to(torch.uint8)
    return codes[:, ::2] << 4 | codes[:, 1::2], scales


def _unpack_nf4(codes: Tensor, scales: Tensor) -> Tensor:
    table = torch.tensor(NF4, dtype=scales.dtype, device=scales.device)
    pairs = torch.stack([table.repeat_interleave(16), table.repeat(16)], 1)  # what each byte stands for
    return F.embedding(codes.int(), pairs).flatten(1).mul_(scales[:, None])


CODECS = {"int8": Codec(_pack_int8, _unpack_int8), "nf4": Codec(_pack_nf4, _unpack_nf4)}


class Packed(nn.Module):
    """A matrix (out, in) in fewer bits."""

    codes: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, bits: str):
        super().__init__()
        self.shape, self.bits = weight.shape, bits
        flat = weight.detach().float().flatten()
        flat = F.pad(flat, (0, -len(flat) % BLOCK))
        codes, scales = CODECS[bits].pack(flat.view(-1, BLOCK))
        # A checkpoint need not hold what rests: a run that goes on packs the same matrix again.
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def floats(self) -> Tensor:
        """Return the matrix that the codes stand for."""
        flat = CODECS[self.bits].unpack(self.codes, self.scales).flatten()
        return flat[: self.shape.numel()].view(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes."""
        return self.codes.nbytes + self.scales.nbytes


class PackedLinear(nn.Linear):
    """A linear layer whose matrix rests in fewer bits; `weight` is made anew whenever it is asked for."""

    def __init__(self, base: nn.Linear, bits: str):
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.packed, self.bias = Packed(base.weight, bits), base.bias
        self.train(base.training)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in)."""
        return self.packed.floats()

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return product(x, self.packed, self.bias)

    def plain(self) -> nn.Linear:
        """Return a linear layer of floats, those that the codes stand for."""
        return _plain(self, self.packed)


class PackedLoraLinear(LoraLinear):
    """LoRA beside a matrix that rests in fewer bits; merged, the layer is one of floats."""

    def _take(self, base: nn.Linear) -> None:
        assert isinstance(base, PackedLinear)
        self.packed, self.bias = base.packed, base.bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in), as it was packed."""
        return self.packed.floats()

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if self.is_merged:
            return F.linear(x, self._merged, self.bias)
        low = F.linear(F.dropout(x, self.dropout, self.training), self.lora_a)
        return product(x, self.packed, self.bias) + F.linear(low, self.lora_b) * self.scale

    def merge(self) -> None:
        """Fold the adapter into the matrix made floats, beside the packed one."""
        if not self.is_merged:
            with torch.no_grad():
                self._merged = self.folded()
            self._before = ()

    def unmerge(self) -> None:
        """Forget the merged matrix; the packed one has not changed."""
        if self.is_merged:
            del self._merged
            self._before = None

    def plain(self) -> nn.Linear:
        """Return a linear layer of floats: merged if it is."""
        return _plain(self, self.packed, self._merged if self.is_merged else None)


def pack_linears(model: Model, settings: QuantiseSettings) -> dict[str, PackedLinear]:
    """Store the matrices of the blocks in fewer bits, in place; tables, norms and heads stay floats."""
    names = [n for n, m in model.named_modules() if type(m) is nn.Linear and "blocks." in n]
    if not names:
        raise ConfigError(
            f"this {model.config.family} model has no blocks of linear layers to store in fewer bits",
            fix="tune by lora or full",
        )
    layers = {}
    for name in names:  # one after the other, so that each matrix of floats is let go at once
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        layers[name] = PackedLinear(base, settings.bits)
        put_on(model, {name: layers[name]})
    return layers


def unpack_linears(model: Model) -> None:
    """Make plain linear layers of all that are packed, of the floats that their codes stand for."""
    packed = {n: m for n, m in model.named_modules() if isinstance(m, PackedLinear)}
    for name, layer in packed.items():
        put_on(model, {name: layer.plain()})


def packed_bytes(model: nn.Module) -> int:
    """Return the bytes that packed matrices take."""
    return sum(m.n_bytes for m in model.modules() if isinstance(m, Packed))


def attach_qlora(model: Model, settings: LoraSettings, quantise: QuantiseSettings, *, seed: int = 1) -> None:
    """Store the blocks' matrices in fewer bits, and put adapters beside those that `targets` names."""
    pack_linears(model, quantise)
    attach(model, settings, seed=seed, linear=_beside)


def product(x: Tensor, packed: Packed, bias: Tensor | None) -> Tensor:
    """Multiply x (…, in) with a packed matrix: (…, out). Neither pass keeps the matrix in floats."""
    found: Tensor = _Product.apply(x, packed, bias)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed, bias: Tensor | None) -> Tensor:
        ctx.packed = packed
        return F.linear(x, packed.floats().to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[0]
        return (grads[0] @ ctx.packed.floats().to(grads[0].dtype) if needed else None), None, None


def _beside(base: nn.Linear, a: Tensor, b: Tensor, scale: float, dropout: float = 0.0) -> LoraLinear:
    """Put an adapter beside a layer of either kind: those outside the blocks are of floats."""
    kind = PackedLoraLinear if isinstance(base, PackedLinear) else LoraLinear
    return kind(base, a, b, scale, dropout)


def _plain(layer: nn.Linear, packed: Packed, weight: Tensor | None = None) -> nn.Linear:
    with torch.device("meta"):
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.weight = nn.Parameter(packed.floats() if weight is None else weight, requires_grad=False)
    plain.bias = layer.bias
    return plain.train(layer.training)
