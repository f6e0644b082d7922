"""Settings of the model that training starts from: built anew, or read and changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from luban.errors import ConfigError
from luban.train.settings import Count

NotNegativeInt = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """Which model to build from scratch: a family's named size, and what to change in it."""

    family: Literal[
        "recurrent",
        "original",
        "bert",
        "roberta",
        "gpt2",
        "llama",
        "qwen2",
        "qwen3",
        "t5",
        "whisper",
        "word2vec",
    ] = "llama"
    """Architecture; see luban/models/families."""
    size: str = "tiny"
    """A named size of the family."""
    dim: Count | None = None
    """Width of the residual stream, instead of the size's."""
    n_layers: Count | None = None
    """Layers, instead of the size's."""
    n_heads: Count | None = None
    """Attention heads, instead of the size's."""
    n_kv_heads: Count | None = None
    """Key/value heads, instead of the size's."""
    ffn_dim: Count | None = None
    """Hidden width of the feed-forward layers, instead of the size's."""
    max_len: Count | None = None
    """Longest sequence, instead of the size's."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of activations zeroed in training, instead of the size's."""
    cell: Literal["rnn", "gru", "lstm"] | None = None
    """Kind of recurrent layer, instead of the size's; for the family recurrent."""
    position: Literal["learned", "sinusoidal", "rotary", "relative", "alibi", "none"] | None = None
    """How tokens know their places, instead of the family's way."""
    activation: Literal["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"] | None = None
    """Activation of the MLPs, instead of the family's."""
    mlp: Literal["plain", "gated"] | None = None
    """Whether MLPs have a gate, instead of the family's habit; ffn_dim stays."""
    norm: Literal["layer", "rms"] | None = None
    """Kind of norm, instead of the family's."""
    norm_place: Literal["before", "after"] | None = None
    """Norm before each sublayer or after each residual sum, instead of the family's place."""
    init: Literal["normal", "scaled", "t5", "xavier", "kaiming", "mup"] | None = None
    """Scheme of the first weights, instead of the family's; see luban/models/initialise.py. With mup,
    lr is that of a model 256 wide, whatever the width."""
    tied: bool | None = None
    """Whether token scores use the embedding as their matrix, instead of the family's habit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StretchSettings:
    """How to stretch rotary positions."""

    kind: Literal["linear", "dynamic", "llama3", "yarn"] = "yarn"
    """linear: all turns slower; dynamic: only in rows longer than before; llama3, yarn: slow turns only."""
    factor: Annotated[float, Field(gt=1)] = 2.0
    """How many times longer rows become."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurgerySettings:
    """What to change in the model folder that training starts from, in this order."""

    extend_vocabulary: bool = False
    """Take the tokenizer of the shards, or the one given, instead of the model's own: tokens that both
    know keep their rows, new ones begin with the mean of the tokens that spelt them before."""
    vocab_size: Count | None = None
    """Cut the last tokens off, or add so many that there are as many as this."""
    new_rows: Literal["mean", "fresh"] = "mean"
    """How tokens added by vocab_size begin: as the mean of the others, or drawn."""
    max_len: Count | None = None
    """Longest sequence: learned positions are cut or interpolated."""
    reinit: tuple[str, ...] = ()
    """Patterns of parameters that begin anew, such as "trunk.blocks.5.*", named as in the folder."""
    keep_layers: tuple[NotNegativeInt, ...] = ()
    """Layers to keep, counted from 0; of an encoder-decoder, of its decoder."""
    depth_upscale: Count | None = None
    """Stack two copies of the layers, without so many at the seam of each (arXiv:2312.15166)."""
    identity_after: tuple[NotNegativeInt, ...] = ()
    """Layers after which to insert one that adds nothing yet (arXiv:2401.02415)."""
    activation: Literal["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"] | None = None
    """Another activation of the MLPs."""
    rope_scaling: StretchSettings | None = None
    """Stretch rotary positions; max_len grows along."""

    def __post_init__(self) -> None:
        if self.rope_scaling is not None and self.max_len is not None:
            raise ConfigError(
                f"surgery.max_len = {self.max_len} and surgery.rope_scaling both say how long rows become",
                fix="give one of them",
            )
        if self.extend_vocabulary and self.vocab_size is not None:
            raise ConfigError(
                f"surgery.vocab_size = {self.vocab_size}, but extend_vocabulary takes the tokenizer's",
                fix="give one of them",
            )
