"""A bare training loop around a peer's model: transformers' GPT-2, LitGPT's or nanoGPT's.

Runs in the peer's own environment; see `turns.py`. nanoGPT is no package: its model.py is read from
the folder that the parent names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from token_windows import Windows
from torch import Tensor, nn
from torch.nn import functional as F
from turns import Turns, spec

Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    asked = spec()
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(1)
    turns = Turns(asked["warm_up"], asked["block"])
    model, loss = MODELS[asked["kind"]](asked)
    model.train()
    if asked.get("compile"):
        model.compile()
    optimizer = optimizer_for(model, asked)
    for step, (tokens, targets) in enumerate(
        Windows(asked["tokens"], asked["context"]).batches(asked["batch"]), 1
    ):
        for group in optimizer.param_groups:
            group["lr"] = asked["lr"] * min(1.0, step / 1000)
        value = loss(tokens, targets)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value.item()
        turns.count(tokens.numel(), targets.numel(), tokens.numel())
        turns.step()


def optimizer_for(model: nn.Module, asked: dict[str, Any]) -> torch.optim.Optimizer:
    """Return AdamW in one kernel, matrices decayed."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": asked["weight_decay"]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=asked["lr"], betas=(0.9, 0.95), fused=True)


def transformers_gpt2(asked: dict[str, Any]) -> tuple[nn.Module, Loss]:
    """Hugging Face's model; the loss over all logits at once."""
    import trainer_side

    model = trainer_side.pretraining(asked)["model"]
    return model, lambda x, y: F.cross_entropy(model(input_ids=x).logits.flatten(0, 1), y.flatten())


def litgpt_gpt(asked: dict[str, Any]) -> tuple[nn.Module, Loss]:
    """LitGPT's model of the same width and depth, rotary positions and an untied head, and its loss."""
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=asked["context"],
        padded_vocab_size=asked["vocab"],
        vocab_size=asked["vocab"],
        n_layer=asked["n_layers"],
        n_head=asked["n_heads"],
        n_embd=asked["dim"],
        rotary_percentage=1.0,
        parallel_residual=False,
        gelu_approximate="tanh",
    )
    model = GPT(config)
    return model, lambda x, y: chunked_cross_entropy(model(x), y)


def nanogpt_gpt(asked: dict[str, Any]) -> tuple[nn.Module, Loss]:
    """nanoGPT's model and its own loss."""
    sys.path.insert(0, asked["nanogpt"])
    from model import GPT, GPTConfig

    model = GPT(
        GPTConfig(
            block_size=asked["context"],
            vocab_size=asked["vocab"],
            n_layer=asked["n_layers"],
            n_head=asked["n_heads"],
            n_embd=asked["dim"],
            dropout=0.0,
        )
    )
    return model, lambda x, y: model(x, y)[1]


MODELS = {"transformers": transformers_gpt2, "litgpt": litgpt_gpt, "nanogpt": nanogpt_gpt}

if __name__ == "__main__":
    main()
