"""What a model is, as one frozen record: stem, trunk and head. No field is derived behind your back.

One choice is one field with named values; nothing in a forward pass asks for the family's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from luban.errors import ConfigError

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"]
Projection = Literal["q", "k", "v", "out"]
ALL_PROJECTIONS: tuple[Projection, ...] = ("q", "k", "v", "out")


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeScaling:
    """How rotary positions were stretched to rows longer than the model first learnt.

    linear: every turn slower by `factor` (arXiv:2306.15595). dynamic: a longer base once a row is
    longer than `original_max_len` ("NTK-aware"). llama3 and yarn: slow turns only, with a ramp in
    between (arXiv:2407.21783 section 3.4.4; arXiv:2309.00071).
    """

    kind: Literal["linear", "dynamic", "llama3", "yarn"]
    factor: float
    original_max_len: int = 0
    """Longest row before the stretch; linear scaling does not ask."""
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    """llama3: waves longer than original_max_len / low are stretched, shorter than / high are not."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    """yarn: features that turn more than `fast` times in a row stay, less than `slow` are stretched."""
    magnitude: float = 1.0
    """yarn: cosines and sines are multiplied by it, which sharpens attention over long rows."""
    truncate: bool = True
    """yarn: whether the ramp starts and ends at whole features."""

    def __post_init__(self) -> None:
        if not _is_number(self.factor) or not self.factor > 0:
            raise ConfigError(f"rope_scaling.factor = {self.factor} stretches nothing", fix="set it above 1")
        for name in ("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "magnitude"):
            value = getattr(self, name)
            if not _is_number(value) or not value > 0:
                raise ConfigError(
                    f"rope_scaling.{name} = {value!r} is no number above 0", fix="set it to the usual value"
                )
        length = self.original_max_len
        if self.kind != "linear" and (type(length) is not int or not 1 <= length <= MOST):
            raise ConfigError(
                f"rope_scaling.original_max_len = {self.original_max_len} is no length, "
                f"and {self.kind} scaling depends on it",
                fix="set it to the max_len before the stretch",
            )
        if self.kind == "llama3" and self.low_freq_factor >= self.high_freq_factor:
            raise ConfigError(
                f"rope_scaling.low_freq_factor = {self.low_freq_factor} is not below "
                f"high_freq_factor = {self.high_freq_factor}",
                fix="exchange them",
            )


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
    reads_source: bool = False
    """Whether each block also attends to what an encoder made of a source."""
    position: Literal["learned", "sinusoidal", "rotary", "relative", "alibi", "none"] = "rotary"
    """Added in the stem (learned, sinusoidal), turning queries and keys (rotary), or added to the
    attention scores (relative: learned by distance; alibi: a penalty that grows with it)."""
    rope_theta: float = 10_000.0
    """Longest rotary wavelength over 2π."""
    rope_scaling: RopeScaling | None = None
    rotary_dim: int | None = None
    """Features of a head that turn, from its first; None: all of them."""
    n_buckets: int = 32
    max_distance: int = 128
    """relative: distances share so many learnt values, and all beyond max_distance share one."""
    attention_scale: float | None = None
    """Queries times keys are multiplied by it; None: 1/sqrt(head_dim)."""
    attention_bias: tuple[Projection, ...] = ()
    """Which projections of attention add a bias."""
    qk_norm: bool = False
    """Whether each head's queries and keys are normalised."""
    norm: Literal["layer", "rms"] = "rms"
    norm_place: Literal["before", "after"] = "before"
    """Before each sublayer (GPT-2, Llama), or after each residual sum (2017, BERT)."""
    norm_eps: float = 1e-5
    activation: Activation = "silu"
    mlp: Literal["plain", "gated"] = "gated"
    mlp_bias: bool = False
    dropout: float = 0.0
    """Share of each sublayer's output, and of the embeddings, zeroed in training."""
    attention_dropout: float = 0.0
    """Share of attention weights zeroed in training; on CPUs it forbids the fused kernel."""
    mlp_dropout: float = 0.0
    """Share of the MLP's hidden features zeroed in training."""
    init: Literal["normal", "scaled", "t5", "xavier", "kaiming", "mup"] = "normal"
    """Scheme of the first weights; see luban/models/initialise.py."""

    def __post_init__(self) -> None:
        _positive(self, "dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "ffn_dim")
        _share(self, "dropout", "attention_dropout", "mlp_dropout")
        _number(self, 0, "norm_eps", *([] if self.attention_scale is None else ["attention_scale"]))
        _number(self, 1, "rope_theta")
        if self.n_heads % self.n_kv_heads:
            most = min(self.n_heads, 1024)  # a hostile number has too many to look through
            divisors = [d for d in range(1, most + 1) if self.n_heads % d == 0]
            raise ConfigError(
                f"model.n_heads = {self.n_heads} does not share model.n_kv_heads = {self.n_kv_heads} evenly",
                fix=f"set model.n_kv_heads to one of: {', '.join(map(str, divisors))}",
            )
        unknown = [name for name in self.attention_bias if name not in ALL_PROJECTIONS]
        if unknown:
            raise ConfigError(
                f"model.attention_bias names {unknown[0]!r}, which is no projection",
                fix=f"choose among {', '.join(ALL_PROJECTIONS)}",
            )
        if self.position == "rotary":
            self._check_rotary()
        if self.position == "relative" and (self.n_buckets < 4 or self.max_distance <= self.n_buckets // 2):
            raise ConfigError(
                f"model.n_buckets = {self.n_buckets} and model.max_distance = {self.max_distance} leave no "
                "bucket for far tokens",
                fix="set n_buckets to 4 or more, and max_distance above half of it",
            )

    def _check_rotary(self) -> None:
        width = self.head_dim if self.rotary_dim is None else self.rotary_dim
        if self.rotary_dim is not None and not 0 < width <= self.head_dim:
            raise ConfigError(
                f"model.rotary_dim = {width} does not fit a head of {self.head_dim} features",
                fix=f"set it to an even number up to {self.head_dim}",
            )
        if self.rope_scaling is not None and self.rope_scaling.kind == "dynamic" and width == 2:
            raise ConfigError(
                "rope_scaling.kind = 'dynamic' stretches nothing where one pair of features turns",
                fix="use linear scaling, or wider heads",
            )
        if width % 2:
            name = "head_dim" if self.rotary_dim is None else "rotary_dim"
            raise ConfigError(
                f"model.{name} = {width} is odd, and rotary positions turn features in pairs",
                fix=f"choose model.dim and model.n_heads so that a head is {width + 1} wide"
                if self.rotary_dim is None
                else f"set model.rotary_dim to {width - 1}",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentConfig:
    """A stack of recurrent layers that read a document from left to right, or both ways."""

    dim: int
    """Width of the hidden states (C); two directions share it half and half."""
    n_layers: int
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
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
class NoTrunkConfig:
    """No layers between stem and head: word vectors, or a classifier of their mean."""

    dim: int
    """Width of a vector (C)."""
    dropout: float = 0.0
    """Share of the embeddings zeroed in training."""

    def __post_init__(self) -> None:
        _positive(self, "dim")
        _share(self, "dropout")

    @property
    def n_layers(self) -> int:
        """None."""
        return 0

    @property
    def sight(self) -> Literal["full"]:
        """A vector stands for its word alone and predicts nothing that follows."""
        return "full"

    @property
    def position(self) -> Literal["none"]:
        """Order does not matter."""
        return "none"


Trunk = TransformerConfig | RecurrentConfig | NoTrunkConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadConfig:
    """What the model says about the hidden states."""

    kind: Literal["tokens", "classes", "tags", "spans", "vector", "none"] = "tokens"
    """A score for every token of the vocabulary at every position; one for every class of a text
    (classes) or of a token (tags); for every token that an answer starts or ends there (spans); one
    vector of length 1 a text; or nothing."""
    n_classes: int = 0
    labels: tuple[str, ...] = ()
    """Names of the classes, in order."""
    answer: Literal["one", "several", "number"] = "one"
    """What the scores of classes mean: one of them is right; each may be; or they are numbers themselves."""
    pool: Literal["first", "mean", "last"] = "first"
    """Which vector stands for the whole text: the first token's, the mean, or the last token's."""
    layer: Literal["none", "pooler", "transform"] = "none"
    """A layer before the last one: BERT's tanh pooler, or its transform before the vocabulary."""
    activation: Activation | None = None
    """Activation of the transform; None: the trunk's."""
    bias: bool = False
    """Whether the last layer adds a bias."""
    tied: bool = True
    """Whether token scores use the stem's embedding as their matrix."""
    scale: float = 1.0
    """Token scores are multiplied by it."""

    def __post_init__(self) -> None:
        _number(self, 0, "scale")
        if self.kind not in ("classes", "tags"):
            return
        if len(self.labels) != self.n_classes:
            raise ConfigError(
                f"head.n_classes = {self.n_classes}, but head.labels names {len(self.labels)}",
                fix="give each class one label",
            )
        if self.n_classes < 1:
            raise ConfigError(
                f"head.n_classes = {self.n_classes}: there is nothing to choose from", fix="name the labels"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"head.labels = {list(self.labels)} repeats a name", fix="name each label once")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A model is a stem, a trunk and a head; one that reads a source has an encoder too."""

    family: str
    """Whose checkpoint format it has; see luban/models/families."""
    vocab_size: int
    max_len: int
    """Longest row of tokens."""
    trunk: Trunk
    """With an encoder, this is the decoder."""
    encoder: TransformerConfig | None = None
    """Trunk that reads the source for a trunk with `reads_source`."""
    source: Literal["tokens", "audio"] = "tokens"
    """What the encoder reads: tokens of the same vocabulary, or a log-mel spectrogram."""
    source_max_len: int = 0
    """Longest source in hidden states; 0: as long as max_len."""
    n_mels: int = 80
    """Mel bands of an audio source (M)."""
    head: HeadConfig = field(default_factory=HeadConfig)
    n_segments: int = 0
    """Kinds of text the stem tells apart (BERT's two); 0: none."""
    stem_norm: bool = False
    """Whether the sum of the embeddings is normalised."""
    stem_scale: float = 1.0
    """Token embeddings are multiplied by it."""
    position_offset: int = 0
    """Unused rows at the start of the learned positions (RoBERTa has two)."""
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    start_id: int | None = None
    """First token of what a model with an encoder writes."""

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "max_len", "n_mels")
        for name in ("source_max_len", "n_segments", "position_offset"):
            if getattr(self, name) != 0:
                _positive(self, name)
        _number(self, 0, "stem_scale")
        if (self.encoder is not None) != getattr(self.trunk, "reads_source", False):
            raise ConfigError(
                "an encoder and a trunk that reads a source belong together",
                fix="give both, or neither",
            )
        if self.encoder is not None and self.encoder.dim != self.trunk.dim:
            raise ConfigError(
                f"encoder.dim = {self.encoder.dim} is not the decoder's dim = {self.trunk.dim}",
                fix="give both one width",
            )

    @property
    def dim(self) -> int:
        """Width of the hidden states (C)."""
        return self.trunk.dim

    @property
    def n_layers(self) -> int:
        """Blocks of the trunk; of the decoder, if there is an encoder."""
        return self.trunk.n_layers


MOST = 2**31 - 1
"""No count of a real model is larger, and torch would overflow."""


def _positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or not 1 <= value <= MOST:
            raise ConfigError(
                f"model.{name} = {value!r} is no count", fix=f"set model.{name} to a whole number, 1 or more"
            )


def _share(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value < 1:
            raise ConfigError(
                f"model.{name} = {value!r} is no share below 1", fix=f"set model.{name} to 0, or up to 0.9"
            )


def _number(config: Any, least: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not value >= least:
            raise ConfigError(
                f"model.{name} = {value!r} is no number from {least:g} on", fix="set it to the usual value"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
