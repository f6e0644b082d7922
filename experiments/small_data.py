"""How many labelled rows make which classifier worth training: accuracy on the same held-out rows.

    python experiments/small_data.py rows.jsonl.gz --rows 100 1000 [--model FOLDER]

Every candidate is trained with the settings that `luban train` chooses for it. One thread.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from luban.data.examples import read_labelled
from luban.files import write_jsonl
from luban.log import Log
from luban.tasks.bag import bag
from luban.tasks.classify import classify
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.score import score
from luban.tasks.settings import BagSettings, ColumnSettings, ScoreSettings

SCRATCH = {
    "mean of vectors": ModelSettings(family="word2vec", size="tiny", dim=128, dropout=0.4),
    "LSTM": ModelSettings(family="recurrent", size="tiny", dim=128, dropout=0.4),
    "Transformer": ModelSettings(family="bert", size="tiny", dim=128, n_layers=1, dropout=0.2),
}
ALIKE: dict[str, Any] = {"pool": "mean", "threads": 1, "save_every_steps": 1_000_000}
N_TEST = 600


def main() -> None:
    """Print one line for each amount of rows and candidate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--only", nargs="+", default=["bag", *SCRATCH, "fine-tuned"])
    parser.add_argument("--model", type=Path, help="model folder to fine-tune too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for n in asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), asked, n)


def compare(folder: Path, asked: argparse.Namespace, n: int) -> None:
    """Train every candidate on the same n rows and score it."""
    data = folder / "rows.jsonl"
    examples = [example for example, _ in read_labelled(asked.data, ColumnSettings())[0]]
    random.Random(1).shuffle(examples)
    n_validation = max(20, n // 5)
    parts = ["test"] * N_TEST + ["validation"] * n_validation + ["train"] * n
    write_jsonl(
        data,
        ({"text": e.text, "label": e.label, "split": s} for e, s in zip(examples, parts, strict=False)),
    )
    quiet = Log(quiet=True)
    for name in asked.only:
        if name == "fine-tuned" and not asked.model:
            continue
        out = folder / name
        out.mkdir()
        start = time.process_time()
        if name == "bag":
            bag(BagSettings(), {"data": data}, out, quiet)
        elif name == "fine-tuned":
            classify(ClassifySettings(**ALIKE), {"data": data, "model": asked.model}, out, quiet)
        else:
            classify(ClassifySettings(model=SCRATCH[name], **ALIKE), {"data": data}, out, quiet)
        seconds = time.process_time() - start
        scored = folder / f"{name}-scores"
        scored.mkdir()
        metrics = score(ScoreSettings(resamples=200), {"model": out, "data": data}, scored, quiet)["metrics"]
        accuracy, f1 = metrics["accuracy"], metrics["macro_f1"]["value"]
        print(
            f"{asked.data.parent.name} {n} {name}: {accuracy['value']:.3f} "
            f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}] f1 {f1:.3f} {seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
