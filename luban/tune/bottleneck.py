"""Bottleneck adapters: a small MLP after a sublayer, with a way past it, put on from outside.

y + up(activation(down(y))), where y is what the sublayer's last matrix gives. `up` begins as zero, so the
model computes what it did. Source: arXiv:1902.00751 (after attention and MLP); arXiv:2005.00247 (after the
MLP alone). `peft` has no such adapter, so their folder is Luban's own.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import CheckpointError, ConfigError
from luban.files import read_json, write_json
from luban.models.model import Model
from luban.models.weights import read_safetensors, write_safetensors
from luban.tune.lora import put_on
from luban.tune.origin import check_origin, write_origin
from luban.tune.peft_folder import AGAIN, CONFIG, WEIGHTS
from luban.tune.peft_names import NEW_HEADS
from luban.tune.settings import BottleneckSettings

KIND = "LUBAN_BOTTLENECK"
ENDS = {"both": ("attention.out", "mlp.down"), "mlp": ("mlp.down",)}
"""Where adapters stand → the last matrix of each of those sublayers."""


class BottleneckLinear(nn.Linear):
    """A linear layer and the adapter on what it gives; weight and bias keep the names they had."""

    def __init__(self, base: nn.Linear, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor):
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        like = base.weight
        self.change_down, self.change_up = nn.Parameter(down.to(like)), nn.Parameter(up.to(like))
        self.change_down_bias = nn.Parameter(down_bias.to(like))
        self.change_up_bias = nn.Parameter(up_bias.to(like))
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        y = super().forward(x)
        low = F.gelu(F.linear(y, self.change_down, self.change_down_bias))
        return y + F.linear(low, self.change_up, self.change_up_bias)

    def plain(self) -> nn.Linear:
        """Return the linear layer without the adapter."""
        with torch.device("meta"):
            plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        plain.weight, plain.bias = self.weight, self.bias
        return plain.train(self.training)


def attach_bottlenecks(model: Model, settings: BottleneckSettings, *, seed: int = 1) -> tuple[str, ...]:
    """Put adapters into every block of the trunk, and freeze all else; return the names of their layers."""
    ends = tuple(f".{end}" for end in ENDS[settings.place])
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.endswith(ends)]
    if not names:
        raise ConfigError(
            f"this {model.config.family} model has no blocks to put adapters into", fix="tune by lora or full"
        )
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for name in names:
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        dim = base.out_features
        bound = 1 / math.sqrt(dim)
        down = torch.empty(settings.width, dim).uniform_(-bound, bound, generator=generator)
        biases = torch.zeros(settings.width), torch.zeros(dim)
        layers[name] = BottleneckLinear(base, down, torch.zeros(dim, settings.width), *biases)
    put_on(model, layers)
    return tuple(names)


def bottlenecks(model: nn.Module) -> dict[str, BottleneckLinear]:
    """Return the layers with such adapters by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, BottleneckLinear)}


def detach_bottlenecks(model: Model) -> dict[str, BottleneckLinear]:
    """Take the adapters off, and return them."""
    layers = bottlenecks(model)
    put_on(model, {name: layer.plain() for name, layer in layers.items()})
    return layers


def save_bottlenecks(model: Model, folder: Path, *, base: str) -> None:
    """Write the adapters, and the head if a task has put it on, under our own names."""
    layers = bottlenecks(model)
    has_head = model.config.head.kind in NEW_HEADS
    tensors = {
        name: p.detach().contiguous()
        for name, p in model.named_parameters()
        if ".change_" in name or (has_head and name.startswith("head."))
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(tensors, folder / WEIGHTS)
    config = {"peft_type": KIND, "base_model_name_or_path": base, "target_modules": sorted(layers)}
    write_json(folder / CONFIG, config)
    write_origin(model, folder, base)


def load_bottlenecks(model: Model, folder: Path) -> None:
    """Put the adapters of a folder on a model; they alone learn, if anything."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}", fix="copy the folder again from its source")
    tensors = dict(read_safetensors(path))
    check_origin(model, folder)
    layers = {}
    for name in read_json(folder / CONFIG).get("target_modules", []):
        parts = [
            tensors.pop(f"{name}.change_{part}", None) for part in ("down", "up", "down_bias", "up_bias")
        ]
        base = dict(model.named_modules()).get(name)
        down, up, down_bias, up_bias = parts
        if down is None or up is None or down_bias is None or up_bias is None:
            raise CheckpointError(f"{path} lacks a part of the adapter of {name}", fix=AGAIN)
        if not isinstance(base, nn.Linear) or down.shape[-1] != base.out_features:
            raise CheckpointError(
                f"{folder} adapts {name}, which this {model.config.family} lacks or has in another width",
                fix="use the model that the adapter was made for",
            )
        layers[name] = BottleneckLinear(base, down, up, down_bias, up_bias)
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name not in parameters or parameters[name].shape != tensor.shape:
            raise CheckpointError(f"{path}: {name} has no place in this model", fix=AGAIN)
        module, _, last = name.rpartition(".")  # a new one: others may share the old
        setattr(model.get_submodule(module), last, nn.Parameter(tensor))
    model.requires_grad_(False)
    put_on(model, layers)
