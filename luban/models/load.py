"""A model folder in the Hugging Face layout: config.json and model.safetensors, read and written."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from luban.errors import CheckpointError
from luban.files import write_json
from luban.log import Log
from luban.models.changes import Changes, apply_changes
from luban.models.config import HeadConfig, ModelConfig
from luban.models.family import Format, Name
from luban.models.folder import CONFIG, OWN, format_of, read_config, write_config
from luban.models.initialise import constants, initialise
from luban.models.model import Model
from luban.models.weights import SHARD_BYTES, read_weights, write_weights

EMBEDDING, TIED, POOLER = "stem.tokens.weight", "head.weight", "head.pooler.weight"
MOST_COMPUTED = 2**28
"""Numbers of the largest table that is computed where a file does not hold it: 1 GiB."""
FRESH = ("head.classes.", "head.tags.", "head.spans.")
"""A new head of these never takes over an old one, whatever their shapes."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What of a checkpoint did not become part of the model, and what of the model is new."""

    dropped: tuple[str, ...] = ()
    """Their tensors that belong to a head this model does not have."""
    new: tuple[str, ...] = ()
    """Our parameters that the checkpoint does not hold; freshly initialised."""
    buffers: tuple[str, ...] = ()
    """Their tensors that are constants, not weights."""
    resized: tuple[str, ...] = ()
    """Our parameters that were given another shape."""
    reinitialised: tuple[str, ...] = ()
    """Our parameters that begin anew though the checkpoint holds them."""


def load_model(
    folder: Path,
    *,
    head: HeadConfig | None = None,
    changes: Changes | None = None,
    log: Log | None = None,
    seed: int = 1,
) -> Model:
    """Read a model in float32, ready to be used.

    `head` replaces the folder's own head; `changes` are made once all is read. New weights are drawn by
    `seed`. What was dropped or changed and what is new stands in `model.load_report`, and goes to the
    log, a line a tensor; that a tensor is left out in silence cannot happen.
    """
    config = read_config(folder, head=head)
    weights = read_weights(folder)
    form = format_of(folder) or _own_format(weights)
    theirs, buffers = _sort_out(weights, form)
    config = _as_stored(config, theirs, form)
    _check_depth(config, theirs, folder)
    model = _empty(config, folder)
    _check_computed(model, folder)
    matching = _Matching(theirs, model, form, folder, is_swap=head is not None)
    found, report = matching.run()
    report = dataclasses.replace(report, buffers=buffers)
    model.load_state_dict(found, strict=False, assign=True)
    model.tie()
    initialise(model, seed, only=frozenset(matching.fresh))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    resized, anew = apply_changes(model, changes or Changes(), seed)
    report = dataclasses.replace(report, resized=resized, reinitialised=anew)
    model.load_report = report
    if log:
        _tell(log, folder, report, shapes, model)
    return model.eval()


def _tell(
    log: Log, folder: Path, report: LoadReport, shapes: dict[str, tuple[int, ...]], model: Model
) -> None:
    now = {name: tuple(p.shape) for name, p in model.named_parameters()}
    lines = [
        *((name, "not loaded") for name in report.dropped),
        *((name, "newly initialised") for name in report.new),
        *((name, f"{shapes[name]} made {now[name]}") for name in report.resized),
        *((name, "not kept: initialised anew") for name in report.reinitialised),
    ]
    for name, what in lines:
        log.say(f"{folder}: {name}: {what}", tensor=name)


def save_model(
    model: Model, folder: Path, *, dtype: torch.dtype | None = None, max_shard_bytes: int = SHARD_BYTES
) -> None:
    """Write config.json and model.safetensors, which Luban and `transformers` read alike.

    `dtype` is that of the numbers in the file (None: the model's own); a model larger than
    `max_shard_bytes` is written as several files and their index.
    """
    config, theirs_or_own = write_config(model.config)
    ours = dict(model.named_parameters())  # a tied matrix is in it once
    form = theirs_or_own or _own_format(ours)
    groups: dict[str, list[Name]] = {}
    written: set[str] = set()
    for name in form.tensors(model.config):
        is_asked = name.ours not in written or name.when is not None
        if name.ours in ours and is_asked and name.fits(model.config):
            groups.setdefault(name.theirs, []).append(name)
            written.add(name.ours)
    theirs = {}
    for key, group in groups.items():
        pieces = [ours[n.ours].detach() for n in group]
        whole = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        whole = whole.clone() if group[0].when is not None else whole  # perhaps there under two names
        whole = whole.t() if group[0].transpose else whole
        if model.config.head.kind in ("none", "vector"):
            key = key.removeprefix(form.prefix)
        theirs[key] = whole.unsqueeze(0) if group[0].row else whole
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(theirs, folder, dtype=dtype, max_shard_bytes=max_shard_bytes)
    stored = dtype or next(model.parameters()).dtype
    write_json(folder / CONFIG, config | {"dtype": str(stored).removeprefix("torch.")})


def _own_format(tensors: Mapping[str, Tensor]) -> Format:
    """Luban's own: every tensor has the name of its parameter."""
    names = tuple(Name(name, name) for name in tensors)
    return Format(model_type=OWN, fields=(), names=names, heads={}, is_tied=True)


def _sort_out(tensors: dict[str, Tensor], form: Format) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Divide tensors into weights, under the names that newer files give them, and constants."""
    weights, buffers = {}, []
    for key in list(tensors):
        tensor = tensors.pop(key)  # so that nothing but the matching holds it
        if re.search(form.buffers, key):
            buffers.append(key)
            continue
        for old, new in form.renames:
            if key.endswith(old):
                key = key.removesuffix(old) + new
        if key.startswith(form.prefix):
            key = key.removeprefix(form.prefix)
        weights[key] = tensor
    return weights, tuple(buffers)


def _as_stored(config: ModelConfig, theirs: dict[str, Tensor], form: Format) -> ModelConfig:
    """Follow the weights where the format allows both: an encoder with or without its pooler, and token
    scores from the embedding or from a matrix of their own."""
    head = config.head
    names = {n.ours: n.theirs.removeprefix(form.prefix) for n in reversed(form.names)}
    if head.kind == "none" and head.layer == "pooler" and names.get(POOLER) not in theirs:
        head = dataclasses.replace(head, layer="none")
    if head.kind == "tokens":
        embedding, scores = (theirs.get(names.get(name, "")) for name in (EMBEDDING, TIED))
        has_both = embedding is not None and scores is not None
        if head.tied and has_both and not torch.equal(embedding, scores):  # type: ignore[arg-type]
            head = dataclasses.replace(head, tied=False)
    return dataclasses.replace(config, head=head)


def _check_depth(config: ModelConfig, theirs: dict[str, Tensor], folder: Path) -> None:
    n_layers = config.n_layers + (config.encoder.n_layers if config.encoder else 0)
    if n_layers > len(theirs):  # before a hostile number builds a model of that depth
        raise CheckpointError(
            f"{folder}: config.json says {n_layers} layers, but the weights are {len(theirs)} tensors",
            fix="copy config.json and the weights again from one source",
        )


def _empty(config: ModelConfig, folder: Path) -> Model:
    try:
        with torch.device("meta"):
            return Model(config)
    except (RuntimeError, TypeError) as e:  # a product of numbers that overflows
        raise CheckpointError(
            f"{folder}: config.json describes no model that can be: {str(e).splitlines()[0]}",
            fix="copy config.json again from its source",
        ) from e


def _check_computed(model: Model, folder: Path) -> None:
    """Refuse positions that are computed, not stored, where there are more than memory should hold."""
    for name in constants(model):
        p = model.get_parameter(name)
        if p.numel() > MOST_COMPUTED:
            raise CheckpointError(
                f"{folder}: config.json asks for {p.shape[0]} positions of {p.shape[1]} numbers",
                fix="copy config.json again, or lower the longest row there",
            )


class _Matching:
    """Finds for each of our parameters its tensor in a checkpoint, and accounts for every tensor."""

    def __init__(self, theirs: dict[str, Tensor], model: Model, form: Format, folder: Path, *, is_swap: bool):
        self.theirs, self.form, self.folder, self.is_swap = theirs, form, folder, is_swap
        self.config = model.config
        self.ours = dict(model.named_parameters())
        self.found: dict[str, Tensor] = {}
        self.dropped: dict[str, None] = {}
        self.seen: set[str] = set()
        self.n_copied: dict[str, int] = {}
        self.computed = constants(model)
        self.fresh: set[str] = set()
        """Our parameters that are still to be drawn or computed."""

    def run(self) -> tuple[dict[str, Tensor], LoadReport]:
        names = list(self.form.tensors(self.config))
        # First the names that such a model's tensors have for sure, last what other heads call theirs.
        for name in sorted(names, key=lambda n: (not n.fits(self.config), n.when is None)):
            self._take(name)
        self._check_unexpected()
        new = tuple(self._check_missing())
        self.fresh = {*new, *(self.computed - self.found.keys())}
        empty = {name: torch.empty(self.ours[name].shape) for name in self.fresh}
        return self.found | empty, LoadReport(tuple(self.dropped), new)

    def _take(self, name: Name) -> None:
        key = name.theirs.removeprefix(self.form.prefix)
        if key not in self.theirs or (not name.fits(self.config) and key in self.seen):
            return
        is_ours = name.ours in self.ours and name.fits(self.config)
        is_ours = is_ours and not (self.is_swap and name.ours.startswith(FRESH))
        if is_ours and name.ours not in self.found:
            self.seen.add(key)
            self.found[name.ours] = self._piece(name, self.theirs[key])
            self._let_go(name, key)
        elif self._is_double(name, self.theirs[key]):
            self.seen.add(key)
        elif name.ours.startswith("head."):
            self.seen.add(key)
            self.dropped[name.theirs] = None

    def _piece(self, name: Name, tensor: Tensor) -> Tensor:
        want = self.ours[name.ours].shape
        i, n = name.part
        whole = (*([1] if name.row else []), want[0] * n, *want[1:])
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
        tensor = tensor.squeeze(0) if name.row else tensor
        tensor = tensor.t() if name.transpose else tensor
        return tensor.chunk(n)[i].contiguous() if n > 1 else tensor.contiguous()

    def _let_go(self, name: Name, key: str) -> None:
        """Free a tensor that was copied in all its parts, so that the memory never holds the model twice."""
        self.n_copied[key] = self.n_copied.get(key, 0) + (name.transpose or name.part[1] > 1)
        if self.n_copied[key] == name.part[1]:
            self.theirs[key] = torch.empty(0)

    def _is_double(self, name: Name, tensor: Tensor) -> bool:
        """Whether a file holds a tied matrix, or a bias of two names, a second time."""
        tied = name.ours == TIED and self.config.head.kind == "tokens" and self.config.head.tied
        first = self.found.get(EMBEDDING if tied else name.ours)
        return first is not None and torch.equal(first, tensor)

    def _check_unexpected(self) -> None:
        unexpected = sorted(set(self.theirs) - self.seen)
        if self.is_swap:  # what stands outside the trunk is another head
            known = {n.theirs.removeprefix(self.form.prefix).split(".")[0] for n in self.form.names}
            others = [key for key in unexpected if key.split(".")[0] not in known]
            self.dropped |= dict.fromkeys(others)
            unexpected = [key for key in unexpected if key not in others]
        if unexpected:
            raise CheckpointError(
                f"{self.folder}: the weights hold {_some(unexpected)}, for which config.json has no place",
                fix="copy config.json and the weights again from one source",
            )

    def _check_missing(self) -> list[str]:
        missing = [name for name in self.ours if name not in self.found and name not in self.computed]
        lost = [name for name in missing if not (self.is_swap and name.startswith("head."))]
        if lost:
            names = {n.ours: n.theirs for n in reversed(list(self.form.tensors(self.config)))}
            raise CheckpointError(
                f"{self.folder}: the weights lack {_some([names.get(n, n) for n in lost])}",
                fix="copy the weights again; to put a new head on the trunk, load_model(head=...)",
            )
        return missing


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
