"""Pre-training against Hugging Face's Trainer, LitGPT, nanoGPT and a bare loop, in turns.

    python benchmarks/pretrain_peers.py --peer ENV/bin/python --litgpt ENV/bin/python --nanogpt FOLDER
    python benchmarks/pretrain_peers.py --size 124m --rounds 4 --block 2 ...

Ours is the command `luban train`, with its progress lines and metrics file. All sides: GPT-2's shape, the
same windows of real text (one document, so that nobody masks), float32, no dropout, fused AdamW, gradient
norm clipped to 1. LitGPT's model has rotary positions and an untied head. A side that is not installed is
reported as missing. `ratio` > 1: ours is faster; `memory_ratio` < 1: ours needs less. One JSON line.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers.alternate import Side, alternate, arguments, ours, show, turns

from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.places import find_input
from luban.tokenizer.train import train_bpe

SIZES: dict[str, dict[str, int]] = {
    "10m": {"dim": 384, "n_layers": 6, "n_heads": 6, "context": 256, "vocab": 8192, "batch": 16},
    "124m": {"dim": 768, "n_layers": 12, "n_heads": 12, "context": 512, "vocab": 50257, "batch": 2},
}
LR, WEIGHT_DECAY = 3e-4, 0.1
N_TEXTS = 8000


def main() -> None:
    parser = arguments(__doc__, rounds=5, block=3)
    parser.add_argument("--size", choices=SIZES, default="10m")
    parser.add_argument("--peer", default="", help="interpreter with transformers and accelerate")
    parser.add_argument("--litgpt", default="", help="interpreter with litgpt")
    parser.add_argument("--nanogpt", default="", help="folder with nanoGPT's model.py; --peer runs it")
    parser.add_argument("--compiled", action="store_true", help="add nanoGPT compiled")
    asked = parser.parse_args()
    size = SIZES[asked.size]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder / "shards", size["context"], size["vocab"])
        write_model(folder / "model", folder / "shards/tokenizer", size)
        common = {
            **size,
            **turns(asked),
            "task": "pretrain",
            "tokens": str(folder / "shards/train.bin"),
            "out": str(folder / "peer"),
            "lr": LR,
            "weight_decay": WEIGHT_DECAY,
            "nanogpt": asked.nanogpt,
        }
        sides = [
            ours(command(folder, size, asked.threads), asked),
            Side("trainer", asked.peer, "trainer_side.py", common),
            Side("bare_loop", asked.peer, "bare_side.py", {**common, "kind": "transformers"}),
            Side("litgpt", asked.litgpt, "bare_side.py", {**common, "kind": "litgpt"}),
        ]
        nanogpt = asked.peer if asked.nanogpt else ""
        sides.append(Side("nanogpt", nanogpt, "bare_side.py", {**common, "kind": "nanogpt"}))
        if asked.compiled:
            compiled = {**common, "kind": "nanogpt", "compile": True}
            sides.append(Side("nanogpt_compiled", nanogpt, "bare_side.py", compiled))
        figures = alternate(sides, folder, asked.rounds, asked.threads)
        show("pretrain_peers", {"size": asked.size, **size}, figures, asked.threads)


def write_shards(folder: Path, context: int, vocab: int, validation_windows: int = 2) -> None:
    """Encode the bundled reviews as one document a split, with a tokenizer of at most `vocab` tokens."""
    with gzip.open(find_input("bundled:quickstart/sentiment-en.jsonl.gz"), "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:N_TEXTS]
    tokenizer = train_bpe(iter(texts), min(vocab, 8192), template=False)
    folder.mkdir()
    ids = [i for row in tokenizer.encode_batch(texts) for i in row]
    for split, n in (("train", len(ids)), ("validation", validation_windows * context + 1)):
        with ShardWriter(folder, split, tokenizer.vocab_size) as writer:
            writer.add(split, ids[:n], 4 * n)
    np.save(folder / TOKEN_BYTES, np.full(tokenizer.vocab_size, 4.0))
    tokenizer.save(folder / "tokenizer")


def write_model(folder: Path, tokenizer: Path, size: dict[str, int]) -> None:
    """Save a GPT-2 of random weights with exactly the vocabulary that the peers have."""
    shape = {k: size[k] for k in ("dim", "n_layers", "n_heads")}
    config = FAMILIES["gpt2"].config(
        "tiny", vocab_size=size["vocab"], max_len=size["context"], dropout=0.0, **shape
    )
    save_model(build_model(config), folder)
    for file in tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


def command(folder: Path, size: dict[str, int], threads: int) -> list[str]:
    settings: dict[str, Any] = {
        "steps": 100_000,
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
        "context": size["context"],
        "batch_size": size["batch"],
        "evaluate_every_steps": 100_000,
        "save_every_steps": 100_000,
        "validation_windows": 1,
        "compile": '"off"',
        "threads": threads,
    }
    sets = [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]
    places = {"data": "shards", "model": "model", "out": "ours"}
    named = [part for k, v in places.items() for part in (f"--{k}", str(folder / v))]
    return ["train", "--task", "pretrain", *named, *sets]


if __name__ == "__main__":
    main()
