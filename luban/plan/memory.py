"""What a training run will hold in memory and on the disk, worked out from its config and settings.

A probe measures (luban/train/probe.py); this is known before anything is loaded, and says what a change
of the settings would save.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from luban.models.config import ModelConfig, TransformerConfig
from luban.plan import machine

WEIGHT = 4
"""Bytes: weights and gradients are float32 whatever the precision of products."""
STATE = {"adamw": 8, "adam": 8, "sgd": 4, "adafactor": 0, "muon": 4}
"""Bytes an optimizer keeps for a learning weight: two moments, one, or next to none (arXiv:1804.04235)."""
LOGIT_BYTES = 3 * (32 << 20)
"""A chunk of the scores, their softmax and its gradient; the loss takes them chunk by chunk."""
REST = 450_000_000
"""Python, torch and its libraries. Measured: 0.39 to 0.47 GB."""
BACKWARD = 2
"""The widest activations of one layer exist so many times more while its gradient is computed."""

SHORTEST = 32
"""No shorter rows are proposed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes by what holds them."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    logits: int
    rest: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What decides the memory of a run."""

    config: ModelConfig
    parameters: int
    learning: int
    """Parameters that learn."""
    matrices: int
    """Those of them that are in matrices beside the embeddings: what muon steps."""
    positions: int
    """Places for tokens in a micro-batch, the source's included."""
    length: int
    """Of its longest rows."""
    n_micro_batches: int
    size: tuple[str, int]
    """Name and value of the setting that says how large a micro-batch is."""
    optimizer: str = "adamw"
    momentum: float = 0.9
    averages: bool = False
    recompute: str = "none"
    adapts: bool = False
    """Whether only adapters learn."""
    keep_last: int = 2
    length_name: str = "context"
    """The setting that bounds the length of rows."""

    @property
    def memory(self) -> Memory:
        """What it holds at its peak."""
        return Memory(
            weights=WEIGHT * self.parameters,
            gradients=WEIGHT * self.learning,
            optimizer=self.state,
            average=WEIGHT * self.learning if self.averages else 0,
            activations=WEIGHT * _activations(self),
            logits=min(LOGIT_BYTES, 12 * self.positions * self.config.vocab_size)
            if self.config.head.kind == "tokens"
            else 0,
            rest=REST,
        )

    @property
    def state(self) -> int:
        """Bytes of the optimizer's state."""
        each = STATE[self.optimizer] if self.momentum or self.optimizer != "sgd" else 0
        rest = self.learning - self.matrices if self.optimizer == "muon" else 0
        return each * (self.learning - rest) + STATE["adamw"] * rest

    @property
    def disk(self) -> int:
        """Bytes that its folder grows to, the checkpoint that is being written included."""
        return disk_bytes(self.parameters, self.learning, self.state, self.averages, self.keep_last)


def disk_bytes(parameters: int, learning: int, state: int, averages: bool, keep_last: int) -> int:
    """Return the bytes of all checkpoints, the best weights twice while they change, and the final model."""
    one = WEIGHT * learning * (2 if averages else 1) + state
    return (keep_last + 1) * one + 2 * WEIGHT * learning + WEIGHT * parameters


def load_of(config: ModelConfig, settings: Mapping[str, Any]) -> Load:
    """Work out the load of a training stage from the model's config and the resolved settings."""
    import torch  # only who trains asks, and it will need torch

    from luban.models.model import Model

    with torch.device("meta"):
        sizes = dict(Model(config).named_parameters())
    lora = settings.get("lora") if settings.get("method") == "lora" else None
    learns = {
        name: p
        for name, p in sizes.items()
        if p.requires_grad and not any(fnmatchcase(name, f) for f in settings.get("freeze") or ())
    }
    learning = sum(p.numel() for p in learns.values())
    if lora:
        learning = sum(
            lora["rank"] * sum(p.shape)
            for name, p in sizes.items()
            if p.ndim == 2 and any(fnmatchcase(name, f"{t}.weight") for t in lora["targets"])
        )
    name = "tokens_per_batch" if "tokens_per_batch" in settings else "batch_size"
    width = int(settings.get("context") or min(settings.get("max_len") or config.max_len, config.max_len))
    positions = settings[name] * (1 if name == "tokens_per_batch" else width)
    return Load(
        config=config,
        parameters=sum(p.numel() for p in sizes.values()),
        learning=learning,
        matrices=sum(
            p.numel() for n, p in learns.items() if p.ndim == 2 and "stem" not in n and "head" not in n
        ),
        positions=positions,
        length=min(width, positions),
        n_micro_batches=settings["n_micro_batches"],
        size=(name, settings[name]),
        optimizer=settings["optimizer"],
        momentum=settings["momentum"],
        averages=bool(settings["ema_decay"]),
        recompute=settings["recompute"],
        adapts=bool(lora),
        keep_last=settings["keep_last"],
        length_name="context" if settings.get("context") else "max_len",
    )


def room(device: str = "auto") -> int:
    """Return the free bytes where a model would be trained: an accelerator's, or main memory; 0: unknown."""
    import torch

    from luban.device import choose_device

    place = choose_device(device)
    if place.type != "cpu":
        return int(torch.accelerator.get_memory_info(place)[0])
    memory = machine.read_memory()
    return memory.free if memory else 0


def smaller(load: Load) -> Iterator[tuple[str, Load]]:
    """Yield changes that need less memory, in words, the cheapest first.

    Smaller micro-batches cost nothing but speed, and the result stays; computing again costs a third of
    the time at most; what comes after learns otherwise, and shorter rows read less at once.
    """
    splits = list(_splits(load))
    yield from splits
    for mode in ("selective", "all"):
        again = dataclasses.replace(load, recompute=mode)
        yield f"recompute = {mode}", again
        for words, least in splits[-1:]:
            yield f"recompute = {mode}, {words}", dataclasses.replace(least, recompute=mode)
    least = dataclasses.replace(splits[-1][1] if splits else load, recompute="all")
    also = ", ".join(["recompute = all", *(words for words, _ in splits[-1:])])
    for optimizer in ("sgd", "adafactor"):
        if STATE[optimizer] < STATE[load.optimizer]:
            yield f"optimizer = {optimizer}, {also}", dataclasses.replace(least, optimizer=optimizer)
    if not load.adapts:
        few = load.parameters // 50
        yield (
            f"freeze most weights, or train adapters (LoRA); {also}",
            dataclasses.replace(least, learning=few, matrices=min(few, load.matrices)),
        )
    for length, shorter in _shorter(least):
        yield f"{load.length_name} = {length}, {also}", shorter


def what_fits(load: Load, room: int) -> str:
    """Return the cheapest change of settings that fits into so many bytes."""
    for words, changed in smaller(load):
        if changed.memory.total <= room:
            return f"set {words}" if "=" in words.split()[1:2] else words
    return "take a smaller model, or a machine with more memory"


def _splits(load: Load) -> Iterator[tuple[str, Load]]:
    name, value = load.size
    least = 1 if name == "batch_size" else load.length
    for parts in range(2, value // max(1, least) + 1):
        if value % parts:
            continue
        n_micro = load.n_micro_batches * parts
        changed = dataclasses.replace(
            load,
            positions=load.positions // parts,
            n_micro_batches=n_micro,
            size=(name, value // parts),
        )
        yield f"{name} = {value // parts} with n_micro_batches = {n_micro}", changed


def _shorter(load: Load) -> Iterator[tuple[int, Load]]:
    """Yield lengths of rows, each half the one before, and the load with rows cut to it."""
    length = load.length // 2
    while length >= SHORTEST:
        positions = max(length, load.positions * length // load.length)
        yield length, dataclasses.replace(load, length=length, positions=positions)
        length //= 2


def _activations(load: Load) -> int:
    """Return how many numbers are kept for the backward pass, and what it needs at its widest."""
    trunk, encoder, n = load.config.trunk, load.config.encoder, load.positions
    if not isinstance(trunk, TransformerConfig):
        return n * trunk.dim * (4 + 8 * trunk.n_layers)
    stacks = [trunk] if encoder is None else [trunk, encoder]
    kept = sum(t.n_layers * KEPT[load.recompute](t, load.length) for t in stacks)
    widest = max(_layer(t, load.length) for t in stacks)
    again = widest if load.recompute != "none" else 0
    ends = 4 * trunk.dim + load.length
    return n * (kept + again + ends + BACKWARD * max(trunk.ffn_dim, trunk.dim))


def _layer(t: TransformerConfig, length: int) -> int:
    """Numbers that one layer keeps for each token, counted in luban/models/block.py."""
    queries, keys = t.n_heads * t.head_dim, t.n_kv_heads * t.head_dim
    sublayers = 3 if t.reads_source else 2
    norms = 2 * t.dim * sublayers
    attention = (2 * (queries + keys) + t.n_heads) * (sublayers - 1)
    if t.qk_norm:
        attention += 2 * (queries + keys)
    if t.position == "relative" or t.attention_dropout:
        attention += (2 + 2 * bool(t.attention_dropout)) * t.n_heads * length
    hidden = 4 if t.mlp == "gated" else 1 if t.activation == "relu" else 2
    dropped = bool(t.dropout) * sublayers * t.dim + bool(t.mlp_dropout) * t.ffn_dim
    return norms + attention + hidden * t.ffn_dim + dropped


def _products(t: TransformerConfig, length: int) -> int:
    """Numbers that "selective" keeps: a layer's input, its matrix products and attention."""
    queries, keys = t.n_heads * t.head_dim, t.n_kv_heads * t.head_dim
    attention = (2 * queries + 2 * keys + t.dim) * (2 if t.reads_source else 1)
    return t.dim + attention + (2 if t.mlp == "gated" else 1) * t.ffn_dim + t.dim


def _input(t: TransformerConfig, length: int) -> int:
    return t.dim


KEPT = {"none": _layer, "selective": _products, "all": _input}
