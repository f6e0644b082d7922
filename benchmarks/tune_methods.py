"""What each way to tune costs: memory, speed, what learns, and how large the folder is.

    python benchmarks/tune_methods.py MODEL [--methods full lora ...] [--steps 6] [--tokens 512]

MODEL is the folder of a decoder. Each method runs in a process of its own, on one thread: it opens the model,
is put on, takes a few AdamW steps of next-token training on random ids (one row), and saves. One JSON line
each: learning_share; load_mb and peak_mb (resident, after opening and at most); train_mb (resident after the
last step); seconds_per_step (CPU, the mean after the first); saved_mb (what is to be kept beside the base).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from luban.device import memory_bytes
from luban.models.load import load_model
from luban.objectives.next_token import next_token
from luban.optim.build import build_optimizer
from luban.records import Batch
from luban.train.engine import Course, train
from luban.train.settings import TrainSettings
from luban.tune.methods import METHODS, apply_method
from luban.tune.settings import BottleneckSettings, FrontSettings, LoraSettings, QuantiseSettings


@dataclass(frozen=True)
class Settings:
    """What the methods read."""

    seed: int = 1
    lora: LoraSettings = field(default_factory=LoraSettings)
    front: FrontSettings = field(default_factory=FrontSettings)
    bottleneck: BottleneckSettings = field(default_factory=BottleneckSettings)
    quantise: QuantiseSettings = field(default_factory=QuantiseSettings)


class Rows:
    """One row of random ids a step."""

    def __init__(self, vocab_size: int, n_tokens: int):
        generator = torch.Generator().manual_seed(1)
        self._row = torch.randint(vocab_size, (1, n_tokens), generator=generator)

    def at(self, step: int) -> list[Batch]:
        """Return the row."""
        return [Batch(tokens=self._row, documents=torch.ones_like(self._row), targets=self._row.roll(-1))]


def measure(folder: Path, name: str, n_steps: int, n_tokens: int) -> dict[str, object]:
    """Tune by one method, such as lora, or qlora:nf4."""
    method, _, bits = name.partition(":")
    model = load_model(folder)
    loaded = memory_bytes(torch.device("cpu"))
    settings = Settings(quantise=QuantiseSettings(bits=bits or "int8"))  # type: ignore[arg-type]
    applied = apply_method(model, method, settings)
    plan = TrainSettings(steps=n_steps)
    course = Course(
        model=model,
        batches=Rows(model.config.vocab_size, n_tokens),  # type: ignore[arg-type]
        objective=next_token,
        optimizer=build_optimizer(model, plan),
        lr_at=lambda step: 1e-4,
        settings=plan,
    )
    seconds, started = [], time.process_time()
    for step in train(course):
        assert not step.bad
        seconds.append(time.process_time() - started)
        started = time.process_time()
    trained = memory_bytes(torch.device("cpu"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as out:
        applied.save(model, Path(out), folder)
        own = [Path(out) / "adapter", Path(out)]
        kept = next(place for place in own if place.is_dir())
        saved = sum(p.stat().st_size for p in kept.glob("*") if p.is_file())
    return {
        "method": name,
        "learning_share": round(applied.n_learning / applied.n_total, 5),
        "learning": applied.n_learning,
        "load_mb": round(loaded / 2**20),
        "train_mb": round(trained / 2**20),
        "peak_mb": round(peak),
        "seconds_per_step": round(sum(seconds[1:]) / max(1, len(seconds) - 1), 2),
        "saved_mb": round(saved / 2**20, 2),
    }


def main() -> None:
    """Print one line a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--methods", nargs="+", default=[m for m in METHODS if m not in ("head", "bitfit")])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--alone", action="store_true", help="measure the one method named, in this process")
    given = parser.parse_args()
    if given.alone:
        torch.set_num_threads(1)
        print(json.dumps(measure(given.model, given.methods[0], given.steps, given.tokens)), flush=True)
        return
    for method in given.methods:
        more = ["--alone", "--methods", method, "--steps", str(given.steps), "--tokens", str(given.tokens)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, __file__, str(given.model), *more], check=True, env=environment)


if __name__ == "__main__":
    main()
