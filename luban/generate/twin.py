"""A twin of a model, for decoding: the same weights, read by native kernels."""

from __future__ import annotations

import copy
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from luban.models.attention import Scene, SelfAttention
from luban.models.block import Block
from luban.models.cache import LayerCache
from luban.models.heads import TokensHead
from luban.models.mlp import ACTIVATIONS
from luban.models.norms import RMSNorm
from luban.native import tensors as native
from luban.native.tensors import Products, ThinBlock, ThinLinear

M = TypeVar("M", bound=nn.Module)

_TWINS: WeakKeyDictionary[nn.Module, tuple[object, nn.Module]] = WeakKeyDictionary()
"""The twin of each living model and the state that it was made from: making one reads all weights."""


def fast_twin(model: M) -> M:
    """Return a model that shares all weights with `model` and decodes faster on a CPU; or `model` itself.

    The model given is not touched, so others may train or read it meanwhile. The twin does not follow a
    later change of weights or modules: ask for it where decoding starts; an unchanged model has it ready.
    """
    parameter = next(model.parameters(), None)
    if parameter is None or not parameter.is_cpu or parameter.dtype != torch.float32:
        return model
    if not native.is_available():
        return model
    state = _state(model)
    made_from, twin = _TWINS.get(model, (None, model))
    if made_from != state:
        twin = _twin(model, {})
        _TWINS[model] = state, twin
    return twin  # type: ignore[return-value]


def _state(model: nn.Module) -> object:
    """Return what differs once a module was replaced or a weight was written."""
    modules = [(id(m), id(m.__dict__.get("forward")), _is_watched(m)) for m in model.modules()]
    weights = [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters()]
    return modules, weights


class FastLinear(nn.Linear):
    """nn.Linear that takes a few rows at a time through a native kernel."""

    thin: ThinLinear

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) -> (..., n_out)."""
        return self.thin(x) if self.thin.takes(x) else super().forward(x)


class FastTokensHead(TokensHead):
    """TokensHead that takes a few rows at a time through a native kernel."""

    thin: ThinLinear

    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        """Score every token at every position."""
        x = self.features(hidden).contiguous()
        return self.thin(x) if self.thin.takes(x) else super().forward(hidden, documents)


class FastRMSNorm(RMSNorm):
    """RMSNorm of a few rows in one native call instead of six."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep (..., C)."""
        if x.dtype != torch.float32 or not x.is_contiguous() or torch.is_grad_enabled():
            return super().forward(x)
        return native.rms_norm(x, self.weight, _eps(self))


class FastSelfAttention(SelfAttention):
    """SelfAttention that reads one new token a row in one native call."""

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Keep (B, T, C)."""
        if cache is None or x.shape[1] != 1 or not native.can_attend(cache):
            return super().forward(x, scene, cache)
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = (
                norm(t.unflatten(-1, (-1, self.head_dim))).flatten(-2)
                for norm, t in ((self.q_norm, q), (self.k_norm, k))
            )
        scale = self.head_dim**-0.5 if self.scale is None else self.scale
        return self.out(native.attend((q, k, v), cache, scene.turn, scene.mask, scale))


class FastBlock(Block):
    """Block that takes one new token a row in one native call."""

    thin: ThinBlock

    def forward(self, x: Tensor, scene: Scene, cache: LayerCache | None = None) -> Tensor:
        """Keep (B, T, C)."""
        if cache is None or self.dropout.training or not self.thin.takes(x, cache):
            return super().forward(x, scene, cache)
        return self.thin(x, cache, scene.turn, scene.mask)


def _twin(module: M, made: dict[int, nn.Module]) -> M:
    """Copy containers and the modules with a fast form; share all other leaves."""
    if id(module) not in made:
        made[id(module)] = _convert(module, made)
    return made[id(module)]  # type: ignore[return-value]


def _convert(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    if type(module) is nn.Linear and ThinLinear.suits(module.weight, module.bias):
        return _thin(module, FastLinear)
    if type(module) is RMSNorm and module.weight is not None and module.weight.ndim == 1:
        return _as(module, FastRMSNorm)
    if not module._modules and not isinstance(module, TokensHead):
        return module
    twin = copy.copy(module)
    twin.training = False
    twin._modules = {n: m if m is None else _twin(m, made) for n, m in module._modules.items()}
    if type(twin) is SelfAttention:
        twin.__class__ = FastSelfAttention
    if type(twin) is Block and (whole := _whole(twin)) is not None:
        twin.__class__ = FastBlock
        twin.thin = whole  # type: ignore[assignment]
    if type(twin) is TokensHead and ThinLinear.suits(twin.weight, twin.bias):
        return _thin(twin, FastTokensHead)
    return twin


def _whole(block: Block) -> ThinBlock | None:
    """Return the block in one call, where it is of the kind that has it and nobody watches its inside."""
    attention, mlp = block.attention, block.mlp
    linears = attention.q, attention.k, attention.v, attention.out, mlp.gate, mlp.up, mlp.down
    first, second = block.attention_norm, block.mlp_norm
    if (
        not block.norm_first
        or type(attention) is not FastSelfAttention
        or block.cross is not None
        or attention.q_norm is not None
        or mlp.activation is not ACTIVATIONS["silu"]
        or not all(type(m) is FastLinear for m in linears)
        or not (type(first) is type(second) is FastRMSNorm)
        or any(_is_watched(m) for m in block.modules())
    ):
        return None
    scale = attention.head_dim**-0.5 if attention.scale is None else attention.scale
    products = Products(*(m.thin for m in linears if isinstance(m, FastLinear)))
    return ThinBlock((first.weight, second.weight), products, _eps(first), scale)


def _is_watched(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


def _eps(norm: RMSNorm) -> float:
    return torch.finfo(torch.float32).eps if norm.eps is None else norm.eps


def _thin(module: nn.Linear | TokensHead, kind: type[FastLinear | FastTokensHead]) -> nn.Module:
    twin = _as(module, kind)
    twin.thin = ThinLinear(module.weight, module.bias)
    return twin


def _as(module: nn.Module, kind: type[M]) -> M:
    twin = copy.copy(module)
    twin.__class__ = kind
    return twin  # type: ignore[return-value]
