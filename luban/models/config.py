"""What a model is, as one frozen record: stem, trunk and head. No field is derived behind your back.

One choice is one field with named values; nothing in a forward pass asks for the family's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from luban.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """A stack of equal blocks. Widths are in features."""

    dim: int
    """Width of the residual stream (C)."""
    n_layers: int
    n_heads: int
    n_kv_heads: int
    """Key/value heads (K): equal to n_heads for multi-head attention, 1 for multi-query."""
    head_dim: int
    """Width of one head (D)."""
    ffn_dim: int
    """Hidden width of the MLP (F)."""
    sight: Literal["causal", "full"] = "causal"
    """Whether a token sees only itself and what came before, or its whole document."""
    position: Literal["learned", "rotary", "none"] = "rotary"
    """Learned positions are added in the stem; rotary ones turn queries and keys in every block."""
    rope_theta: float = 10_000.0
    """Longest rotary wavelength over 2π."""
    norm: Literal["layer", "rms"] = "rms"
    norm_place: Literal["before", "after"] = "before"
    """Before each sublayer (GPT-2, Llama), or after each residual sum (2017, BERT)."""
    norm_eps: float = 1e-5
    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] = "silu"
    mlp: Literal["plain", "gated"] = "gated"
    attention_bias: bool = False
    """Whether the query, key, value and output projections add a bias."""
    mlp_bias: bool = False
    dropout: float = 0.0
    """Share of each sublayer's output, and of the embeddings, zeroed in training."""
    attention_dropout: float = 0.0
    """Share of attention weights zeroed in training; on CPUs it forbids the fused kernel."""
    init: Literal["normal", "scaled"] = "normal"
    """Standard deviation 0.02 everywhere, or smaller on residual outputs (GPT-2)."""

    def __post_init__(self) -> None:
        _positive(self, "dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "ffn_dim")
        _share(self, "dropout", "attention_dropout")
        if self.n_heads % self.n_kv_heads:
            divisors = [d for d in range(1, self.n_heads + 1) if self.n_heads % d == 0]
            raise ConfigError(
                f"model.n_heads = {self.n_heads} does not share model.n_kv_heads = {self.n_kv_heads} evenly",
                fix=f"set model.n_kv_heads to one of: {', '.join(map(str, divisors))}",
            )
        if self.position == "rotary" and self.head_dim % 2:
            raise ConfigError(
                f"model.head_dim = {self.head_dim} is odd, and rotary positions turn features in pairs",
                fix=f"choose model.dim and model.n_heads so that a head is {self.head_dim + 1} wide",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentConfig:
    """A stack of recurrent layers that read a document from left to right, or both ways."""

    dim: int
    """Width of the hidden states (C); two directions share it half and half."""
    n_layers: int
    cell: Literal["lstm"] = "lstm"
    sight: Literal["causal", "full"] = "causal"
    """One direction, or both."""
    dropout: float = 0.0
    """Share of the embeddings and of each layer's output zeroed in training."""

    def __post_init__(self) -> None:
        _positive(self, "dim", "n_layers")
        _share(self, "dropout")
        if self.sight == "full" and self.dim % 2:
            raise ConfigError(
                f"model.dim = {self.dim} is odd, and two directions share it",
                fix=f"set model.dim to {self.dim + 1}",
            )

    @property
    def position(self) -> Literal["none"]:
        """A recurrent layer reads in order and needs no positions."""
        return "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadConfig:
    """What the model says about the hidden states."""

    kind: Literal["tokens", "classes", "none"] = "tokens"
    """A score for every token of the vocabulary at every position; one for every class; or nothing."""
    n_classes: int = 0
    labels: tuple[str, ...] = ()
    """Names of the classes, in order."""
    pool: Literal["first", "mean", "last"] = "first"
    """Which vector stands for the whole text: the first token's, the mean, or the last token's."""
    layer: Literal["none", "pooler", "transform"] = "none"
    """A layer before the last one: BERT's tanh pooler, or its transform before the vocabulary."""
    bias: bool = False
    """Whether the last layer adds a bias."""
    tied: bool = True
    """Whether token scores use the stem's embedding as their matrix."""

    def __post_init__(self) -> None:
        if self.kind == "classes" and len(self.labels) != self.n_classes:
            raise ConfigError(
                f"head.n_classes = {self.n_classes}, but head.labels names {len(self.labels)}",
                fix="give each class one label",
            )
        if self.kind == "classes" and self.n_classes < 1:
            raise ConfigError(
                f"head.n_classes = {self.n_classes}: there is nothing to choose from", fix="name the labels"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"head.labels = {list(self.labels)} repeats a name", fix="name each label once")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A model is a stem, a trunk and a head."""

    family: str
    """Whose checkpoint format it has; see luban/models/families."""
    vocab_size: int
    max_len: int
    """Longest row of tokens."""
    trunk: TransformerConfig | RecurrentConfig
    head: HeadConfig = field(default_factory=HeadConfig)
    n_segments: int = 0
    """Kinds of text the stem tells apart (BERT's two); 0: none."""
    stem_norm: bool = False
    """Whether the sum of the embeddings is normalised."""
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "max_len")

    @property
    def dim(self) -> int:
        """Width of the hidden states (C)."""
        return self.trunk.dim

    @property
    def n_layers(self) -> int:
        """Blocks of the trunk."""
        return self.trunk.n_layers


def _positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"model.{name} = {value!r} is no count", fix=f"set model.{name} to 1 or more")


def _share(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(
                f"model.{name} = {value} is no share below 1", fix=f"set model.{name} to 0, or up to 0.9"
            )
