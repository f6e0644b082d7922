"""A new model with the initial weights its family's paper publishes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from luban.models.config import ModelConfig, RecurrentConfig
from luban.models.model import Model
from luban.models.stems import SinusoidTable

STD = 0.02
"""Standard deviation of GPT-2, BERT and Llama."""
RESIDUAL_OUTPUTS = ("attention.out.weight", "cross.out.weight", "mlp.down.weight")
N_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def build_model(config: ModelConfig, seed: int = 1) -> Model:
    """Return a model with fresh weights, the same for the same seed; torch's own seed is untouched."""
    with torch.device("meta"):  # weights drawn twice would cost twice
        model = Model(config)
    model.to_empty(device="cpu")
    model.tie()
    initialise(model, seed)
    return model


@torch.no_grad()
def initialise(model: Model, seed: int, only: frozenset[str] | None = None) -> None:
    """Draw all weights, or only those of the parameters named.

    Transformers: normal with deviation 0.02; "scaled" divides it by sqrt(2·n_layers) where a block
    adds to the residual stream, which holds the sum's variance (GPT-2). LSTM: uniform within
    1/sqrt(C), and a forget gate that starts open (Jozefowicz et al. 2015).
    """
    generator = torch.Generator().manual_seed(seed)
    computed = constants(model)
    trunk = model.config.trunk
    for name, parameter in model.named_parameters():
        if only is not None and name not in only:
            continue
        if name in computed:
            model.get_submodule(name.rpartition(".")[0]).fill()  # type: ignore[operator]
        elif isinstance(trunk, RecurrentConfig):
            _recurrent(name, parameter, generator, trunk.cell)
        else:
            _transformer(name, parameter, generator, _std(name, model.config))


def constants(model: Model) -> frozenset[str]:
    """Return the names of parameters that are computed, not learnt."""
    return frozenset(
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, SinusoidTable)
    )


def _std(name: str, config: ModelConfig) -> float:
    is_scaled = getattr(config.trunk, "init", "normal") == "scaled" and name.endswith(RESIDUAL_OUTPUTS)
    return STD / math.sqrt(2 * config.n_layers) if is_scaled else STD


def _transformer(name: str, parameter: Tensor, generator: torch.Generator, std: float) -> None:
    if parameter.ndim > 1:
        nn.init.normal_(parameter, std=std, generator=generator)
    elif name.endswith("norm.weight"):
        nn.init.ones_(parameter)
    else:
        nn.init.zeros_(parameter)


def _recurrent(name: str, parameter: Tensor, generator: torch.Generator, cell: str) -> None:
    gates = ".weight_hh" in name or ".weight_ih" in name or ".bias_" in name
    width = parameter.shape[0] // N_GATES[cell] if gates else parameter.shape[-1]
    bound = 1 / math.sqrt(width)
    if not gates and parameter.ndim == 1:
        nn.init.zeros_(parameter)
        return
    nn.init.uniform_(parameter, -bound, bound, generator=generator)
    if cell == "lstm" and ".bias_" in name:  # torch's order of gates: input, forget, cell, output
        parameter[width : 2 * width] = 1.0 if ".bias_ih" in name else 0.0
