"""Greedy decoding against the Hugging Face library: the same weights, prompts and threads, taken in turns.

    python benchmarks/decode.py                       # random weights of SmolLM2-135M's shape
    python benchmarks/decode.py --model FOLDER        # a Hugging Face folder, or a GGUF file

Each figure comes from a process of its own, which loads, warms up, and decodes several times when told to;
the two take turns, so a neighbour's load falls on both. A warm-up compiles Luban's kernels if need be.
With `--threads 1` the seconds are those of the processor, which neighbours hardly change.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIZES = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
    "rope_theta": 100_000.0, "tie_word_embeddings": True,
}  # fmt: skip
NAMES = ("luban", "transformers")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", type=Path, help="a folder or a GGUF file; default: random weights")
    p.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    p.add_argument("--prompt", type=int, default=128, help="tokens of the prompt")
    p.add_argument("--new", type=int, default=128, help="tokens to write")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3, help="pairs of turns")
    p.add_argument("--only", choices=NAMES, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.only:
        serve(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        args.model = args.model or random_model(Path(folder))
        for batch in args.batches:
            compare(args, batch)


def compare(args: argparse.Namespace, batch: int) -> None:
    """Let both decode in turns, and print medians, the best, and the ratio of each pair."""
    workers = {name: start(args, name) for name in NAMES}
    loads = {name: ask(worker, 0) for name, worker in workers.items()}
    for worker in workers.values():
        ask(worker, batch)  # warm up
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for i in range(args.rounds):
        for name in NAMES if i % 2 == 0 else NAMES[::-1]:
            rows[name].append(ask(workers[name], batch))
    print(f"\nbatch {batch}: {args.prompt} + {args.new} tokens, {args.threads} threads, {args.model.name}")
    for name in NAMES:
        rates = [row["tokens_per_second"] for row in rows[name]]
        prefill = statistics.median(row["prefill_seconds"] for row in rows[name])
        print(
            f"{name:13} {statistics.median(rates):7.1f} tokens/s decoding (best {max(rates):.1f}), "
            f"prompt {1000 * prefill:.0f} ms, load {loads[name]['seconds']:.1f} s, "
            f"peak {loads[name]['peak_bytes'] / 1e9:.2f} GB loading, "
            f"{rows[name][-1]['peak_bytes'] / 1e9:.2f} GB all"
        )
    ours, theirs = rows["luban"], rows["transformers"]
    pairs = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs, strict=True)]
    wholes = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    same = ours[0]["tokens"] == theirs[0]["tokens"]
    print(
        f"luban / transformers: median of pairs {statistics.median(pairs):.2f}, "
        f"lowest {min(pairs):.2f}, best against best "
        f"{max(r['tokens_per_second'] for r in ours) / max(r['tokens_per_second'] for r in theirs):.2f}; "
        f"the whole call {statistics.median(wholes):.2f}; "
        f"same tokens: {same}"
    )
    for worker in workers.values():
        worker.stdin.close()  # type: ignore[union-attr]
        worker.wait()


def start(args: argparse.Namespace, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--only", name, "--model", str(args.model)]
    command += ["--prompt", str(args.prompt), "--new", str(args.new), "--threads", str(args.threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: subprocess.Popen[str], batch: int) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{batch}\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def serve(args: argparse.Namespace) -> None:
    """Load, then decode a batch for every line read; 0 only says how long loading took."""
    from luban.device import peak_memory_bytes

    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    begin = clock()
    decode = {"luban": load_luban, "transformers": load_transformers}[args.only](args.model)
    seconds = clock() - begin
    for line in sys.stdin:
        row: dict[str, Any] = {"seconds": seconds, "peak_bytes": peak_memory_bytes()}
        if batch := int(line):
            generator = torch.Generator().manual_seed(batch)
            prompts = torch.randint(1000, 20_000, (batch, args.prompt), generator=generator)
            stamps = [clock()]
            tokens = decode(prompts, args.new, lambda stamps=stamps: stamps.append(clock()))
            row = {
                "tokens_per_second": batch * (args.new - 1) / (stamps[-1] - stamps[1]),
                "prefill_seconds": stamps[1] - stamps[0],
                "seconds": stamps[-1] - stamps[0],
                "tokens": tokens.tolist(),
                "peak_bytes": peak_memory_bytes(),
            }
        print(json.dumps(row), flush=True)


def load_luban(path: Path) -> Any:
    from luban.generate.reader import Prompts, Reader, evaluating
    from luban.models.load import load_model

    model = load_model(path)

    @torch.no_grad()
    def decode(prompts: torch.Tensor, n_new: int, tick: Callable[[], None]) -> torch.Tensor:
        with evaluating(model):
            reader = Reader(model, Prompts(prompts.tolist()), n_new)
            tokens = [reader.logits.argmax(-1)]
            tick()
            while len(tokens) < n_new:
                reader.read(tokens[-1])
                tokens.append(reader.logits.argmax(-1))
                tick()
        return torch.stack(tokens, dim=1)

    return decode


def load_transformers(path: Path) -> Any:
    """As its own documentation does it; the end token is switched off, so that both write as many."""
    import transformers

    if path.is_file():
        from luban.models.gguf import read_gguf_config
        from luban.models.weights import read_weights

        config = transformers.LlamaConfig.from_dict(read_gguf_config(path))
        model = transformers.LlamaForCausalLM.from_pretrained(
            None, config=config, state_dict=read_weights(path), dtype=torch.float32
        ).eval()
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    class Clock(transformers.generation.streamers.BaseStreamer):
        """Is told of the prompt, of every token, and of the end."""

        def __init__(self, tick: Callable[[], None]):
            self.tick, self.n_put = tick, 0

        def put(self, value: torch.Tensor) -> None:
            self.n_put += 1
            if self.n_put > 1:
                self.tick()

        def end(self) -> None:
            pass

    def decode(prompts: torch.Tensor, n_new: int, tick: Callable[[], None]) -> torch.Tensor:
        settings = {"max_new_tokens": n_new, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        out = model.generate(
            prompts, attention_mask=torch.ones_like(prompts), streamer=Clock(tick), **settings
        )
        return out[:, prompts.shape[1] :]

    return decode


def random_model(folder: Path) -> Path:
    import transformers

    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    model.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
