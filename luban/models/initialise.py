"""The first weights of a model, by the scheme that its config names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luban.models.config import ModelConfig, NoTrunkConfig, RecurrentConfig, TransformerConfig
from luban.models.model import Model
from luban.models.stems import SinusoidTable
from luban.models.width import INPUTS, hidden_gain

STD = 0.02
"""Standard deviation of GPT-2, BERT and Llama."""
FIRST_SCORES, TOKEN_READ = 0.35, 4.0
"""Where embeddings are large: the deviation of a new model's scores, and the most of the token just read."""
RESIDUAL_OUTPUTS = ("attention.out.weight", "cross.out.weight", "mlp.down.weight")
EMBEDDINGS = ("tokens.weight", "positions.weight", "segments.weight")
N_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True, slots=True)
class Draw:
    """A distribution around zero: normal, or uniform with the same deviation."""

    std: float
    is_uniform: bool = False


@torch.no_grad()
def initialise(model: Model, seed: int, only: frozenset[str] | None = None) -> None:
    """Draw all weights, or only those of the parameters named. Biases are 0 and norms 1."""
    generator = torch.Generator().manual_seed(seed)
    computed = constants(model)
    draw = _RULES[type(model.config.trunk)]
    for name, parameter in model.named_parameters():
        if only is not None and name not in only:
            continue
        if name in computed:
            model.get_submodule(name.rpartition(".")[0]).fill()  # type: ignore[operator]
        else:
            draw(name, parameter, model.config, generator)


def constants(model: Model) -> frozenset[str]:
    """Return the names of parameters that are computed, not learnt."""
    return frozenset(
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, SinusoidTable)
    )


def _transformer(name: str, parameter: Tensor, config: ModelConfig, generator: torch.Generator) -> None:
    trunk = config.encoder if name.startswith("encoder.") else config.trunk
    assert isinstance(trunk, TransformerConfig)
    if parameter.ndim > 1:
        _fill(parameter, SCHEMES[trunk.init](name, parameter.shape, trunk), generator)
    elif name.endswith("norm.weight"):
        nn.init.constant_(parameter, _last_gain(config) if name == _last_norm(config) else 1.0)
    else:
        nn.init.zeros_(parameter)


def _fill(parameter: Tensor, draw: Draw, generator: torch.Generator) -> None:
    if draw.is_uniform:
        bound = draw.std * math.sqrt(3)
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    else:
        nn.init.normal_(parameter, std=draw.std, generator=generator)


def _normal(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """Every matrix alike (BERT, arXiv:1810.04805; Llama)."""
    return Draw(STD)


def _scaled(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """Less where a block adds to the residual stream, which holds the sum's variance (GPT-2, section 2.3)."""
    n_sums = (3 if trunk.reads_source else 2) * trunk.n_layers
    return Draw(STD / math.sqrt(n_sums) if name.endswith(RESIDUAL_OUTPUTS) else STD)


def _t5(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """Mesh TensorFlow's: vocabulary 1, matrices 1/sqrt(fan-in), queries less by the root of a head's width.

    That root is missing from the attention itself. Source: arXiv:1910.10683 section 3.1.1 and its code.
    """
    if name.endswith(EMBEDDINGS) or name == "head.weight":
        return Draw(1.0)
    if name.endswith("distances.weight"):
        return Draw(trunk.dim**-0.5)
    root = trunk.head_dim if name.endswith((".attention.q.weight", ".cross.q.weight")) else 1
    return Draw((_fans(shape)[0] * root) ** -0.5)


def _xavier(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """Uniform, by the mean of both fans (Glorot and Bengio 2010); embeddings 1/sqrt(dim), as in 2017."""
    if name.endswith(EMBEDDINGS) or name == "head.weight":
        return Draw(trunk.dim**-0.5)
    return Draw(math.sqrt(2 / sum(_fans(shape))), is_uniform=True)


def _kaiming(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """By the fan-in, twice the variance for what a ReLU cuts off (arXiv:1502.01852, equation 10)."""
    is_layer = not name.endswith(EMBEDDINGS) and name != "head.weight"
    return Draw(math.sqrt(2 / _fans(shape)[0]) if is_layer else STD)


def _mup(name: str, shape: torch.Size, trunk: TransformerConfig) -> Draw:
    """Hidden matrices less in wide models; the rest of muP is in width.py."""
    is_input = name.startswith(INPUTS) or name.endswith("distances.weight") or name == "head.weight"
    return Draw(STD if is_input else STD * hidden_gain(trunk.dim))


SCHEMES: dict[str, Callable[[str, torch.Size, TransformerConfig], Draw]] = {
    "normal": _normal,
    "scaled": _scaled,
    "t5": _t5,
    "xavier": _xavier,
    "kaiming": _kaiming,
    "mup": _mup,
}
"""Parameter name, shape and trunk → how it is drawn."""


def _fans(shape: torch.Size) -> tuple[int, int]:
    """Return how many numbers one output is a sum of, and one input goes to; (out, in, width) for sound."""
    width = shape[2:].numel()
    return shape[1] * width, shape[0] * width


def _last_norm(config: ModelConfig) -> str:
    """Return the name of the gain right before the vocabulary's matrix."""
    assert isinstance(config.trunk, TransformerConfig)
    if config.head.layer == "transform":
        return "head.transform.norm.weight"
    if config.trunk.norm_place == "before":
        return "trunk.norm.weight"
    return f"trunk.blocks.{config.n_layers - 1}.mlp_norm.weight"


def _last_gain(config: ModelConfig) -> float:
    """Return how loud the last norm starts.

    Under embeddings as large as T5's or those of 2017 the first scores would be far from even, above all
    that of the token just read: a first loss of 0.5 to 1 above ln(vocab_size), and of 50 for an untied
    T5. So only there the norm starts lower, which no paper says, and every matrix stays as published. No
    lower than it must: a quiet start learns more slowly.
    """
    trunk = config.trunk
    assert isinstance(trunk, TransformerConfig)
    if config.head.kind != "tokens" or trunk.init not in ("t5", "xavier"):
        return 1.0
    std = SCHEMES[trunk.init]("head.weight", torch.Size((config.vocab_size, trunk.dim)), trunk).std
    root = math.sqrt(trunk.dim)
    wanted = min(FIRST_SCORES, TOKEN_READ / root)
    return min(1.0, wanted / (root * std * config.head.scale))


def _recurrent(name: str, parameter: Tensor, config: ModelConfig, generator: torch.Generator) -> None:
    """Uniform within 1/sqrt(C); a forget gate starts open (Jozefowicz et al. 2015)."""
    assert isinstance(config.trunk, RecurrentConfig)
    gates = ".weight_hh" in name or ".weight_ih" in name or ".bias_" in name
    width = parameter.shape[0] // N_GATES[config.trunk.cell] if gates else parameter.shape[-1]
    bound = 1 / math.sqrt(width)
    if not gates and parameter.ndim == 1:
        nn.init.zeros_(parameter)
        return
    nn.init.uniform_(parameter, -bound, bound, generator=generator)
    if (
        config.trunk.cell == "lstm" and ".bias_" in name
    ):  # torch's order of gates: input, forget, cell, output
        parameter[width : 2 * width] = 1.0 if ".bias_ih" in name else 0.0


def _word_vectors(name: str, parameter: Tensor, config: ModelConfig, generator: torch.Generator) -> None:
    """Words within 0.5/C, contexts 0, as in the code of arXiv:1310.4546."""
    if name == "stem.tokens.weight":
        nn.init.uniform_(parameter, -0.5 / config.dim, 0.5 / config.dim, generator=generator)
    elif name == "head.weight" or parameter.ndim == 1:
        nn.init.zeros_(parameter)
    else:
        nn.init.normal_(parameter, std=STD, generator=generator)


_RULES = {TransformerConfig: _transformer, RecurrentConfig: _recurrent, NoTrunkConfig: _word_vectors}
