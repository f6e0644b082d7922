"""Several adapters over one base model: each a model of its own that shares the base's weights, or all in
one model, where each row of a batch has its own."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.config import nearest
from luban.errors import ConfigError
from luban.models.model import Model
from luban.tune.load import put_adapter
from luban.tune.lora import adapted, put_on
from luban.tune.low_rank import LoraLinear


def sharing(model: Model) -> Model:
    """Return a model of the same structure over the very same weights; what one gets the other has not.

    A weight that is written in place is written for both.
    """
    kept = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in kept})


def with_adapter(base: Model, folder: Path) -> Model:
    """Return the base with the adapter of a folder on it; the base itself stays as it is."""
    model = sharing(base)
    put_adapter(model, folder)
    return model.eval()


def attach_several(model: Model, adapters: Mapping[str, Path]) -> Rows:
    """Put the LoRA adapters of several folders on one model, so that each row of a batch chooses its own.

    rows = attach_several(model, {"poet": Path("a"), "clerk": Path("b")})
    with rows.of(["poet", "", "clerk"]):      # "" is the base alone
        logits = model(tokens)                # (3, T)
    """
    layers: dict[str, dict[str, LoraLinear]] = {}
    for name, folder in adapters.items():
        for place, layer in adapted(with_adapter(model, folder)).items():
            if type(layer) is not LoraLinear:
                raise ConfigError(
                    f"{folder} adapts {place} by {type(layer).__name__}, and rows choose among plain LoRA",
                    fix="serve it as a model of its own",
                )
            layers.setdefault(place, {})[name] = layer
    rows = Rows(tuple(adapters))
    put_on(model, {place: RowsLinear(group, rows) for place, group in layers.items()})
    return rows


class Rows:
    """Which adapter each row of the batch at hand has."""

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self.chosen: Tensor | None = None

    @contextlib.contextmanager
    def of(self, names: Sequence[str]) -> Iterator[None]:
        """Let the rows of the batches inside have these adapters; "" has none."""
        unknown = [name for name in names if name and name not in self.names]
        if unknown:
            raise ConfigError(f"no adapter is named {unknown[0]!r}", fix=nearest(unknown[0], self.names))
        before = self.chosen
        self.chosen = torch.tensor([self.names.index(n) + 1 if n else 0 for n in names])
        try:
            yield
        finally:
            self.chosen = before


class RowsLinear(nn.Linear):
    """A linear layer with several adapters, stacked: A (N + 1, R, in), B (N + 1, out, R); 0 changes nothing.

    An adapter of a lower rank is filled up with zeros, and scales stand in B.
    """

    a: Tensor
    b: Tensor

    def __init__(self, layers: Mapping[str, LoraLinear], rows: Rows):
        nn.Module.__init__(self)
        first = next(iter(layers.values()))
        self.in_features, self.out_features = first.in_features, first.out_features
        self.weight, self.bias, self.rows = first.weight, first.bias, rows
        rank, n = max(layer.rank for layer in layers.values()), len(rows.names)
        a = first.weight.new_zeros(n + 1, rank, self.in_features)
        b = first.weight.new_zeros(n + 1, self.out_features, rank)
        for name, layer in layers.items():
            i = rows.names.index(name) + 1
            a[i, : layer.rank] = layer.lora_a.detach()
            b[i, :, : layer.rank] = layer.lora_b.detach() * layer.scale
        self.register_buffer("a", a, persistent=False)
        self.register_buffer("b", b, persistent=False)
        self.train(first.training)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out)."""
        y = F.linear(x, self.weight, self.bias)
        chosen = self.rows.chosen
        if chosen is None:
            return y
        if len(chosen) != len(x):
            raise ConfigError(
                f"{len(chosen)} rows have an adapter, and the batch has {len(x)}", fix="name one a row"
            )
        chosen = chosen.to(x.device)
        return y + x @ self.a[chosen].transpose(1, 2) @ self.b[chosen].transpose(1, 2)
