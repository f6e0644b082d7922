"""A model folder as people have it: whole, or an adapter that names the model it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from luban.errors import CheckpointError
from luban.files import read_json
from luban.models.config import HeadConfig, ModelConfig
from luban.models.folder import read_config
from luban.models.load import load_model
from luban.models.model import Model
from luban.models.weights import read_safetensors
from luban.tune.bottleneck import KIND, load_bottlenecks
from luban.tune.front_folder import load_front
from luban.tune.origin import ORIGIN
from luban.tune.peft_folder import AGAIN, CONFIG, WEIGHTS, load_adapter
from luban.tune.peft_names import NEW_HEADS

LOADERS: dict[str, Callable[[Model, Path], Any]] = {
    "LORA": load_adapter,
    "PROMPT_TUNING": load_front,
    "PREFIX_TUNING": load_front,
    KIND: load_bottlenecks,
}
"""Kind of an adapter folder → what puts it on a model."""
POOLS: dict[str, Any] = {"causal": "last", "full": "first"}


def load_tuned(folder: Path, **more: Any) -> Model:
    """Open a model folder, or an adapter folder with the model that it names; `more` as for `load_model`."""
    if not is_adapter(folder):
        return load_model(folder, **more)
    base = base_of(folder)
    if "head" not in more and (head := _new_head(folder, base)) is not None:
        more["head"] = head
    model = load_model(base, **more)
    put_adapter(model, folder)
    return model.eval()


def read_tuned_config(folder: Path) -> ModelConfig:
    """Return the config of the model that `load_tuned` opens, what stands in front of its rows apart."""
    if (folder / "config.json").is_file():
        return read_config(folder)
    base = base_of(folder)
    return read_config(base, head=_new_head(folder, base))


def put_adapter(model: Model, folder: Path) -> None:
    """Put the adapter of a folder on a model, whatever kind it is."""
    LOADERS[_kind(folder)](model, folder)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).is_file() and not list(folder.glob("model*.safetensors"))


def base_of(folder: Path) -> Path:
    """Return the folder of the model that an adapter belongs to; a relative path begins there, or here."""
    _kind(folder)
    named = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not named:
        raise CheckpointError(
            f"{folder / CONFIG} does not say which model the adapter belongs to",
            fix='write the model\'s folder there: "base_model_name_or_path": "FOLDER"',
        )
    places = [folder / named, Path(named)]
    found = next((p for p in places if (p / "config.json").is_file()), None)
    if found is None:
        raise CheckpointError(
            f"{folder} is an adapter for {named}, and there is no such model folder here",
            fix='get that model, and write where it is into adapter_config.json: "base_model_name_or_path"',
        )
    return found


def tokenizer_folder(folder: Path) -> Path:
    """Return where the tokenizer of a folder is: there, or with the model that an adapter names."""
    return base_of(folder) if is_adapter(folder) and not (folder / "tokenizer.json").is_file() else folder


def _kind(folder: Path) -> str:
    path = folder / CONFIG
    config = read_json(path)
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind not in LOADERS:
        raise CheckpointError(
            f"{path}: peft_type = {kind!r} is not supported",
            fix=f"use {', '.join(LOADERS)}; or merge the adapter with peft, and use that",
        )
    return str(kind)


def _new_head(folder: Path, base: Path) -> HeadConfig | None:
    """Return the head that an adapter brings to a base that has another; None if the base has it."""
    task = read_json(folder / CONFIG).get("task_type")
    kind: Any = next((ours for ours, theirs in NEW_HEADS.items() if theirs == task), None)
    config = read_config(base)
    if kind is None or config.head.kind == kind:
        return None
    if kind == "spans":
        return HeadConfig(kind=kind, bias=True)
    origin = folder / ORIGIN
    labels = read_json(origin).get("labels", []) if origin.is_file() else []
    n = _n_classes(folder / WEIGHTS)
    if len(labels) != n:
        labels = [f"LABEL_{i}" for i in range(n)]
    pool = POOLS[getattr(config.trunk, "sight", "full")]
    return HeadConfig(kind=kind, n_classes=n, labels=tuple(labels), pool=pool)


def _n_classes(path: Path) -> int:
    for key, tensor in read_safetensors(path):
        if key.endswith((".score.weight", ".classifier.weight", ".out_proj.weight", "classes.weight")):
            return len(tensor)
    raise CheckpointError(f"{path} brings no head for the classes that its config names", fix=AGAIN)
