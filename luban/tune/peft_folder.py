"""LoRA adapters in a folder that the library `peft` reads, and folders that it wrote.

adapter_config.json says which layers, adapter_model.safetensors holds A and B of each, the lengths of
DoRA, and a new head, all under the names of Hugging Face's own model of the family.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from luban.errors import CheckpointError, ConfigError
from luban.files import read_json, write_json
from luban.models.family import Json, Name
from luban.models.model import Model
from luban.models.weights import read_safetensors, write_safetensors
from luban.tune.lora import adapted, put_on
from luban.tune.low_rank import DoraLinear, LoraEmbedding, LoraLinear, LowRank
from luban.tune.origin import check_origin, write_origin
from luban.tune.peft_names import (
    PREFIX,
    head_tensors,
    inner_prefix,
    layer_homes,
    module_of,
    place_tensors,
    task_type,
)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OTHER_ARITHMETIC = {
    "bias": "none",
    "lora_bias": False,
    "fan_in_fan_out": None,
    "layer_replication": [],
    "target_parameters": [],
    "trainable_token_indices": [],
    "alora_invocation_tokens": [],
    "use_qalora": False,
    "use_bdlora": None,
    "arrow_config": None,
    "velora_config": None,
    "monteclora_config": None,
}
"""Keys that would change the numbers, and their values that do not. fan_in_fan_out only says how the base
is stored."""
AGAIN = "copy the file again from its source"
_PART = re.compile(r"(.+)\.lora_(?:([AB])\.weight|embedding_([AB])|(magnitude)_vector(?:\.weight)?)")


def save_adapter(model: Model, folder: Path, *, base: str = "") -> None:
    """Write the adapters of a model, and its head if a task has put it on; `base` is where it came from."""
    layers = adapted(model)
    if not layers:
        raise ConfigError("the model has no adapters to save", fix="put some on: luban.tune.lora.attach")
    places = layer_homes(model)
    groups: dict[str, list[tuple[Name, LowRank]]] = {}
    for ours, layer in layers.items():
        home = places[f"{ours}.weight"]
        groups.setdefault(module_of(home.theirs), []).append((home, layer))
    tensors, ranks, alphas = {}, {}, {}
    is_rslora = any(m.is_rslora for m in layers.values())
    for module, group in groups.items():
        a, b, scale = _one_pair(module, group)
        ranks[module] = len(a)
        alphas[module] = _plain(scale * (len(a) ** 0.5 if is_rslora else len(a)))
        kind = "lora_embedding_{}" if isinstance(group[0][1], LoraEmbedding) else "lora_{}.weight"
        for name, tensor in (("A", a), ("B", b)):
            tensors[f"{PREFIX}{module}.{kind.format(name)}"] = tensor.detach().contiguous()
        lengths = [layer.magnitude.detach() for _, layer in group if isinstance(layer, DoraLinear)]
        if lengths:
            tensors[f"{PREFIX}{module}.lora_magnitude_vector"] = torch.cat(lengths)
    head = head_tensors(model)
    config = {
        "peft_type": "LORA",
        "task_type": task_type(model),
        "base_model_name_or_path": base or None,
        **_most(ranks, "r", "rank_pattern"),
        **_most(alphas, "lora_alpha", "alpha_pattern"),
        "lora_dropout": max(layer.dropout for layer in layers.values()),
        "use_rslora": is_rslora,
        "use_dora": any(isinstance(m, DoraLinear) for m in layers.values()),
        "target_modules": sorted(groups),
        "modules_to_save": sorted({module_of(key) for key in head}) or None,
        "fan_in_fan_out": any(home.transpose for group in groups.values() for home, _ in group),
        "bias": "none",
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors |= {f"{PREFIX}{key}": tensor.contiguous() for key, tensor in head.items()}
    write_safetensors(tensors, folder / WEIGHTS)
    write_json(folder / CONFIG, config)
    write_origin(model, folder, base)


def load_adapter(model: Model, folder: Path) -> tuple[str, ...]:
    """Put the adapters of a folder on a model, as `attach` does; return the names of the layers."""
    if adapted(model):
        raise ConfigError("the model has adapters already", fix="merge them and take them off first")
    config = _read_config(folder)
    parts, others = _read_parts(folder)
    by_module: dict[str, list[Name]] = {}
    prefix = inner_prefix(model)
    for home in layer_homes(model).values():
        by_module.setdefault(module_of(home.theirs).removeprefix(prefix), []).append(home)
    layers: dict[str, LowRank] = {}
    for module, part in parts.items():
        places = by_module.get(module.removeprefix(prefix), [])
        if not places:
            raise CheckpointError(
                f"{folder} adapts {module}, which this {model.config.family} model does not have",
                fix="use the model that the adapter was made for",
            )
        for home in places:
            layers[module_of(home.ours)] = _layer(model, folder, config, module, part, home)
    check_origin(model, folder)
    place_tensors(model, others, folder / WEIGHTS)
    model.requires_grad_(False)
    put_on(model, layers)
    return tuple(layers)


@dataclass(slots=True)
class _Part:
    """What a file holds of one of their layers."""

    a: Tensor | None = None
    b: Tensor | None = None
    magnitude: Tensor | None = None
    is_table: bool = field(default=False)


def _layer(model: Model, folder: Path, config: Json, module: str, part: _Part, home: Name) -> LowRank:
    base = model.get_submodule(module_of(home.ours))
    a, b = part.a, part.b
    assert a is not None
    assert b is not None
    scale = _scale(config, module, len(a))
    if part.is_table != isinstance(base, nn.Embedding) or (part.is_table and part.magnitude is not None):
        raise CheckpointError(
            f"{folder}: the adapter of {module} is of a kind that is not supported there",
            fix="merge the adapter with peft, and use that",
        )
    layer: LowRank
    if isinstance(base, nn.Embedding):
        _check(folder, module, (a, b), (base.num_embeddings, base.embedding_dim))
        layer = LoraEmbedding(base, a.clone(), b.clone(), scale)
    else:
        assert isinstance(base, nn.Linear)
        i, n = home.part
        _check(folder, module, (a, b), (base.in_features, base.out_features * n))
        kind = LoraLinear if part.magnitude is None else DoraLinear
        layer = kind(base, a.clone(), b.chunk(n)[i].clone(), scale, float(config.get("lora_dropout", 0)))
        if isinstance(layer, DoraLinear) and part.magnitude is not None:
            layer.magnitude = nn.Parameter(part.magnitude.flatten().chunk(n)[i].clone())
    layer.is_rslora = bool(config.get("use_rslora"))
    return layer


def _one_pair(module: str, group: Sequence[tuple[Name, LowRank]]) -> tuple[Tensor, Tensor, float]:
    """Return A, B and the scale of one of their layers, which may be several of ours.

    Theirs then has as many rows of A as ours have together, and B is block-diagonal.
    """
    scale = group[0][1].scale
    if group[0][0].part[1] == 1:
        return group[0][1].lora_a, group[0][1].lora_b, scale
    if any(layer.scale != scale for _, layer in group):
        raise ConfigError(
            f"{module} is one layer in the family's files, and its parts have several scales",
            fix="give them one rank and alpha",
        )
    n_out, start = len(group[0][1].lora_b), 0
    a = torch.cat([layer.lora_a for _, layer in group])
    b = torch.zeros(n_out * group[0][0].part[1], len(a), dtype=a.dtype, device=a.device)
    for home, layer in group:
        rows = slice(home.part[0] * n_out, (home.part[0] + 1) * n_out)
        b[rows, start : start + layer.rank] = layer.lora_b.detach()
        start += layer.rank
    return a, b, scale


def _plain(value: float) -> float:
    value = round(value, 9)
    return int(value) if value == int(value) else value


def _most(values: Mapping[str, float], key: str, pattern: str) -> Json:
    """Return the usual value under `key`, and what differs from it by module."""
    usual = Counter(values.values()).most_common(1)[0][0]
    return {key: usual, pattern: {name: v for name, v in values.items() if v != usual}}


def _read_config(folder: Path) -> Json:
    path = folder / CONFIG
    config = read_json(path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise CheckpointError(f"{path}: peft_type = {kind!r} is not supported", fix="use a LoRA adapter")
    for key, usual in OTHER_ARITHMETIC.items():
        value = config.get(key)
        if (
            usual is not None
            and value
            and value != usual
            or usual is None
            and value
            and key != "fan_in_fan_out"
        ):
            raise CheckpointError(
                f"{path}: {key} = {value!r} is not supported", fix="merge the adapter with peft, and use that"
            )
    return config


def _read_parts(folder: Path) -> tuple[dict[str, _Part], dict[str, Tensor]]:
    """Return the adapters by layer, and the whole tensors that came with them, both without the prefix."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}", fix="name a folder that peft or Luban wrote")
    parts: dict[str, _Part] = {}
    others: dict[str, Tensor] = {}
    for key, tensor in read_safetensors(path):
        key, match = key.removeprefix(PREFIX), _PART.fullmatch(key.removeprefix(PREFIX))
        if not bool(torch.isfinite(tensor.float()).all()):
            raise CheckpointError(f"{path}: {key} holds values that are infinite or not a number", fix=AGAIN)
        if match is None:
            others[key] = tensor.float()
            continue
        part = parts.setdefault(match[1], _Part())
        part.is_table = part.is_table or match[3] is not None
        setattr(part, (match[2] or match[3] or match[4]).lower(), tensor.float())
    lame = next((name for name, part in parts.items() if part.a is None or part.b is None), None)
    if lame or not parts:
        raise CheckpointError(f"{path} lacks A or B of {lame or 'every layer'}", fix=AGAIN)
    return parts, others


def _scale(config: Json, module: str, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    own = (v for k, v in patterns.items() if re.fullmatch(rf"(.*\.)?({k.removeprefix('^')})", module))
    alpha = float(next(own, config.get("lora_alpha", 8)))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _check(folder: Path, module: str, pair: tuple[Tensor, Tensor], sizes: tuple[int, int]) -> None:
    a, b = pair
    n_in, n_out = sizes
    if a.ndim != 2 or b.ndim != 2 or (a.shape[1], b.shape[0]) != (n_in, n_out) or len(a) != b.shape[1]:
        raise CheckpointError(
            f"{folder}: the adapter of {module} is {tuple(b.shape)} times {tuple(a.shape)}, and the model's "
            f"matrix {(n_out, n_in)}",
            fix="use the model that the adapter was made for",
        )
