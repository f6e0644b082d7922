"""Models made of several: averages and sums of the weights of checkpoints that began as one.

linear: the weighted mean ("soup", arXiv:2203.05482). slerp: along the arc between two. task: the base and
the weighted sum of what each changed (arXiv:2212.04089). ties: of each change the largest numbers, of these
those that agree with the majority's sign, averaged (arXiv:2306.01708). Read, merged and written tensor by
tensor, so that no model is in memory as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from torch import Tensor

from luban.errors import CheckpointError, ConfigError
from luban.files import hash_path, read_json, write_json
from luban.models.weights import SAFE, STORED, stream_safetensors

How = Literal["linear", "slerp", "task", "ties"]
SHAPE = ("architectures", "model_type", "luban")
"""What of config.json must be the same in all."""
MANIFEST = "merge.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeSettings:
    """How models become one."""

    how: How = "linear"
    """The rule."""
    weights: tuple[float, ...] = ()
    """One a model. linear: shares, divided by their sum; slerp: how far from the first to the second, one
    number; task, ties: factors. None: equal shares, halfway, and factors of 1."""
    density: float = 0.2
    """ties: share of each change's numbers that is kept, the largest."""


Rule = Callable[[list[Tensor], "Tensor | None", Sequence[float], MergeSettings], Tensor]


def merge_folders(
    folders: Sequence[Path], out: Path, settings: MergeSettings, *, base: Path | None = None
) -> dict[str, Any]:
    """Write the merger of model folders to `out`, with tokenizer and config of the first; return the facts.

    `base` is the model that all began as; task and ties need it.
    """
    weights = _check(folders, out, settings, base)
    places = [*folders, *([base] if base else [])]
    tables = [_table(folder) for folder in places]
    _check_alike(places, tables)
    out.mkdir(parents=True, exist_ok=True)
    kinds = {name: (entry["dtype"], entry["shape"]) for name, (_, entry) in tables[0].items()}
    with ExitStack() as stack:
        readers = [_Reader(table, stack) for table in tables]
        stream_safetensors(kinds, _merged(readers, list(kinds), weights, settings), out / SAFE)
    _copy_rest(folders[0], out)
    facts = {
        "how": settings.how,
        "weights": list(weights),
        "density": settings.density if settings.how == "ties" else None,
        "inputs": [{"folder": str(p), "hash": hash_path(p / "config.json"), "weights": _hash(t)} for p, t in
                   zip(places, tables, strict=True)],
        "base": str(base) if base else None,
        "tensors": len(kinds),
    }  # fmt: skip
    write_json(out / MANIFEST, facts)
    return facts


def _merged(
    readers: Sequence[_Reader], names: Sequence[str], weights: Sequence[float], settings: MergeSettings
) -> Iterator[Tensor]:
    """Yield each tensor of the merger; the readers beyond the weights' are the base's."""
    n = len(readers) - (settings.how in ("task", "ties"))
    for name in names:
        found = [reader.read(name) for reader in readers]
        if not found[0].is_floating_point():
            yield found[0]
            continue
        parts, start = [t.float() for t in found[:n]], found[-1].float() if n < len(found) else None
        yield RULES[settings.how](parts, start, weights, settings).to(found[0].dtype)


def linear(
    parts: list[Tensor], base: Tensor | None, weights: Sequence[float], settings: MergeSettings
) -> Tensor:
    """Return the weighted mean."""
    total = sum(weights)
    return torch.stack([part * (w / total) for part, w in zip(parts, weights, strict=True)]).sum(0)


def slerp(
    parts: list[Tensor], base: Tensor | None, weights: Sequence[float], settings: MergeSettings
) -> Tensor:
    """Go the share weights[0] of the way along the arc from the first to the second.

    sin((1-t)·a)/sin(a)·x + sin(t·a)/sin(a)·y, where a is the angle between them; in a straight line
    where there is next to none.
    """
    (x, y), t = parts, weights[0]
    cosine = torch.dot(x.flatten(), y.flatten()) / (x.norm() * y.norm()).clamp(min=1e-30)
    if float(cosine.abs()) > STRAIGHT:
        return torch.lerp(x, y, t)
    angle = torch.arccos(cosine)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / torch.sin(angle)


def task(
    parts: list[Tensor], base: Tensor | None, weights: Sequence[float], settings: MergeSettings
) -> Tensor:
    """Add the weighted changes to the base."""
    assert base is not None
    return base + torch.stack([(p - base) * w for p, w in zip(parts, weights, strict=True)]).sum(0)


def ties(
    parts: list[Tensor], base: Tensor | None, weights: Sequence[float], settings: MergeSettings
) -> Tensor:
    """Trim each change, elect a sign for every number, and add the mean of those that have it.

    Signs are elected by the sum of the changes, before their weights.
    """
    assert base is not None
    changes = torch.stack([trimmed(p - base, settings.density) for p in parts])
    agrees = changes.sign() == changes.sum(0).sign()
    weighted = changes * torch.tensor(list(weights)).view(-1, *[1] * base.ndim)
    mean = (weighted * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    return base + mean


def trimmed(change: Tensor, density: float) -> Tensor:
    """Keep the share of the numbers that are largest in size, and make the others 0."""
    n = int(density * change.numel())
    kept = torch.zeros(change.numel(), dtype=torch.bool)
    kept[change.abs().flatten().topk(n).indices] = True
    return torch.where(kept.view(change.shape), change, torch.zeros((), dtype=change.dtype))


STRAIGHT = 0.9995
"""Vectors whose cosine is larger have next to no angle between them."""
RULES: dict[str, Rule] = {"linear": linear, "slerp": slerp, "task": task, "ties": ties}


def _check(
    folders: Sequence[Path], out: Path, settings: MergeSettings, base: Path | None
) -> tuple[float, ...]:
    """Refuse what cannot be merged; return the weights."""
    n, how = len(folders), settings.how
    if n < 2 or (how == "slerp" and n != 2):
        raise ConfigError(
            f"--how {how} of {n} models", fix="name two models" + ("" if how == "slerp" else " or more")
        )
    if (how in ("task", "ties")) != (base is not None):
        why = "needs the model that all began as" if base is None else "has no use for a base"
        raise ConfigError(
            f"--how {how} {why}", fix="give --base FOLDER" if base is None else "leave out --base"
        )
    if not 0 < settings.density <= 1:
        raise ConfigError(f"--density {settings.density} is no share", fix="set it above 0, up to 1")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is there already", fix="name a new folder")
    usual = {"slerp": (0.5,)}.get(how, (1.0,) * n)
    weights = settings.weights or usual
    if len(weights) != len(usual) or (how == "linear" and not sum(weights) > 0):
        raise ConfigError(
            f"--weights {', '.join(f'{w:g}' for w in weights)} do not fit {how} of {n} models",
            fix="give one number between 0 and 1" if how == "slerp" else "give one number for each model",
        )
    return tuple(weights)


def _table(folder: Path) -> dict[str, tuple[Path, Any]]:
    """Return where each tensor of a folder is, and its header: kind and shape."""
    paths = sorted(folder.glob("model*.safetensors"))
    if not paths or not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no model in safetensors", fix="name model folders")
    table: dict[str, tuple[Path, Any]] = {}
    for path in paths:
        try:
            with safetensors.safe_open(path, framework="pt"):  # checks the header
                pass
            with path.open("rb") as f:
                header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        except (safetensors.SafetensorError, ValueError, OSError) as e:
            raise CheckpointError(f"{path} is not a safetensors file: {e}", fix="copy it again") from e
        header.pop("__metadata__", None)
        table |= {name: (path, entry) for name, entry in header.items()}
    return table


def _check_alike(folders: Sequence[Path], tables: Sequence[dict[str, tuple[Path, Any]]]) -> None:
    """Refuse models of other shapes, kinds or vocabularies than the first."""
    first, shapes = folders[0], {name: entry["shape"] for name, (_, entry) in tables[0].items()}
    for folder, table in zip(folders[1:], tables[1:], strict=True):
        lone = sorted(shapes.keys() ^ table.keys())
        if lone:
            where = first if lone[0] in shapes else folder
            raise CheckpointError(
                f"only {where} holds {lone[0]}, so {first} and {folder} are no models of one kind",
                fix="merge models that were tuned from one base",
            )
        for name, (_, entry) in table.items():
            if entry["shape"] != shapes[name]:
                raise CheckpointError(
                    f"{name} is {shapes[name]} in {first} and {entry['shape']} in {folder}",
                    fix="merge models that were tuned from one base",
                )
        ours, theirs = (read_json(f / "config.json") for f in (first, folder))
        other = next((key for key in SHAPE if ours.get(key) != theirs.get(key)), None)
        if other:
            raise CheckpointError(
                f"config.json says {other} = {ours.get(other)!r} in {first} and {theirs.get(other)!r} in "
                f"{folder}",
                fix="merge models of one kind",
            )
        paths = [f / "tokenizer.json" for f in (first, folder)]
        if all(p.is_file() for p in paths) and hash_path(paths[0]) != hash_path(paths[1]):
            raise CheckpointError(
                f"{first} and {folder} have different tokenizers",
                fix="merge models that read the same tokens",
            )


class _Reader:
    """Reads one tensor after another."""

    def __init__(self, table: dict[str, tuple[Path, Any]], stack: ExitStack):
        self._table = table
        self._files = {p: stack.enter_context(p.open("rb")) for p in {path for path, _ in table.values()}}
        self._starts = {p: 8 + int.from_bytes(f.read(8), "little") for p, f in self._files.items()}

    def read(self, name: str) -> Tensor:
        path, entry = self._table[name]
        begin, end = entry["data_offsets"]
        file = self._files[path]
        file.seek(self._starts[path] + begin)
        data = bytearray(file.read(end - begin))
        kind = STORED[entry["dtype"]]
        found = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
        if found.is_floating_point() and not bool(found.float().isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} holds numbers that are not finite", fix="leave that model out"
            )
        return found.view(entry["shape"])


def _hash(table: dict[str, tuple[Path, Any]]) -> str:
    paths = sorted({path for path, _ in table.values()})
    return hash_path(paths[0]) if len(paths) == 1 else "+".join(hash_path(path) for path in paths)


def _copy_rest(folder: Path, out: Path) -> None:
    """Copy what is small and not of one run: config, tokenizer, chat template."""
    for pattern in (
        "config.json",
        "generation_config.json",
        "*token*",
        "vocab*",
        "merges.txt",
        "chat_template*",
    ):
        for path in folder.glob(pattern):
            if path.is_file():
                (out / path.name).write_bytes(path.read_bytes())
