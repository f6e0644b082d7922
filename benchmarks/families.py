"""Forward and backward of each family against transformers at equal shape, taken in turns.

    python benchmarks/families.py [--families gpt2,t5] [--compiled] [--rounds 5] [--texts FILE]

One JSON line a family. `equal`: the same full rows on both sides. `padded`: real texts, which transformers
gets as rows padded to the longest of a batch, and Luban packed, documents apart; tokens a second count
real tokens only. Both sides hold the same weights, read from one folder. Peak memory is that of a process
of its own a side. Trust the ratios: neighbours on a shared machine slow both sides.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luban.device import peak_memory_bytes
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.objectives.next_token import next_token
from luban.objectives.seq2seq import seq2seq
from luban.places import find_input
from luban.records import IGNORE, Batch
from luban.tokenizer.train import train_bpe

VOCAB, PAD = 8192, 0
SHAPE = {"dim": 384, "n_layers": 6, "n_heads": 6, "max_len": 256, "dropout": 0.0}
FAMILY_NAMES = [name for name in FAMILIES if name != "word2vec"]  # which has no step of its own to compare
CLASSES = {
    "bert": "AutoModelForMaskedLM",
    "roberta": "AutoModelForMaskedLM",
    "original": "AutoModelForSeq2SeqLM",
    "t5": "AutoModelForSeq2SeqLM",
    "whisper": "AutoModelForSpeechSeq2Seq",
}
ROWS, CONTEXT, N_TEXTS, BATCH = 16, 128, 128, 16
Step = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(FAMILY_NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="compile both sides")
    parser.add_argument(
        "--texts", default="bundled:quickstart/sentiment-en.jsonl.gz", help="rows with `text`"
    )
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(_peak(*asked.side))
        return
    families = asked.families.split(",")
    # A child's peak begins at its parent's size, so this comes before the parent has grown.
    peaks = {f: {side: _in_child(f, side) for side in ("luban", "theirs")} for f in families}
    texts = tokenised(asked.texts)
    equal, padded = [], []
    for family in families:
        with tempfile.TemporaryDirectory() as folder:
            row = compare(family, Path(folder), texts, asked.rounds, asked.compiled)
        row["peak_mb"] = peaks[family]
        equal.append(row["equal"]["ratio"])
        if "padded" in row:
            padded.append(row["padded"]["ratio"])
        print(json.dumps(row), flush=True)
    medians = {"equal": statistics.median(equal), "padded": statistics.median(padded or [0.0])}
    print(json.dumps({"bench": "families", "median_ratio": medians, "least": min(equal)}))


def compare(family: str, folder: Path, texts: list[list[int]], rounds: int, compiled: bool) -> dict[str, Any]:
    save_model(build_model(config_of(family)), folder)
    ours, theirs = load_model(folder).train(), their_model(family, folder)
    if compiled:
        ours.hidden, theirs = torch.compile(ours.hidden), torch.compile(theirs)  # type: ignore[method-assign]
    row: dict[str, Any] = {"bench": "families", "family": family, "compiled": compiled}
    whole = full_rows(family)
    row["equal"] = in_turns(
        lambda: our_step(ours, whole), lambda: their_step(theirs, whole), whole.tokens.numel(), rounds
    )
    if family != "whisper" and not compiled:
        n_tokens = sum(map(len, texts))
        batches, rows = list(padded(family, texts)), list(packed(family, texts))
        row["padded"] = in_turns(
            lambda: [our_step(ours, b) for b in rows],
            lambda: [their_step(theirs, b) for b in batches],
            n_tokens,
            max(2, rounds // 2),
        )
    return row | {"threads": torch.get_num_threads(), "torch": torch.__version__}


def config_of(family: str) -> Any:
    shape = {k: v for k, v in SHAPE.items() if family != "recurrent" or k in ("dim", "max_len", "dropout")}
    ids = {"pad_id": PAD, "bos_id": 1, "eos_id": 1}
    if FAMILIES[family].config("tiny" if family != "whisper" else "test", vocab_size=9).encoder is not None:
        shape |= {"n_layers": 3}
        ids["start_id"] = PAD
    if family == "whisper":
        shape |= {"source_max_len": CONTEXT}
    size = "test" if family == "whisper" else "tiny"
    return FAMILIES[family].config(size, vocab_size=VOCAB, **shape, **ids)


class Plain(nn.Module):
    """The recurrent language model as torch alone would have it."""

    def __init__(self, folder: Path):
        super().__init__()
        ours = load_model(folder)
        self.embed, self.out = ours.stem.tokens, ours.head
        self.lstm = ours.trunk.blocks[0]

    def forward(self, input_ids: Tensor, labels: Tensor, **rest: Any) -> Any:
        """Score and compare."""
        logits = self.out(self.lstm(self.embed(input_ids))[0])
        return type("Out", (), {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())})


def their_model(family: str, folder: Path) -> nn.Module:
    if family == "recurrent":
        return Plain(folder).train()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return getattr(transformers, CLASSES.get(family, "AutoModelForCausalLM")).from_pretrained(folder).train()


def our_step(model: nn.Module, batch: Batch) -> None:
    loss = (seq2seq if batch.source is not None else next_token)(model, batch)
    (loss.total / loss.n_targets).backward()
    model.zero_grad(set_to_none=True)


def their_step(model: nn.Module, batch: Batch) -> None:
    kwargs: dict[str, Any]
    if batch.source is None:  # theirs shifts the labels once more, at the same cost
        kwargs = {"input_ids": batch.tokens, "attention_mask": batch.documents, "labels": batch.targets}
    elif batch.source.is_floating_point():
        kwargs = {"input_features": batch.source, "decoder_input_ids": batch.tokens, "labels": batch.targets}
    else:
        kwargs = {"input_ids": batch.source, "attention_mask": batch.source_documents}
        kwargs |= {"decoder_input_ids": batch.tokens, "labels": batch.targets}
    model(**kwargs).loss.backward()
    model.zero_grad(set_to_none=True)


def full_rows(family: str) -> Batch:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(2, VOCAB, (ROWS, CONTEXT), generator=generator)
    targets = torch.randint(2, VOCAB, (ROWS, CONTEXT), generator=generator)
    ones = torch.ones_like(tokens)
    if family == "whisper":
        return Batch(tokens, ones, targets, source=torch.randn(ROWS, 80, 2 * CONTEXT, generator=generator))
    if family in CLASSES and "Seq2Seq" in CLASSES[family]:
        return Batch(tokens, ones, targets, source=tokens.flip(0), source_documents=ones)
    return Batch(tokens, ones, targets)


def tokenised(place: str) -> list[list[int]]:
    with gzip.open(find_input(place), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["text"] for line in lines]
    tokenizer = train_bpe(iter(rows[:4000]), VOCAB, template=False)
    return [ids[:CONTEXT] for ids in tokenizer.encode_batch(rows[:N_TEXTS])]


def padded(family: str, texts: list[list[int]]) -> Iterator[Batch]:
    for start in range(0, len(texts), BATCH):
        yield _batch(family, [[ids] for ids in texts[start : start + BATCH]])


def packed(family: str, texts: list[list[int]]) -> Iterator[Batch]:
    """Fill rows of twice the context with whole texts, longest first; as many tokens a batch."""
    rows: list[list[list[int]]] = []
    for ids in sorted(texts, key=len, reverse=True):
        fitting = [r for r in rows if sum(map(len, r)) + len(ids) <= SHAPE["max_len"]]
        if fitting:
            fitting[0].append(ids)
        else:
            rows.append([ids])
    for start in range(0, len(rows), ROWS // 2):
        yield _batch(family, rows[start : start + ROWS // 2])


def _batch(family: str, rows: list[list[list[int]]]) -> Batch:
    width = max(sum(map(len, row)) for row in rows)
    tokens = torch.full((len(rows), width), PAD)
    documents = torch.zeros_like(tokens)
    targets = torch.full_like(tokens, IGNORE)
    for i, row in enumerate(rows):
        place = 0
        for number, ids in enumerate(row, 1):
            end = place + len(ids)
            tokens[i, place:end], documents[i, place:end] = torch.tensor(ids), number
            targets[i, place : end - 1] = torch.tensor(ids[1:])
            place = end
    if "Seq2Seq" in CLASSES.get(family, ""):
        return Batch(tokens, documents, targets, source=tokens, source_documents=documents)
    return Batch(tokens, documents, targets)


def in_turns(ours: Step, theirs: Step, n_tokens: int, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"luban": [], "theirs": []}
    for i in range(rounds + 1):
        for name, step in (("luban", ours), ("theirs", theirs)):
            start = time.perf_counter()
            step()
            if i:  # the first round warms up: allocator, kernels, compilation
                seconds[name].append(time.perf_counter() - start)
    ratios = [t / o for o, t in zip(seconds["luban"], seconds["theirs"], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 2) for r in ratios],
        "tokens_per_second": {n: round(n_tokens / statistics.median(s)) for n, s in seconds.items()},
    }


def _in_child(family: str, side: str) -> int:
    command = [sys.executable, __file__, "--side", family, side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _peak(family: str, side: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        save_model(build_model(config_of(family)), Path(folder))
        batch = full_rows(family)
        model = load_model(Path(folder)).train() if side == "luban" else their_model(family, Path(folder))
        step = our_step if side == "luban" else their_step
        for _ in range(2):
            step(model, batch)
    return round(peak_memory_bytes() / 1e6)


if __name__ == "__main__":
    main()
