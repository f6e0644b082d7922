"""Word vectors: texts → a model folder whose stem knows which words keep the same company."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.contexts import WordRows, keep_chances
from luban.data.passages import encode_passages, read_texts
from luban.device import seed_step
from luban.errors import DataError
from luban.files import read_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.models.model import Model
from luban.models.neighbours import neighbours
from luban.objectives.skip_gram import N_DRAWN, noise_table, skip_gram
from luban.stages import Facts
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.settings import VectorsSettings
from luban.tasks.task import Closed, Trained
from luban.tokenizer import Tokenizer
from luban.tokenizer.words import choose_unit, train_words
from luban.train.metrics import METRICS
from luban.train.run import Run

EPOCHS, MIN_STEPS = 5, 600
"""When the settings name no length: so many passes, and more over few words."""
N_SAMPLE = 200
"""Texts that decide whether words or characters are learned."""
MAX_LOOK = 50_000
"""Words held out at most."""
SHOWN = (50, 100, 200, 400, 800)
"""Ranks by frequency of the words whose neighbours the report shows."""


def vectors(settings: VectorsSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Learn word vectors by skip-gram with negative sampling; leave the best in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: VectorsSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the texts, count their words, and build the model."""
    texts = _Texts(inputs, log)
    tokenizer = _tokenizer(settings, texts, log)
    passages = encode_passages(texts, tokenizer)
    texts.report()
    share = min(settings.validation, MAX_LOOK / max(1, len(passages.words)))
    train, held_out = passages.hold_out(share)
    if not (len(train.words) and len(held_out.words)):
        raise DataError(
            f"{len(passages.words)} words that occur min_count = {settings.min_count} times are too few",
            fix="give more text, or lower min_count",
        )
    counts = np.bincount(train.words, minlength=tokenizer.vocab_size)
    rows, look = (
        WordRows(
            part,
            chances,
            context=settings.context,
            batch_size=settings.batch_size,
            seed=settings.seed,
            n_micro_batches=settings.n_micro_batches,
        )
        for part, chances in (
            (train, keep_chances(counts, settings.subsample)),
            (held_out, keep_chances(counts, 0)),
        )
    )
    plan = _plan(settings, rows.steps_per_epoch)
    log.say(
        f"{len(counts) - 2:,} words, {len(train.words):,} running; {plan.steps} steps, "
        f"{plan.steps / rows.steps_per_epoch:.1f} epochs"
    )
    model = _model(settings, tokenizer)
    objective = partial(
        skip_gram, noise=noise_table(counts.tolist()), window=settings.window, n_negatives=settings.negatives
    )
    run = Run(
        model=model,
        batches=rows,
        objective=objective,
        settings=plan,
        evaluate=partial(_evaluate, model, look, objective, settings.seed),
        on_evaluate=partial(_samples, model, tokenizer),
        flops_per_token=6 * settings.dim * (settings.context + N_DRAWN),
    )

    def finish(facts: Facts) -> Facts:
        model.to("cpu")
        save_model(model, out)
        tokenizer.save(out)
        noted = read_jsonl(out / METRICS)
        return facts | {
            "counts": facts["counts"] | {"vocab_size": len(counts) - 2, "words": len(passages.words)},
            "family": model.config.family,
            "rejects": texts.n_rejected,
            "samples": [{"step": r["step"], **r["sample"]} for r in noted if "sample" in r],
        }

    return Prepared(run, finish)


class _Texts:
    """The texts of the inputs, read anew each time; counts what could not be read."""

    def __init__(self, inputs: Mapping[str, Path], log: Log):
        self._roots, self._log = list(inputs.values()), log
        self._rejected: dict[tuple[str, int | None], str] = {}

    def __iter__(self) -> Any:
        return read_texts(self._roots, self._reject)

    def _reject(self, source: str, row: int | None, reason: str) -> None:
        self._rejected[source, row] = reason

    @property
    def n_rejected(self) -> int:
        return len(self._rejected)

    def report(self) -> None:
        """Say what was not read."""
        for (source, row), reason in list(self._rejected.items())[:3]:
            self._log.warn(f"{source}{f':{row}' if row else ''} was not read: {reason}")
        if self.n_rejected > 3:
            self._log.warn(f"{self.n_rejected} files or rows in all were not read")


def _tokenizer(settings: VectorsSettings, texts: _Texts, log: Log) -> Tokenizer:
    unit = settings.unit
    if unit == "auto":
        unit = choose_unit(islice(texts, N_SAMPLE))
        log.say(f"unit: {unit} (auto)", unit=unit)
    return train_words(
        texts, unit, min_count=settings.min_count, max_words=settings.max_words, lowercase=settings.lowercase
    )


def _plan(settings: VectorsSettings, per_epoch: int) -> VectorsSettings:
    """Return the settings with everything that was left open decided."""
    least = math.ceil((settings.epochs or EPOCHS) * per_epoch)
    steps = settings.steps or (least if settings.epochs else max(MIN_STEPS, least))
    often = max(1, math.ceil(steps / 10))
    return dataclasses.replace(
        settings,
        epochs=None,
        steps=steps,
        evaluate_every_steps=settings.evaluate_every_steps or often,
        save_every_steps=settings.save_every_steps or often,
    )


def _model(settings: VectorsSettings, tokenizer: Tokenizer) -> Model:
    config = FAMILIES["word2vec"].config(
        "small", vocab_size=tokenizer.vocab_size, dim=settings.dim, pad_id=tokenizer.pad_id
    )
    return build_model(config, seed=settings.seed)


def _evaluate(model: Model, look: WordRows, objective: Any, seed: int) -> dict[str, float]:
    """Return the loss in nats per pair on the words held out."""
    seed_step(seed, 0)  # the same draws at every look
    device = next(model.parameters()).device
    total, n_pairs = 0.0, 0
    for batch in look.in_order():
        loss = objective(model, batch.to(device))
        total, n_pairs = total + loss.total.item(), n_pairs + loss.n_targets
    return {"loss": total / max(1, n_pairs)}


def _samples(model: Model, tokenizer: Tokenizer, step: int) -> list[dict[str, Any]]:
    """Return the neighbours of a few words, for the report."""
    words = [tokenizer.token(i) for i in range(tokenizer.vocab_size)][2:]
    matrix = model.stem.tokens.weight[2:].cpu()
    shown = [words[rank] for rank in SHOWN if rank < len(words)] or words[:3]
    near = {word: neighbours(words, matrix, [word], n=6) for word in shown}
    return [{"sample": {"prompt": word, "text": ", ".join(w for w, _ in near[word])}} for word in shown]


def close(trained: Trained) -> Closed:
    """Say what held-out pairs cost before, and now, and show neighbours."""
    facts, out = trained.facts, trained.out
    best = facts["best"]
    shown = [s for s in facts["samples"] if s["step"] == best["step"]]
    word = shown[0]["prompt"] if shown else "WORD"
    return Closed(
        {"out": str(out), "first": facts.get("first"), "best": best},
        (
            f"nats per pair on held-out text: {facts['first']['loss']:.3f} before, {best['loss']:.3f} now",
            *(f"{s['prompt']}: {s['text']}" for s in shown),
            f"luban inspect neighbours {word} --model {out}",
        ),
    )
