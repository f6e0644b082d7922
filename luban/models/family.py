"""What a family file states: sizes, choices, and how its Hugging Face files spell them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luban.config import nearest
from luban.errors import CheckpointError, ConfigError
from luban.models.config import HeadConfig, ModelConfig, RecurrentConfig, TransformerConfig

Json = dict[str, Any]
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Their word for an activation → ours; of two that mean the same we write the first."""


@dataclass(frozen=True, slots=True)
class Name:
    """One of our tensors and the one it is in their files.

    Name("...attention.k.weight", "...c_attn.weight", part=(1, 3), transpose=True): theirs, once
    transposed, holds ours as the second of three equal parts of its first axis. `{i}` stands for
    the number of a block.
    """

    ours: str
    theirs: str
    part: tuple[int, int] = (0, 1)
    transpose: bool = False

    def at(self, i: int) -> Name:
        """Return the names of block i."""
        return dataclasses.replace(self, ours=self.ours.format(i=i), theirs=self.theirs.format(i=i))


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A checkpoint format and the sizes that go with it."""

    model_type: str
    """Its name in config.json."""
    sizes: Mapping[str, Mapping[str, Any]]
    """Published or handy sizes: fields of the trunk, and `vocab_size`, `max_len` of the model."""
    build: Callable[[Json], ModelConfig]
    """All fields of a size, vocab_size and head included → config."""
    read: Callable[[Json], ModelConfig]
    """config.json → config with no head."""
    write: Callable[[ModelConfig], Json]
    """The trunk's part of config.json."""
    names: tuple[Name, ...]
    """Every tensor any config of the family can have, with every head."""
    heads: Mapping[str, Literal["tokens", "classes", "none"]]
    """Their class of model → the kind of head it means; the first of a kind is the one we write."""
    pool: Literal["first", "mean", "last"]
    """How their head of classes makes one vector of a text."""
    is_tied: bool
    """Whether token scores use the embedding when config.json does not say."""
    fit_head: Callable[[HeadConfig], HeadConfig]
    """Add to a head what the family's own heads of that kind have."""
    prefix: str = ""
    """What their models with a head put before the trunk's names, and those without leave out."""
    buffers: str = r"$^"
    """Pattern of stored tensors that are no weights."""
    renames: tuple[tuple[str, str], ...] = ()
    """Endings of names in old files, and what they are now."""

    def config(self, size: str, *, vocab_size: int, **changes: Any) -> ModelConfig:
        """Return the config of a named size with changes to any field of the trunk or the model.

        A width or a number of heads that changes takes those that depend on it along in the size's
        own ratio, unless they are given too.
        """
        if size not in self.sizes:
            raise ConfigError(
                f"model.size = {size!r} is no size of {self.model_type}", fix=nearest(size, self.sizes)
            )
        fields = _in_ratio(dict(self.sizes[size]), changes) | {"vocab_size": vocab_size}
        fields["head"] = self.fit_head(fields.get("head") or HeadConfig())
        return self.build(fields)

    def tensors(self, config: ModelConfig) -> Iterator[Name]:
        """Name every tensor of the format; those of other heads and choices too."""
        for name in self.names:
            if "{i}" in name.ours:
                yield from (name.at(i) for i in range(config.n_layers))
            else:
                yield name


def split_fields(fields: Json, trunk: type[TransformerConfig] | type[RecurrentConfig]) -> tuple[Json, Json]:
    """Divide settings into those of the model and those of its trunk; an unknown one is an error."""
    of_trunk = {f.name for f in dataclasses.fields(trunk)}
    of_model = {f.name for f in dataclasses.fields(ModelConfig)} - {"family", "trunk"}
    for key, value in fields.items():
        if key not in of_trunk | of_model:
            raise ConfigError(
                f"unknown setting model.{key} = {value!r}", fix=nearest(key, of_trunk | of_model)
            )
    return (
        {k: v for k, v in fields.items() if k in of_model},
        {k: v for k, v in fields.items() if k in of_trunk},
    )


def head_width(fields: Json) -> int:
    """Return dim / n_heads, or explain why the width does not split."""
    dim, n_heads = fields["dim"], fields["n_heads"]
    if "head_dim" in fields:
        return fields["head_dim"]
    if n_heads < 1 or dim % n_heads:
        n_heads = max(1, n_heads)
        raise ConfigError(
            f"model.dim = {dim} does not split into model.n_heads = {fields['n_heads']} heads",
            fix=f"set model.dim to a multiple of {n_heads}, such as {n_heads * max(1, round(dim / n_heads))}",
        )
    return dim // n_heads


def need(config: Json, key: str) -> Any:
    """Return a key of config.json, or say that the file lacks it."""
    if config.get(key) is None:
        raise CheckpointError(
            f"config.json of this {config.get('model_type')} model has no {key}",
            fix="add it, or copy the file again",
        )
    return config[key]


def choose(config: Json, key: str, choices: Mapping[str, str], default: str) -> str:
    """Return our word for their value of a key, or say which values are known."""
    value = config.get(key) or default
    if value not in choices:
        raise CheckpointError(
            f"config.json: {key} = {value!r} is not supported", fix=f"supported are: {', '.join(choices)}"
        )
    return choices[value]


def refuse(config: Json, key: str, usual: Any, meaning: str) -> None:
    """Stop at a setting of theirs that would change the numbers and that we do not follow."""
    if config.get(key, usual) not in (usual, None):
        raise CheckpointError(
            f"config.json: {key} = {config[key]!r}: {meaning} is not supported",
            fix=f"use a model with {key} = {usual!r}",
        )


def special_ids(config: Json) -> Json:
    """Return pad_id, bos_id and eos_id of config.json; the first where several end a text."""
    ids = {key: config.get(f"{key[:3]}_token_id") for key in ("pad_id", "bos_id", "eos_id")}
    return {k: v[0] if isinstance(v, list) and v else v for k, v in ids.items()}


def write_special_ids(config: ModelConfig) -> Json:
    """Return the special ids as config.json spells them; null where there is none."""
    return {"pad_token_id": config.pad_id, "bos_token_id": config.bos_id, "eos_token_id": config.eos_id}


def flip(table: Mapping[str, str], value: str) -> str:
    """Return the first of their words for one of ours."""
    return next(theirs for theirs, ours in table.items() if ours == value)


def _in_ratio(size: Json, changes: Json) -> Json:
    scaled = dict(size)
    if "dim" in changes and "ffn_dim" in size:
        scaled["ffn_dim"] = max(8, round(size["ffn_dim"] * changes["dim"] / size["dim"] / 8) * 8)
    if "n_heads" in changes and "n_kv_heads" in size:
        group = size["n_heads"] // size["n_kv_heads"]
        n_heads = changes["n_heads"]
        scaled["n_kv_heads"] = n_heads // group if n_heads % group == 0 else n_heads
    return scaled | {k: v for k, v in changes.items() if v is not None}
