"""Which model an adapter was made for, so that it is never put on another one of the same shape."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from luban.errors import CheckpointError
from luban.files import read_json, write_json
from luban.models.model import Model
from luban.tune.low_rank import LowRank

ORIGIN = "base.json"
ADDED = ("magnitude", "change_down_bias", "change_up_bias")
"""Last parts of the names of vectors that adapters add to layers."""
N_ROWS = 4096
"""Rows of the embedding that are looked at."""


def write_origin(model: Model, folder: Path, base: str) -> None:
    """Note the base model of an adapter: its path, and hashes of some of its weights."""
    write_json(folder / ORIGIN, {"base": base, "labels": list(model.config.head.labels), **marks(model)})


def check_origin(model: Model, folder: Path) -> None:
    """Refuse an adapter whose base had other weights than this model; older folders do not say."""
    path = folder / ORIGIN
    if not path.is_file():
        return
    noted, found = read_json(path), marks(model)
    wrong = [part for part, mark in found.items() if mark and noted.get(part) and noted[part] != mark]
    if wrong:
        raise CheckpointError(
            f"{folder} was made for {noted.get('base') or 'another model'}: "
            f"the {' and the '.join(wrong)} of this model hold other numbers",
            fix="put the adapter on that very model; base.json in its folder tells more",
        )


def marks(model: Model) -> dict[str, str]:
    """Return hashes of the embedding, the norms and biases, and one matrix that can have an adapter."""
    thin = [
        p
        for name, p in model.trunk.named_parameters()
        if p.ndim == 1 and name.rpartition(".")[2] not in ADDED
    ]
    found = {}
    if _is_base(model.stem.tokens):
        found["embedding"] = _hash(model.stem.tokens.weight[:N_ROWS])
    if thin:
        found["norms"] = _hash(torch.cat([p.detach().flatten() for p in thin]))
    matrix = _first_matrix(model)
    return found if matrix is None else found | {"first matrix": _hash(matrix)}


def _first_matrix(model: Model) -> Tensor | None:
    """Return the first matrix of the trunk; none where it is not held in floats."""
    for module in model.trunk.modules():
        if isinstance(module, torch.nn.Linear):
            return module.weight if _is_base(module) else None
    return None


def _is_base(module: torch.nn.Module) -> bool:
    """Whether the layer's weight is the base model's own, in floats."""
    return "weight" in module._parameters and not (isinstance(module, LowRank) and module.is_merged)


def _hash(tensor: Tensor) -> str:
    array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(array.data).hexdigest()
