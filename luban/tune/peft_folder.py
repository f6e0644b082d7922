"""Adapters in a folder that the library `peft` reads, and folders that it wrote.

adapter_config.json says which layers, adapter_model.safetensors holds A and B of each, both under the
names that layers have in Hugging Face's own model of the family.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from luban.errors import CheckpointError, ConfigError
from luban.files import read_json, write_json
from luban.models.family import Json, Name
from luban.models.folder import write_config
from luban.models.model import Model
from luban.models.weights import read_safetensors, write_safetensors
from luban.tune.lora import LoraLinear, adapted, put_on

CONFIG, WEIGHTS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
OTHER_ARITHMETIC = {
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "fan_in_fan_out": None,
    "modules_to_save": [],
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


def save_adapter(model: Model, folder: Path, *, base: str = "") -> None:
    """Write the adapters of a model; `base` is where the model they belong to is found."""
    layers = adapted(model)
    if not layers:
        raise ConfigError("the model has no adapters to save", fix="put some on: luban.tune.lora.attach")
    homes = _homes(model)
    groups: dict[str, list[tuple[Name, LoraLinear]]] = {}
    for ours, layer in layers.items():
        home = homes[f"{ours}.weight"]
        groups.setdefault(_module(home.theirs), []).append((home, layer))
    tensors, ranks, alphas = {}, {}, {}
    is_rslora = any(m.is_rslora for m in layers.values())
    for module, group in groups.items():
        a, b, scale = _one_pair(module, group)
        ranks[module] = len(a)
        alphas[module] = _plain(scale * (len(a) ** 0.5 if is_rslora else len(a)))
        for name, tensor in (("A", a), ("B", b)):
            tensors[f"{PREFIX}{module}.lora_{name}.weight"] = tensor.detach().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": _task(model),
        "base_model_name_or_path": base or None,
        **_most(ranks, "r", "rank_pattern"),
        **_most(alphas, "lora_alpha", "alpha_pattern"),
        "lora_dropout": next(iter(layers.values())).dropout,
        "use_rslora": is_rslora,
        "target_modules": sorted(groups),
        "fan_in_fan_out": any(home.transpose for group in groups.values() for home, _ in group),
        "bias": "none",
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(tensors, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


def load_adapter(model: Model, folder: Path) -> tuple[str, ...]:
    """Put the adapters of a folder on a model, as `attach` does; return the names of the layers."""
    if adapted(model):
        raise ConfigError("the model has adapters already", fix="merge them and take them off first")
    config = _read_config(folder)
    pairs = _read_pairs(folder)
    by_module: dict[str, list[Name]] = {}
    prefix = _prefix(model)
    for home in _homes(model).values():
        by_module.setdefault(_module(home.theirs).removeprefix(prefix), []).append(home)
    layers: dict[str, LoraLinear] = {}
    for module, (a, b) in pairs.items():
        homes = by_module.get(module.removeprefix(prefix), [])
        if not homes:
            raise CheckpointError(
                f"{folder} adapts {module}, which this {model.config.family} model does not have",
                fix="use the model that the adapter was made for",
            )
        scale = _scale(config, module, len(a))
        for home in homes:
            ours = _module(home.ours)
            base = model.get_submodule(ours)
            assert isinstance(base, nn.Linear)
            _check(folder, module, (a, b), (base.in_features, base.out_features * home.part[1]))
            part = b.chunk(home.part[1])[home.part[0]]
            layers[ours] = LoraLinear(
                base, a.clone(), part.clone(), scale, float(config.get("lora_dropout", 0))
            )
            layers[ours].is_rslora = bool(config.get("use_rslora"))
    model.requires_grad_(False)
    put_on(model, layers)
    return tuple(layers)


def _homes(model: Model) -> dict[str, Name]:
    """Return where each weight of a linear layer is in the family's files, by our name of it."""
    _, form = write_config(model.config)
    weights = [f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if form is None:
        return {weight: Name(weight, weight) for weight in weights}
    found: dict[str, Name] = {}
    strip = form.prefix if model.config.head.kind in ("none", "vector") else ""
    for name in form.tensors(model.config):
        is_asked = name.ours not in found or name.when is not None
        if name.ours in weights and is_asked and name.fits(model.config):
            found[name.ours] = Name(
                name.ours, name.theirs.removeprefix(strip), name.part, transpose=name.transpose
            )
    return found


def _prefix(model: Model) -> str:
    _, form = write_config(model.config)
    return "" if form is None else form.prefix


def _module(tensor: str) -> str:
    return tensor.removesuffix(".weight")


def _one_pair(module: str, group: Sequence[tuple[Name, LoraLinear]]) -> tuple[Tensor, Tensor, float]:
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
    n_out, start = group[0][1].out_features, 0
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


def _task(model: Model) -> str | None:
    """Return peft's word for the model; where that would make it expect a head in the folder, none."""
    config = model.config
    if config.head.kind != "tokens":
        return None
    if config.encoder is not None:
        return "SEQ_2_SEQ_LM"
    return "CAUSAL_LM" if getattr(config.trunk, "sight", "causal") == "causal" else None


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


def _read_pairs(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}", fix="name a folder that peft or Luban wrote")
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_safetensors(path):
        match = re.fullmatch(rf"(?:{re.escape(PREFIX)})?(.+)\.lora_([AB])\.weight", key)
        if match is None:
            raise CheckpointError(f"{path} holds {key}, which is no LoRA of a linear layer", fix=AGAIN)
        halves.setdefault(match[1], {})[match[2]] = tensor.float()
    lame = next((name for name, pair in halves.items() if len(pair) < 2), None)
    if lame or not halves:
        raise CheckpointError(f"{path} lacks A or B of {lame or 'every layer'}", fix=AGAIN)
    return {name: (pair["A"], pair["B"]) for name, pair in halves.items()}


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
    bad = [name for name, t in (("A", a), ("B", b)) if not bool(torch.isfinite(t).all())]
    if bad:
        raise CheckpointError(
            f"{folder}: {bad[0]} of {module} holds values that are infinite or not a number", fix=AGAIN
        )
