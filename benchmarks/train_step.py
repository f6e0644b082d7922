"""Time one training step (forward and backward) of GPT-2 here against transformers, taken in turns.

python benchmarks/train_step.py --rounds 3
Prints one JSON line. Trust the ratios: neighbours on a shared machine change both times alike. With
`--threads 1` the seconds are those of the processor, which neighbours hardly change.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

DIM, N_LAYERS, N_HEADS, VOCAB_SIZE = 384, 6, 6, 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2, help="steps timed in each round")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    torch.manual_seed(1)
    tokens = torch.randint(0, VOCAB_SIZE, (asked.batch, asked.context + 1))
    steps = {"luban": luban_step(tokens), "transformers": transformers_step(tokens)}
    for step in steps.values():
        step()  # warm up: allocator, kernels
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(asked.rounds):
        for name, step in steps.items():
            for _ in range(asked.steps):
                start = clock()
                step()
                seconds[name].append(clock() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    rounds = zip(*(seconds[name] for name in ("transformers", "luban")), strict=True)
    print(
        json.dumps(
            {
                "bench": "train_step",
                "shape": f"gpt2 {N_LAYERS} x {DIM}, {asked.batch} x {asked.context} tokens of {VOCAB_SIZE}",
                "tokens_per_second": {n: round(asked.batch * asked.context / s) for n, s in median.items()},
                "best_seconds": {n: round(min(s), 3) for n, s in seconds.items()},
                "ratio": round(median["transformers"] / median["luban"], 3),
                "ratios": [round(theirs / ours, 3) for theirs, ours in rounds],
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "cpu": platform.processor() or platform.machine(),
            }
        )
    )


def luban_step(tokens: torch.Tensor) -> Callable[[], None]:
    from luban.models.build import build_model
    from luban.models.families import FAMILIES

    size = {"dim": DIM, "n_layers": N_LAYERS, "n_heads": N_HEADS, "max_len": tokens.shape[1]}
    model = build_model(FAMILIES["gpt2"].config("tiny", vocab_size=VOCAB_SIZE, **size)).train()
    return _step(model, lambda: model(tokens[:, :-1]), tokens)


def transformers_step(tokens: torch.Tensor) -> Callable[[], None]:
    import transformers

    config = transformers.GPT2Config(
        vocab_size=VOCAB_SIZE,
        n_positions=tokens.shape[1],
        n_embd=DIM,
        n_layer=N_LAYERS,
        n_head=N_HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).train()
    return _step(model, lambda: model(input_ids=tokens[:, :-1]).logits, tokens)


def _step(
    model: torch.nn.Module, forward: Callable[[], torch.Tensor], tokens: torch.Tensor
) -> Callable[[], None]:
    def step() -> None:
        loss = F.cross_entropy(forward().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        model.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
