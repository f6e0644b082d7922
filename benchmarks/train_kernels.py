"""Time one training step with and without each native kernel, in turns: what does each save?

    python benchmarks/train_kernels.py --model gpt2 --rounds 5

gpt2: 6 x 384, 16 x 256 tokens, all weights learn. llama: the shape of SmolLM2-135M, 1 x 512 tokens, LoRA of
rank 16 beside every linear layer. Seconds are those of the processor, on one thread, which neighbours hardly
change; the least of all rounds. `saved` is the share of a step with PyTorch's operators alone. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import nn

from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.next_token import next_token
from luban.records import Batch
from luban.train.kernels import Choice, leave_kernels, use_kernels
from luban.train.precision import Precision
from luban.tune.lora import attach
from luban.tune.settings import LoraSettings

VOCAB_SIZE = 8192
OPERATORS = {"gpt2": ("activation",), "llama": ("gated", "rotate")}
FLOAT32 = Precision(torch.float32, torch.device("cpu"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=OPERATORS, default="gpt2")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, batch = {"gpt2": gpt2, "llama": llama}[asked.model]()
    names = OPERATORS[asked.model]
    sides = {"none": (), **({name: (name,) for name in names} if len(names) > 1 else {}), "all": names}
    least: dict[str, float] = {}
    for _ in range(asked.rounds):
        for side, used in sides.items():
            put_on(model, used)
            seconds = min(step_seconds(model, batch) for _ in range(2))
            least[side] = min(seconds, least.get(side, seconds))
    saved = {side: round(1 - s / least["none"], 4) for side, s in least.items() if side != "none"}
    shown = {side: round(s, 3) for side, s in least.items()}
    print(json.dumps({"bench": "train_kernels", "model": asked.model, "seconds": shown, "saved": saved}))


def gpt2() -> tuple[nn.Module, Batch]:
    size = {"dim": 384, "n_layers": 6, "n_heads": 6, "max_len": 256}
    return build_model(FAMILIES["gpt2"].config("tiny", vocab_size=VOCAB_SIZE, **size)).train(), rows(16, 256)


def llama() -> tuple[nn.Module, Batch]:
    model = build_model(FAMILIES["llama"].config("smollm2-135m", vocab_size=49152)).train()
    attach(model, LoraSettings(rank=16, targets=("*.attention.*", "*.mlp.*")))
    return model, rows(1, 512)


def rows(n_rows: int, length: int) -> Batch:
    torch.manual_seed(1)
    tokens = torch.randint(0, VOCAB_SIZE, (n_rows, length + 1))
    return Batch(tokens[:, :-1].contiguous(), torch.ones(n_rows, length, dtype=torch.long), tokens[:, 1:])


def put_on(model: nn.Module, used: tuple[str, ...]) -> None:
    """Use the kernels of these operators alone."""
    leave_kernels(model)
    use_kernels(model, FLOAT32)
    for module in model.modules():
        for name, choice in [(n, v) for n, v in vars(module).items() if isinstance(v, Choice)]:
            if name not in used:
                setattr(module, name, choice.plain)


def step_seconds(model: nn.Module, batch: Batch) -> float:
    backward: Callable[[torch.Tensor], None] = torch.autograd.backward
    start = time.process_time()
    backward(next_token(model, batch).total)
    model.zero_grad(set_to_none=True)
    return time.process_time() - start


if __name__ == "__main__":
    main()
