"""How far our log-likelihoods in lm-eval are from those of its own Hugging Face backend.

python benchmarks/harness_parity.py MODEL --choices agieval.jsonl.gz --pairs blimp.jsonl.gz --rows 40

Both get the same requests and the same weights (MODEL is saved once as a Hugging Face folder), in float32.
Each file is read in order with an even stride; the largest absolute difference is printed in nats.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import luban
from luban.evaluate.choice import read_choices
from luban.evaluate.harness import harness_model
from luban.evaluate.pairs import read_pairs
from luban.files import read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--choices", type=Path, action="append", default=[])
    parser.add_argument("--pairs", type=Path, action="append", default=[])
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--written", type=int, default=5, help="contexts after which both write greedily")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = luban.load(given.model)
        luban.save(model, tokenizer, folder)
        theirs = hugging_face(folder)
    ours = harness_model(model, tokenizer)
    for path in (*given.choices, *given.pairs):
        rows = strided(list(read_jsonl(path)), given.rows)
        asked = pairs_of(rows) if path in given.pairs else choices_of(rows)
        print(json.dumps({"file": str(path), **differences(ours, theirs, asked, given.written)}))


def hugging_face(folder: str) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=8)


def strided(rows: list[Any], n: int) -> list[Any]:
    return rows[:: max(1, len(rows) // n)][:n]


def choices_of(rows: list[Any]) -> list[tuple[str, str]]:
    return [(q.prompt, rest) for q in read_choices(rows).questions for rest in q.rests]


def pairs_of(rows: list[Any]) -> list[tuple[str, str]]:
    return [("", text) for pair in read_pairs(rows).pairs for text in (pair.good, pair.bad)]


def differences(ours: Any, theirs: Any, asked: list[tuple[str, str]], n_written: int) -> dict[str, Any]:
    from lm_eval.api.instance import Instance

    def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        return [Instance(kind, {}, a, i) for i, a in enumerate(arguments)]

    found, seconds = [], []
    for lm in (ours, theirs):
        start = time.process_time()
        found.append(lm.loglikelihood(requests("loglikelihood", list(asked)), disable_tqdm=True))
        seconds.append(round(time.process_time() - start, 1))
    apart = [abs(a[0] - b[0]) for a, b in zip(*found, strict=True)]
    whole = [(context + rest,) for context, rest in asked[:n_written]]
    rolled = [
        lm.loglikelihood_rolling(requests("loglikelihood_rolling", whole), disable_tqdm=True)
        for lm in (ours, theirs)
    ]
    writing = [
        (context or rest, {"until": ["\n\n"], "max_gen_toks": 16}) for context, rest in asked[:n_written]
    ]
    written = [
        lm.generate_until(requests("generate_until", writing), disable_tqdm=True) for lm in (ours, theirs)
    ]
    return {
        "requests": len(asked),
        "largest_difference_nats": max(apart),
        "mean_log_likelihood": sum(a[0] for a in found[0]) / len(asked),
        "greedy_differs": sum(a[1] != b[1] for a, b in zip(*found, strict=True)),
        "rolling_difference_nats": max(abs(a - b) for a, b in zip(*rolled, strict=True)),
        "texts_written_alike": f"{sum(a == b for a, b in zip(*written, strict=True))} of {len(writing)}",
        "cpu_seconds": {"ours": seconds[0], "theirs": seconds[1]},
    }


if __name__ == "__main__":
    main()
