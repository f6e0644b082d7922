"""A model folder in the Hugging Face layout: config.json and model.safetensors, read and written."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.errors import CheckpointError
from luban.files import read_json, write_json
from luban.log import Log
from luban.models.build import initialise
from luban.models.config import HeadConfig, ModelConfig
from luban.models.families import FAMILIES
from luban.models.family import Family, Json, Name
from luban.models.model import Model
from luban.models.weights import read_weights, write_weights

CONFIG = "config.json"
OWN = "luban"
"""Key of config.json for what the format has no word for."""
EMBEDDING, TIED = "stem.tokens.weight", "head.weight"
FRESH = "head.classes."
"""A new head of classes never takes over an old one, whatever their shapes."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What of a checkpoint did not become part of the model, and what of the model is new."""

    dropped: tuple[str, ...] = ()
    """Their tensors that belong to a head this model does not have."""
    new: tuple[str, ...] = ()
    """Our parameters that the checkpoint does not hold; freshly initialised."""
    buffers: tuple[str, ...] = ()
    """Their tensors that are constants, not weights."""


def load_model(
    folder: Path, *, head: HeadConfig | None = None, log: Log | None = None, seed: int = 1
) -> Model:
    """Read a model in float32, ready to be used.

    `head` replaces the folder's own head; its new weights are drawn by `seed`. What was dropped and
    what is new stands in `model.load_report`, and goes to the log.
    """
    config = read_config(folder, head=head)
    family = FAMILIES[config.family]
    theirs, buffers = _sort_out(read_weights(folder), family)
    config = _with_pooler_of(config, theirs)
    _check_depth(config, theirs, folder)
    with torch.device("meta"):
        model = Model(config)
    weights, report = _Matching(theirs, model, family, folder, is_swap=head is not None).run()
    report = dataclasses.replace(report, buffers=buffers)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie()
    initialise(model, seed, only=frozenset(report.new))
    model.load_report = report
    for word, names in (("not loaded", report.dropped), ("newly initialised", report.new)):
        if names and log:
            log.say(f"{folder}: {word}: {', '.join(names)}", tensors=list(names))
    return model.eval()


def save_model(model: Model, folder: Path) -> None:
    """Write config.json and model.safetensors, which Luban and `transformers` read alike."""
    family = FAMILIES[model.config.family]
    ours = dict(model.named_parameters())  # a tied matrix is in it once
    groups: dict[str, list[Name]] = {}
    written: set[str] = set()
    for name in family.tensors(model.config):
        if name.ours in ours and name.ours not in written:
            groups.setdefault(name.theirs, []).append(name)
            written.add(name.ours)
    theirs = {}
    for key, group in groups.items():
        whole = torch.cat([ours[n.ours].detach() for n in group])
        key = key.removeprefix(family.prefix) if model.config.head.kind == "none" else key
        theirs[key] = whole.t() if group[0].transpose else whole
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(theirs, folder)
    write_json(folder / CONFIG, _write_config(model.config, family))


def read_config(folder: Path, *, head: HeadConfig | None = None) -> ModelConfig:
    """Read config.json, of Luban or of any supported Hugging Face model; `head` replaces its own."""
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {CONFIG}", fix="name a model folder, such as one `luban train` wrote"
        )
    config = read_json(path)
    family = _family(config if isinstance(config, dict) else {}, path)
    found = head or _read_head(config, family, path)
    return dataclasses.replace(family.read(config), head=family.fit_head(found))


def _family(config: Json, path: Path) -> Family:
    kind = config.get("model_type")
    for family in FAMILIES.values():
        if family.model_type == kind:
            return family
    known = ", ".join(f.model_type for f in FAMILIES.values())
    what = f"model_type = {kind!r} is not supported" if kind else "model_type is missing"
    raise CheckpointError(f"{path}: {what}", fix=f"supported are: {known}")


def _read_head(config: Json, family: Family, path: Path) -> HeadConfig:
    architectures = config.get("architectures") or []
    kind = next((family.heads[a] for a in architectures if a in family.heads), None)
    if kind is None:
        what = (
            f"architectures = {architectures} is not supported"
            if architectures
            else "architectures is missing"
        )
        raise CheckpointError(
            f"{path}: {what}",
            fix=f"supported are: {', '.join(family.heads)}; or give load_model a new head",
        )
    tied = bool(config.get("tie_word_embeddings", family.is_tied))
    if kind != "classes":
        return HeadConfig(kind=kind, tied=tied)
    own = config.get(OWN) or {}
    labels = _labels(config)
    return HeadConfig(
        kind=kind, n_classes=len(labels), labels=labels, pool=own.get("pool", family.pool), tied=tied
    )


def _labels(config: Json) -> tuple[str, ...]:
    named = config.get("id2label")
    if named:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    return tuple(f"LABEL_{i}" for i in range(config.get("num_labels", 2)))


def _write_config(config: ModelConfig, family: Family) -> Json:
    head = config.head
    written: dict[str, Any] = {
        "architectures": [next(a for a, kind in family.heads.items() if kind == head.kind)],
        "model_type": family.model_type,
        "dtype": "float32",
        "tie_word_embeddings": head.tied,
        **family.write(config),
    }
    if head.kind == "classes":
        written["id2label"] = {str(i): label for i, label in enumerate(head.labels)}
        written["label2id"] = {label: i for i, label in enumerate(head.labels)}
        written[OWN] = {"pool": head.pool}
    return written


def _sort_out(tensors: dict[str, Tensor], family: Family) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Divide tensors into weights, under the names that newer files give them, and constants."""
    weights, buffers = {}, []
    for key, tensor in tensors.items():
        if re.search(family.buffers, key):
            buffers.append(key)
            continue
        for old, new in family.renames:
            if key.endswith(old):
                key = key.removesuffix(old) + new
        if key.startswith(family.prefix):
            key = key.removeprefix(family.prefix)
        weights[key] = tensor
    return weights, tuple(buffers)


def _with_pooler_of(config: ModelConfig, theirs: dict[str, Tensor]) -> ModelConfig:
    """A trunk without a head may come with BERT's pooler or without: the format allows both."""
    head = config.head
    if head.kind == "none" and head.layer == "pooler" and not any(k.startswith("pooler.") for k in theirs):
        return dataclasses.replace(config, head=dataclasses.replace(head, layer="none"))
    return config


def _check_depth(config: ModelConfig, theirs: dict[str, Tensor], folder: Path) -> None:
    if config.n_layers > len(theirs):  # before a hostile number builds a model of that depth
        raise CheckpointError(
            f"{folder}: config.json says {config.n_layers} layers, but the weights are {len(theirs)} tensors",
            fix="copy config.json and the weights again from one source",
        )


class _Matching:
    """Finds for each of our parameters its tensor in a checkpoint, and accounts for every tensor."""

    def __init__(
        self, theirs: dict[str, Tensor], model: Model, family: Family, folder: Path, *, is_swap: bool
    ):
        self.theirs, self.family, self.folder, self.is_swap = theirs, family, folder, is_swap
        self.config = model.config
        self.ours = dict(model.named_parameters())
        self.found: dict[str, Tensor] = {}
        self.dropped: dict[str, None] = {}
        self.seen: set[str] = set()

    def run(self) -> tuple[dict[str, Tensor], LoadReport]:
        for name in self.family.tensors(self.config):
            self._take(name)
        self._check_unexpected()
        new = tuple(self._check_missing())
        fresh = {name: torch.empty_like(self.ours[name], device="cpu") for name in new}
        return self.found | fresh, LoadReport(tuple(self.dropped), new)

    def _take(self, name: Name) -> None:
        key = name.theirs.removeprefix(self.family.prefix)
        if key not in self.theirs:
            return
        is_ours = name.ours in self.ours and not (self.is_swap and name.ours.startswith(FRESH))
        if is_ours and name.ours not in self.found:
            self.seen.add(key)
            self.found[name.ours] = self._piece(name, self.theirs[key])
        elif name.ours.startswith("head."):
            self.seen.add(key)
            if not self._is_double(name, self.theirs[key]):
                self.dropped[name.theirs] = None

    def _piece(self, name: Name, tensor: Tensor) -> Tensor:
        want = self.ours[name.ours].shape
        i, n = name.part
        whole = (want[0] * n, *want[1:])
        expected = tuple(reversed(whole)) if name.transpose else whole
        if tuple(tensor.shape) != expected:
            raise CheckpointError(
                f"{self.folder}: {name.theirs} has the shape {tuple(tensor.shape)}, "
                f"but config.json asks for {expected}",
                fix="copy config.json and the weights again from one source",
            )
        if tensor.dtype != torch.float32:  # reading made every plain float that
            raise CheckpointError(
                f"{self.folder}: {name.theirs} holds {tensor.dtype}, a quantised form that is not supported",
                fix="use the model in float32, bfloat16 or float16",
            )
        tensor = tensor.t() if name.transpose else tensor
        return tensor.chunk(n)[i].contiguous() if n > 1 else tensor.contiguous()

    def _is_double(self, name: Name, tensor: Tensor) -> bool:
        """Whether a file holds a tied matrix, or a bias of two names, a second time."""
        tied = name.ours == TIED and self.config.head.kind == "tokens" and self.config.head.tied
        first = self.found.get(EMBEDDING if tied else name.ours)
        return first is not None and torch.equal(first, tensor)

    def _check_unexpected(self) -> None:
        unexpected = sorted(set(self.theirs) - self.seen)
        if self.is_swap:  # what stands outside the trunk is another head
            known = {n.theirs.removeprefix(self.family.prefix).split(".")[0] for n in self.family.names}
            others = [key for key in unexpected if key.split(".")[0] not in known]
            self.dropped |= dict.fromkeys(others)
            unexpected = [key for key in unexpected if key not in others]
        if unexpected:
            raise CheckpointError(
                f"{self.folder}: the weights hold {_some(unexpected)}, for which config.json has no place",
                fix="copy config.json and the weights again from one source",
            )

    def _check_missing(self) -> list[str]:
        missing = [name for name in self.ours if name not in self.found]
        lost = [name for name in missing if not (self.is_swap and name.startswith("head."))]
        if lost:
            names = {n.ours: n.theirs for n in reversed(list(self.family.tensors(self.config)))}
            raise CheckpointError(
                f"{self.folder}: the weights lack {_some([names.get(n, n) for n in lost])}",
                fix="copy the weights again; to put a new head on the trunk, load_model(head=...)",
            )
        return missing


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
