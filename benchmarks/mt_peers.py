"""Translation, side by side: Luban and Marian in transformers, for the same CPU time on the same pairs.

    python benchmarks/mt_peers.py PAIRS PEER_PYTHON OUT --cpu-minutes 20

Both train the same shape from scratch with the same tokenizer, schedule and smoothing, one thread each, at
the same time, until its CPU time is used: a busy machine is fair to both. OUT/seconds holds that time and
may be changed while they run. Scored on the test part with five beams.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

SIDE = Path(__file__).parent / "peers" / "mt_trainer_side.py"
OURS, PEER, ROWS = "luban", "marian", "rows"
MANY_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What both sides are told."""

    data: str
    out: str
    seconds: float
    reverse: bool = False
    seed: int = 1
    family: str = "original"
    init: str = "normal"
    vocab_size: int = 4000
    dim: int = 256
    n_layers: int = 2
    n_heads: int = 4
    ffn_dim: int = 512
    dropout: float = 0.1
    lr: float = 2e-3
    warmup_steps: int = 300
    tokens_per_batch: int = 1024
    look_every: int = 300
    save_every: int = 150
    average: int = 5
    max_len: int = 128
    label_smoothing: float = 0.1


def main() -> None:
    """Run both, score both, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("peer_python", help="- for none: Luban alone")
    parser.add_argument("out")
    parser.add_argument("--cpu-minutes", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], help="a field of Plan, such as dropout=0.2")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--score", action="store_true", help="only score what is there")
    args = parser.parse_args()
    plan = Plan(args.data, args.out, args.cpu_minutes * 60)
    for text in args.set:
        name, _, value = text.partition("=")
        plan = replace(plan, **{name: json.loads(value)})
    if args.ours:
        train_ours(plan)
        return
    out = Path(plan.out)
    if not args.score:
        write_rows(plan)
        (out / "seconds").write_text(str(plan.seconds))
        both = [_start([sys.executable, __file__, *sys.argv[1:], "--ours"], out / OURS, 0)]
        if args.peer_python != "-":
            both.append(_start([args.peer_python, str(SIDE), str(out / "peer.json")], out / PEER, 1))
        for process in both:
            if process.wait():
                raise SystemExit(f"a side failed; see the log in {out}")
    print(json.dumps(compare(plan), indent=1))


def write_rows(plan: Plan) -> None:
    """Split the pairs, train the tokenizer, and leave both for the two sides."""
    from luban.files import write_jsonl
    from luban.tasks.translate import training_texts
    from luban.tasks.translate_rows import read_pairs
    from luban.tasks.translate_settings import PairColumns
    from luban.tokenizer.train import train_joint_bpe

    pairs = read_pairs(Path(plan.data), PairColumns(), reverse=plan.reverse)
    texts = training_texts(pairs.train, True)
    tokenizer = train_joint_bpe([t for pair in texts for t in pair], plan.vocab_size)
    out = Path(plan.out)
    tokenizer.save(out / "tokenizer")
    (out / ROWS).mkdir(parents=True, exist_ok=True)
    write_jsonl(out / ROWS / "train.jsonl", [{"source": s, "target": t} for s, t in texts])
    for name in ("validation", "test"):
        rows = [
            {"source": p.source, "target": p.target, "references": p.references} for p in pairs.part(name)
        ]
        write_jsonl(out / ROWS / f"{name}.jsonl", rows)
    lengths = [sum(map(len, tokenizer.encode_batch(list(pair)))) + 2 for pair in texts]
    task = {
        "seconds": str(out / "seconds"),
        "out": str(out / PEER),
        "rows": str(out / ROWS),
        "tokenizer": str(out / "tokenizer"),
        "shape": {k: getattr(plan, k) for k in ("dim", "n_layers", "n_heads", "ffn_dim", "dropout")},
        "rows_per_batch": round(plan.tokens_per_batch / (sum(lengths) / len(lengths))),
        **{
            k: getattr(plan, k)
            for k in ("seed", "lr", "warmup_steps", "look_every", "max_len", "label_smoothing")
        },
    }
    (out / "peer.json").write_text(json.dumps(task, indent=1), "utf-8")


def train_ours(plan: Plan) -> None:
    """Train by the task's own preparation, translate the test rows, and write what came of it."""
    import torch

    from luban.errors import Interrupted
    from luban.files import write_json
    from luban.log import Log
    from luban.tasks.model_settings import ModelSettings
    from luban.tasks.prepared import train_prepared
    from luban.tasks.translate import prepare
    from luban.tasks.translate_average import average_if_better
    from luban.tasks.translate_rows import read_pairs
    from luban.tasks.translate_settings import TranslateSettings
    from luban.tasks.translator import Translator
    from luban.tokenizer import load_tokenizer
    from luban.train.run import CHECKPOINTS

    torch.set_num_threads(1)
    out = Path(plan.out) / OURS
    inputs = {"data": Path(plan.data), "tokenizer": Path(plan.out) / "tokenizer"}
    shape = {k: getattr(plan, k) for k in ("dim", "n_layers", "n_heads", "ffn_dim", "dropout")}
    same = ("seed", "lr", "tokens_per_batch", "max_len", "label_smoothing", "reverse")
    settings = TranslateSettings(
        model=ModelSettings(family=plan.family, size="tiny", init=plan.init, **shape),
        steps=MANY_STEPS,
        warmup_share=plan.warmup_steps / MANY_STEPS,
        evaluate_every_steps=plan.look_every,
        save_every_steps=plan.save_every,
        average_checkpoints=plan.average,
        sample_rows=0,
        threads=1,
        trackers=(),
        compile="off",
        **{k: getattr(plan, k) for k in same},
    )
    prepared = prepare(settings, inputs, out, Log())
    budget = Budget(prepared.run.batches, Path(plan.out) / "seconds")
    run = replace(prepared.run, batches=budget)
    with contextlib.suppress(Interrupted):  # how the time's end looks from here
        train_prepared(replace(prepared, run=run), out, Log())
    averaged = average_if_better(run.model, out / CHECKPOINTS, plan.average, run.evaluate, Log())
    seconds = time.process_time() - budget.start
    pairs = read_pairs(Path(plan.data), settings.columns, reverse=plan.reverse)
    found = Translator(run.model, load_tokenizer(Path(plan.out) / "tokenizer")).translate(
        [p.source for p in pairs.test]
    )
    (out / "translations.txt").write_text("\n".join(t.text for t in found) + "\n", "utf-8")
    write_json(out / "facts.json", {"cpu_seconds": seconds, "steps": budget.step, "averaged": averaged})


class Budget:
    """Batches that ask the run to stop when its CPU time is used."""

    def __init__(self, batches: Any, seconds: Path):
        self.batches, self.seconds, self.start, self.step = batches, seconds, time.process_time(), 0

    def at(self, step: int) -> Any:
        """Return the batches of a step."""
        self.step = step
        if time.process_time() - self.start > float(self.seconds.read_text()):
            os.kill(os.getpid(), signal.SIGTERM)
        return self.batches.at(step)


def compare(plan: Plan) -> dict[str, object]:
    """Return the scores of both sides, against one reference and against all, and their difference."""
    from luban.evaluate.bleu import Counts, score_translations
    from luban.evaluate.intervals import Plan as Drawing
    from luban.evaluate.intervals import paired_bootstrap
    from luban.files import read_json, read_jsonl

    out, drawing = Path(plan.out), Drawing()
    rows = list(read_jsonl(out / ROWS / "test.jsonl"))
    sides = [side for side in (OURS, PEER) if (out / side / "translations.txt").is_file()]
    texts = {side: (out / side / "translations.txt").read_text("utf-8").split("\n")[:-1] for side in sides}
    found: dict[str, object] = {"plan": asdict(plan)}
    kinds = {"single": [r["references"][:1] for r in rows], "multi": [r["references"] for r in rows]}
    for kind, references in kinds.items():
        for side in sides:
            scored = score_translations(texts[side], references, drawing)
            found[f"{side} {kind}"] = {n: s.plain() for n, s in scored.scores.items()} | {
                "signatures": scored.signatures
            }
        if len(sides) == 2:
            ours, peer = (Counts(texts[side], references) for side in sides)
            apart = paired_bootstrap(peer.statistic, ours.statistic, len(rows), drawing)
            found[f"{OURS} minus {PEER} {kind}"] = {name: d.plain() for name, d in apart.items()}
    for side in sides:
        facts = read_json(out / side / "facts.json")
        found[f"{side} facts"] = {k: facts[k] for k in facts if k != "looks"}
    return found


def _start(command: Sequence[str], out: Path, core: int) -> subprocess.Popen[bytes]:
    out.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    pinned = ["taskset", "-c", str(core), "nice", "-n", "5", *command]
    with (out / "log.txt").open("wb") as log:
        return subprocess.Popen(pinned, stdout=log, stderr=log, env={**os.environ, **threads})


if __name__ == "__main__":
    main()
