"""Prompts and prefixes in a folder that the library `peft` reads, and folders that it wrote."""

from __future__ import annotations

from pathlib import Path

import torch

from luban.errors import CheckpointError
from luban.files import read_json, write_json
from luban.models.family import Json
from luban.models.model import Model
from luban.models.weights import read_safetensors, write_safetensors
from luban.tune.front import Kind, attach_front, front_of
from luban.tune.origin import check_origin, write_origin
from luban.tune.peft_folder import AGAIN, CONFIG, WEIGHTS
from luban.tune.peft_names import head_tensors, module_of, place_tensors, task_type

TABLE, PREFIX = "prompt_embeddings", "base_model."
KINDS: dict[str, Kind] = {"PROMPT_TUNING": "prompt", "PREFIX_TUNING": "prefix"}


def save_front(model: Model, folder: Path, *, base: str) -> None:
    """Write what stands in front, and the head if a task has put it on."""
    front = front_of(model)
    assert front is not None
    head = head_tensors(model)
    config = {
        "peft_type": next(theirs for theirs, kind in KINDS.items() if kind == front.kind),
        "task_type": task_type(model),
        "base_model_name_or_path": base,
        "modules_to_save": sorted({module_of(key) for key in head}) or None,
        "num_virtual_tokens": front.n,
        "inference_mode": True,
        **_sizes(model, front.kind),
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{PREFIX}{key}": tensor.contiguous() for key, tensor in head.items()}
    write_safetensors(tensors | {TABLE: front.table.detach().contiguous()}, folder / WEIGHTS)
    write_json(folder / CONFIG, config)
    write_origin(model, folder, base)


def load_front(model: Model, folder: Path) -> None:
    """Put the prompt or prefix of a folder on a model; it alone learns, if anything."""
    config, path = read_json(folder / CONFIG), folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}", fix="name a folder that peft or Luban wrote")
    kind = KINDS[config["peft_type"]]
    tensors = {key.removeprefix(PREFIX): tensor.float() for key, tensor in read_safetensors(path)}
    table = tensors.pop(TABLE, None)
    sizes = _sizes(model, kind)
    width = sizes["token_dim"] * (2 * sizes["num_layers"] if kind == "prefix" else 1)
    if table is None or table.ndim != 2 or not bool(torch.isfinite(table).all()):
        raise CheckpointError(f"{path} holds no table {TABLE} of finite numbers", fix=AGAIN)
    if table.shape[1] != width:
        raise CheckpointError(
            f"{folder}: its {kind} is {table.shape[1]} numbers a place, and the model's would be {width}",
            fix="use the model that the adapter was made for",
        )
    check_origin(model, folder)
    place_tensors(model, tensors, path)
    model.requires_grad_(False)
    attach_front(model, kind, table.clone())


def _sizes(model: Model, kind: Kind) -> Json:
    """Return peft's words for the model's measures; for a prefix, those of its keys."""
    trunk = model.config.trunk
    n_heads = getattr(trunk, "n_heads", 1)
    sizes: Json = {"num_layers": trunk.n_layers, "num_transformer_submodules": 1}
    if kind == "prompt":
        return sizes | {
            "token_dim": trunk.dim,
            "num_attention_heads": n_heads,
            "prompt_tuning_init": "RANDOM",
        }
    n_kv_heads, head_dim = getattr(trunk, "n_kv_heads", 1), getattr(trunk, "head_dim", 1)
    return sizes | {
        "token_dim": n_kv_heads * head_dim,
        "num_attention_heads": n_kv_heads,
        "encoder_hidden_size": n_kv_heads * head_dim,
        "prefix_projection": False,
    }
