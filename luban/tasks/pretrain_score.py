"""Score a language model on token shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from luban.data.batches import PackedWindows
from luban.device import choose_device
from luban.errors import CheckpointError, DataError
from luban.evaluate.intervals import bootstrap, ratio_of_sums, signature
from luban.evaluate.language_model import document_bits
from luban.files import Manifest
from luban.log import Log
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.infill import with_marks
from luban.tasks.opened import open_tuned
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Closed, Trained
from luban.tokenizer import load_tokenizer

WINDOWS_PER_BATCH = 16
USUAL_CONTEXT = 256


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score bits per byte over the documents of one split of token shards."""
    if not (data / f"{settings.split}.bin").is_file():
        raise DataError(
            f"{data} is no folder of token shards with a split {settings.split}",
            fix="name a folder that `luban data shard` wrote, or a file of labelled rows",
        )
    network, tokenizer = open_tuned(model)
    config = network.config
    if config.head.kind != "tokens" or config.trunk.sight != "causal" or config.encoder is not None:
        raise CheckpointError(f"{model} is no language model", fix="score it on a file of labelled rows")
    plain = load_tokenizer(data / "tokenizer")
    if tokenizer.hash not in (plain.hash, with_marks(plain).hash):
        raise DataError(
            f"{model} and {data} have different tokenizers", fix="shard the text with the model's tokenizer"
        )
    context = min(_context(model), config.max_len)
    windows = PackedWindows(data / settings.split, context=context, batch_size=WINDOWS_PER_BATCH, seed=0)
    rows = document_bits(network.to(choose_device()), windows)
    bits, n_bytes = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("bits", "bytes"))
    plan = plan_of(settings)
    scores = bootstrap(ratio_of_sums("bits_per_byte", bits, n_bytes), len(rows), plan)
    facts = {
        "metrics": {name: s.plain() for name, s in scores.items()},
        "counts": {"n": len(rows), "bytes": int(n_bytes.sum()), "targets": sum(r["targets"] for r in rows)},
        "signature": signature("bits_per_byte", len(rows), plan, settings.split, input_key(data)),
        "context": context,
        "latency_ms": None,
        "parameters": sum(p.numel() for p in network.parameters()),
        "family": config.family,
        "split": settings.split,
    }
    return keep_scores(facts, rows, model, data, out)


def close(trained: Trained) -> Closed:
    """Say what the validation score was before, and is now."""
    facts, out = trained.facts, trained.out
    result = {"out": str(out), "first": facts.get("first"), "best": facts.get("best")}
    first, best = facts["first"], facts["best"]
    if "bits_per_byte" in best:
        before, now = first["bits_per_byte"], best["bits_per_byte"]
        said = f"bits per byte on validation: {before:.3f} before, {now:.3f} now"
        return Closed(result, (said, f'luban generate {out} "..."'))
    before, now = f"{first['accuracy']:.1%}", f"{best['accuracy']:.1%}"
    said = f"hidden tokens restored on validation ({facts['objective']}): {before} before, {now} now"
    return Closed(result, (said,))


def _context(folder: Path) -> int:
    """How many tokens the model saw at once in training, so that it is scored as it was trained."""
    manifest = Manifest.read(folder)
    return int(manifest.settings.get("context", USUAL_CONTEXT)) if manifest else USUAL_CONTEXT
