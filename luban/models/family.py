"""What a family file states: sizes, choices, and how its Hugging Face files spell them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from luban.config import nearest
from luban.errors import CheckpointError, ConfigError
from luban.models.config import HeadConfig, ModelConfig, TransformerConfig, Trunk
from luban.models.width import attention_scale, score_scale

Json = dict[str, Any]
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
"""Their word for an activation → ours; of two that mean the same we write the first."""
REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One of our settings and the key of config.json that holds it.

    Field("norm_eps", "rms_norm_eps", 1e-6): theirs when it is missing there. "encoder.n_layers" is a
    setting of the encoder. `words` translates their value into ours.
    """

    ours: str
    theirs: str
    default: Any = REQUIRED
    words: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """One of our tensors and the one it is in their files.

    Name("...attention.k.weight", "...c_attn.weight", part=(1, 3), transpose=True): theirs, once
    transposed, holds ours as the second of three equal parts of its first axis. `{i}` stands for
    the number of a block. `when`: only in models with such a setting, as ("head.kind", "classes"),
    and there before any other name. `row`: theirs has an axis of length 1 before ours.
    """

    ours: str
    theirs: str
    part: tuple[int, int] = (0, 1)
    transpose: bool = False
    when: tuple[str, str | bool] | None = None
    row: bool = False

    def at(self, i: int) -> Name:
        """Return the names of block i."""
        return dataclasses.replace(self, ours=self.ours.format(i=i), theirs=self.theirs.format(i=i))

    def fits(self, config: ModelConfig) -> bool:
        """Whether a model of this config may have the tensor under this name."""
        return self.when is None or _value(config, self.when[0]) == self.when[1]


def named(ours: str, theirs: str, *kinds: str, **more: Any) -> tuple[Name, ...]:
    """Return the names of a layer's tensors; weight and bias unless `kinds` says which."""
    return tuple(Name(f"{ours}.{k}", f"{theirs}.{k}", **more) for k in kinds or ("weight", "bias"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How Hugging Face files spell a family."""

    model_type: str
    """Its name in config.json."""
    fields: tuple[Field, ...]
    """Settings that are one key there."""
    names: tuple[Name, ...]
    """Every tensor any config of the family can have, with every head."""
    heads: Mapping[str, Literal["tokens", "classes", "tags", "spans", "none"]]
    """Their class of model → the kind of head it means; the first of a kind is the one we write."""
    is_tied: bool
    """Whether token scores use the embedding when config.json does not say."""
    read: Callable[[Json, Json], Json] = lambda config, fields: fields
    """config.json and the fields found in it → all fields; refuses what we do not follow."""
    read_head: Callable[[Json, HeadConfig], HeadConfig] = lambda config, head: head
    """What config.json says of the head beyond its kind."""
    write: Callable[[ModelConfig], Json] = lambda config: {}
    """What config.json holds beyond `fields`."""
    prefix: str = ""
    """What their models with a head put before the trunk's names, and those without leave out."""
    buffers: str = r"$^"
    """Pattern of stored tensors that are no weights."""
    renames: tuple[tuple[str, str], ...] = ()
    """Endings of names in old files, and what they are now."""

    def tensors(self, config: ModelConfig) -> Iterator[Name]:
        """Name every tensor of the format; those of other heads and choices too."""
        for name in self.names:
            if "{i}" not in name.ours:
                yield name
                continue
            in_encoder = name.ours.startswith("encoder.") and config.encoder is not None
            n_layers = config.encoder.n_layers if in_encoder else config.n_layers  # type: ignore[union-attr]
            yield from (name.at(i) for i in range(n_layers))


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Sizes and choices that go together, and the checkpoint format they have in the world, if any."""

    name: str
    trunk: type[Trunk]
    sizes: Mapping[str, Mapping[str, Any]]
    """Published or handy sizes: fields of the trunk, and of the model."""
    choices: Callable[[Json], Json]
    """A size's fields → the fields that make the family what it is; those given win over them."""
    pool: Literal["first", "mean", "last"]
    """How a head of classes makes one vector of a text."""
    fit_head: Callable[[HeadConfig, ModelConfig], HeadConfig]
    """Add to a head what the family's own heads of that kind have."""
    default_head: HeadConfig = field(default_factory=HeadConfig)
    format: Format | None = None
    """None: nobody else's files hold such a model, and Luban's own format does."""

    def config(self, size: str, *, vocab_size: int, **changes: Any) -> ModelConfig:
        """Return the config of a named size with changes to any field of the trunk or the model.

        A width or a number of heads that changes takes those that depend on it along in the size's
        own ratio, unless they are given too. `tied` is a change of the head.
        """
        if size not in self.sizes:
            raise ConfigError(
                f"model.size = {size!r} is no size of {self.name}", fix=nearest(size, self.sizes)
            )
        fields = _in_ratio(dict(self.sizes[size]), changes) | {"vocab_size": vocab_size}
        head, tied = fields.pop("head", None) or self.default_head, fields.pop("tied", None)
        config = self.build(fields, head if tied is None else dataclasses.replace(head, tied=tied))
        if tied not in (None, config.head.tied) or (tied is not None and config.head.kind != "tokens"):
            raise ConfigError(
                f"model.tied = {tied}, but the head of this {self.name} model is not to be "
                f"{'tied' if tied else 'untied'}",
                fix="leave it out",
            )
        return config

    def build(self, fields: Json, head: HeadConfig | None = None) -> ModelConfig:
        """Return the config of fields of the trunk and the model; `encoder` holds what differs there."""
        whole = self.choices(fields | {"head": head})
        if fields.get("init") == "mup":
            whole["attention_scale"] = attention_scale(fields.get("head_dim") or whole["head_dim"])
        whole |= fields
        of_encoder = whole.pop("encoder", {})
        model, trunk = _split_fields(whole, self.trunk)
        config = ModelConfig(
            family=self.name, trunk=self.trunk(**trunk), **model, **_encoder(trunk, of_encoder)
        )
        return dataclasses.replace(config, head=self.fit(head or HeadConfig(kind="none"), config))

    def fit(self, head: HeadConfig, config: ModelConfig) -> HeadConfig:
        """Return a head as the family, and the width where the weights depend on it, want it."""
        fitted = self.fit_head(head, config)
        is_scaled = head.kind == "tokens" and getattr(config.trunk, "init", "normal") == "mup"
        return dataclasses.replace(fitted, scale=score_scale(config.dim)) if is_scaled else fitted

    def read(self, config: Json) -> ModelConfig:
        """Read config.json of the family's format, all but the head."""
        assert self.format is not None
        fields: Json = {}
        for f in self.format.fields:
            value = need(config, f.theirs) if f.default is REQUIRED else config.get(f.theirs)
            value = f.default if value is None else value
            _check_type(f, value, self.trunk)
            if f.words is not None:
                value = choose(config, f.theirs, f.words, value)
            part, _, name = f.ours.rpartition(".")
            (fields.setdefault(part, {}) if part else fields)[name] = value
        return self.build(self.format.read(config, special_ids(config) | fields))

    def write(self, config: ModelConfig) -> Json:
        """Return the trunk's part of config.json."""
        assert self.format is not None
        written: Json = {}
        for f in self.format.fields:
            value = _value(config, f.ours)
            written[f.theirs] = flip(f.words, value) if f.words is not None else value
        return written | write_special_ids(config) | self.format.write(config)


def head_width(fields: Json) -> int:
    """Return dim / n_heads, or explain why the width does not split."""
    dim, n_heads = fields["dim"], fields["n_heads"]
    if fields.get("head_dim"):
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


def choose(config: Json, key: str, choices: Mapping[str, str], value: str) -> str:
    """Return our word for their value of a key, or say which values are known."""
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
    """Return pad_id, bos_id, eos_id and start_id of config.json; the first where several end a text."""
    keys = {"pad_id": "pad", "bos_id": "bos", "eos_id": "eos", "start_id": "decoder_start"}
    found: Json = {}
    for ours, theirs in keys.items():
        id = config.get(f"{theirs}_token_id")
        found[ours] = id[0] if isinstance(id, list) and id else id
        if not isinstance(found[ours], int | None):
            raise CheckpointError(
                f"config.json: {theirs}_token_id = {id!r} is no token id", fix="set it to a number or null"
            )
    return found


def write_special_ids(config: ModelConfig) -> Json:
    """Return the special ids as config.json spells them; null where there is none."""
    ids = {"pad_token_id": config.pad_id, "bos_token_id": config.bos_id, "eos_token_id": config.eos_id}
    return ids if config.encoder is None else ids | {"decoder_start_token_id": config.start_id}


def flip(table: Mapping[str, str], value: str) -> str:
    """Return the first of their words for one of ours; ours itself where they have none."""
    return next((theirs for theirs, ours in table.items() if ours == value), value)


def _check_type(f: Field, value: Any, trunk: type[Trunk]) -> None:
    """Refuse a text where a number belongs, before arithmetic does it less clearly."""
    names = {x.name: x.type for x in (*dataclasses.fields(trunk), *dataclasses.fields(ModelConfig))}
    kinds: dict[Any, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
    kind = kinds.get(names.get(f.ours.rpartition(".")[2]))
    if kind and value is not None and (not isinstance(value, kind) or (bool not in kind and value is True)):
        what = {int: "whole number", float: "number", bool: "yes or no"}[kind[-1]]
        raise CheckpointError(f"config.json: {f.theirs} = {value!r} is no {what}", fix="copy the file again")


def _encoder(trunk: Json, changes: Json) -> Json:
    if not trunk.get("reads_source"):
        return {}
    return {"encoder": TransformerConfig(**trunk | {"sight": "full", "reads_source": False} | changes)}


def _split_fields(fields: Json, trunk: type[Trunk]) -> tuple[Json, Json]:
    """Divide settings into those of the model and those of its trunk; an unknown one is an error."""
    of_trunk = {f.name for f in dataclasses.fields(trunk)}
    of_model = {f.name for f in dataclasses.fields(ModelConfig)} - {"family", "trunk", "encoder", "head"}
    for key, value in fields.items():
        if key not in of_trunk | of_model:
            raise ConfigError(
                f"unknown setting model.{key} = {value!r}", fix=nearest(key, of_trunk | of_model)
            )
    return (
        {k: v for k, v in fields.items() if k in of_model},
        {k: v for k, v in fields.items() if k in of_trunk},
    )


def _value(config: ModelConfig, path: str) -> Any:
    part, _, name = path.rpartition(".")
    if part:
        return getattr(getattr(config, part), name)
    return getattr(config.trunk, name) if hasattr(config.trunk, name) else getattr(config, name)


def _in_ratio(size: Json, changes: Json) -> Json:
    scaled = dict(size)
    if "dim" in changes and "ffn_dim" in size:
        scaled["ffn_dim"] = max(8, round(size["ffn_dim"] * changes["dim"] / size["dim"] / 8) * 8)
    if "n_heads" in changes and "n_kv_heads" in size:
        group = size["n_heads"] // size["n_kv_heads"]
        n_heads = changes["n_heads"]
        scaled["n_kv_heads"] = n_heads // group if n_heads % group == 0 else n_heads
    if ("n_heads" in changes or "dim" in changes) and "head_dim" in size:
        del scaled["head_dim"]
    return scaled | {k: v for k, v in changes.items() if v is not None}
