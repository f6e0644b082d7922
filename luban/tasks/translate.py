"""Translation: sentence pairs → an encoder-decoder that says in one language what it reads in another."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from luban.data.pair_batches import BucketedPairs
from luban.errors import ConfigError, DataError
from luban.evaluate.bleu import Counts
from luban.files import read_json, write_json, write_jsonl
from luban.generate.beam import BeamSettings
from luban.log import Log
from luban.models.build import build_model
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.objectives.seq2seq import seq2seq
from luban.stages import Facts
from luban.tasks.model_settings import ModelSettings
from luban.tasks.planning import Habit, planned
from luban.tasks.prepared import Prepared
from luban.tasks.start import let_learn, new_config, open_model, refuse_surgery
from luban.tasks.translate_average import average_if_better
from luban.tasks.translate_rows import Pair, Pairs, read_pairs
from luban.tasks.translate_settings import TranslateSettings
from luban.tasks.translator import Translator
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_joint_bpe
from luban.train.run import CHECKPOINTS, Run
from luban.tune.methods import Applied

EPOCHS, MIN_STEPS, MAX_EPOCHS = 15, 2000, 60
EPOCHS_TUNED, STEPS_TUNED = 3, 200
LR_NEW, LR_TUNED, LR_DIM = 2e-3, 3e-4, 256
"""Peak learning rates of a model of that width, new or trained further; a wider one learns slower."""
FEW_PAIRS = 100_000
GREEDY = BeamSettings(n_beams=1)
SAMPLES = 5
"""Translations that the report shows at each look."""


def prepare(settings: TranslateSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the pairs, train the tokenizer and build the model, or take both from a folder."""
    pairs = read_pairs(
        inputs["data"], settings.columns, reverse=settings.reverse, eval_path=inputs.get("eval")
    )
    for text in pairs.warnings:
        log.warn(text)
    tokenizer, model = _tokenizer_and_model(settings, inputs, out, pairs, log)
    rows = _encode(settings, pairs, tokenizer, model, log)
    learning = let_learn(model, settings)
    plan = planned(
        settings, rows.train.steps_per_epoch, _habit(model, learning.applied, "model" not in inputs)
    )
    plan = dataclasses.replace(plan, keep_last=max(plan.keep_last, plan.average_checkpoints))
    look = partial(_evaluate, model, tokenizer, rows)
    run = Run(
        model=model,
        batches=rows.train,
        objective=partial(seq2seq, label_smoothing=settings.label_smoothing),
        settings=plan,
        evaluate=look,
        evaluate_train=partial(_loss, model, rows.seen),
        on_evaluate=partial(_samples, model, tokenizer, rows.sample[:SAMPLES]),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        averaged = average_if_better(model, out / CHECKPOINTS, plan.average_checkpoints, look, log)
        _save(model, tokenizer, rows.longest, out, learning.applied, inputs)
        write_jsonl(out / "rejects.jsonl", pairs.rejects)
        counts = {
            "train_rows": len(pairs.train),
            "train_pairs": len(rows.train),
            "validation_rows": len(pairs.validation),
            "test_rows": len(pairs.test),
            "rejected_rows": len(pairs.rejects),
        }
        return facts | {
            "counts": facts["counts"] | counts,
            "family": model.config.family,
            "lr": plan.lr,
            "max_len": rows.longest,
            "method": settings.method,
            "averaged": averaged,
            "rejects": len(pairs.rejects),
            "warnings": [*pairs.warnings, *facts["warnings"]],
        }

    return Prepared(run, finish)


@dataclasses.dataclass(frozen=True, slots=True)
class _Encoded:
    """The pairs as batches: to learn from, to look at, and as many of the former to compare with."""

    train: BucketedPairs
    validation: BucketedPairs
    seen: BucketedPairs
    sample: list[Pair]
    longest: int
    """Tokens of a source that the model has learnt to read; a longer text is translated in pieces."""


def _encode(
    settings: TranslateSettings, pairs: Pairs, tokenizer: Tokenizer, model: Model, log: Log
) -> _Encoded:
    train = training_texts(pairs.train, settings.alternatives)
    held_out = [(p.source, p.target) for p in pairs.validation]
    encode = partial(_batches, settings, tokenizer, model, log)
    fit = encode(train, "training")
    is_new = model.load_report is None
    return _Encoded(
        fit,
        encode(held_out, "validation"),
        encode(train[:: 1 + len(train) // len(held_out)], "training"),
        pairs.validation[:: max(1, len(held_out) // max(1, settings.sample_rows))][: settings.sample_rows],
        fit.longest_source if is_new else min(settings.max_len, model.config.max_len),
    )


def _batches(
    settings: TranslateSettings,
    tokenizer: Tokenizer,
    model: Model,
    log: Log,
    texts: Sequence[tuple[str, str]],
    name: str,
) -> BucketedPairs:
    """Encode pairs, leaving out those too long for the model."""
    config = model.config
    most = min(settings.max_len, config.max_len, config.source_max_len or config.max_len)
    end = config.eos_id if config.eos_id is not None else tokenizer.eos_id
    if end is None or config.start_id is None:
        raise ConfigError(
            "the model names no token that begins or ends a translation",
            fix="name decoder_start_token_id and eos_token_id in its config.json",
        )
    sources = tokenizer.encode_batch([source for source, _ in texts], special=True)
    targets = [[*ids, end] for ids in tokenizer.encode_batch([target for _, target in texts])]
    kept = [(s, t) for s, t in zip(sources, targets, strict=True) if max(len(s), len(t)) <= most]
    if n_long := len(texts) - len(kept):
        log.warn(f"{n_long} of {len(texts)} {name} pairs have more than {most} tokens and are left out")
    if not kept:
        raise DataError(f"no {name} pair has at most {most} tokens", fix="raise max_len")
    return BucketedPairs(
        [source for source, _ in kept],
        [target for _, target in kept],
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        n_micro_batches=settings.n_micro_batches,
        start_id=config.start_id,
        pad_id=config.pad_id or 0,
    )


def training_texts(pairs: Sequence[Pair], alternatives: bool) -> list[tuple[str, str]]:
    """Return (source, target) of every pair, and of its other sources and targets if wanted."""
    texts = []
    for pair in pairs:
        texts.append((pair.source, pair.target))
        if alternatives:
            texts += [(pair.source, other) for other in pair.others]
            texts += [(other, pair.target) for other in pair.other_sources]
    return texts


def _tokenizer_and_model(
    settings: TranslateSettings, inputs: Mapping[str, Path], out: Path, pairs: Pairs, log: Log
) -> tuple[Tokenizer, Model]:
    if folder := inputs.get("model"):
        tokenizer = load_tokenizer(folder)
        model = open_model(folder, settings.surgery, tokenizer=tokenizer, log=log, seed=settings.seed)
        _check_reads(model, str(folder))
        tokenizer.check_fits(model.config.vocab_size, folder)
        return tokenizer, model
    refuse_surgery(settings.surgery)
    choice, why = (settings.model, "") if settings.model else advise(len(pairs.train))
    if why:
        log.say(why)
    if given := inputs.get("tokenizer"):
        tokenizer = load_tokenizer(given)
    elif (out / "tokenizer.json").is_file():  # an interrupted run made it
        tokenizer = load_tokenizer(out)
    else:
        texts = [t for pair in training_texts(pairs.train, settings.alternatives) for t in pair]
        tokenizer = train_joint_bpe(texts, settings.vocab_size)
        tokenizer.save(out)
    if choice.family == "original" and choice.init is None:
        # Small weights learn faster where pairs are few: Tatoeba's were at 6.6 nats after 50 steps, and at
        # 7.3 from the paper's.
        choice = dataclasses.replace(choice, init="normal")
    config = new_config(choice, tokenizer)
    if config.encoder is None:
        raise ConfigError(
            f"a {config.family} model reads no source apart from what it writes",
            fix="set model.family to original or t5",
        )
    config = dataclasses.replace(config, start_id=tokenizer.pad_id)  # as Marian and T5 do
    return tokenizer, build_model(config, seed=settings.seed)


def _check_reads(model: Model, folder: str) -> None:
    if model.config.encoder is None or model.config.source != "tokens" or model.config.head.kind != "tokens":
        raise ConfigError(
            f"{folder} is a {model.config.family} model, which does not write one text from another",
            fix="give an encoder-decoder, such as a Marian or T5 folder, or none to train one from scratch",
        )


def advise(n_pairs: int) -> tuple[ModelSettings, str]:
    """Return the model to build from scratch for so many pairs, and why."""
    if n_pairs < FEW_PAIRS:
        choice = ModelSettings(family="original", size="tiny", dropout=0.3)
        return choice, f"{n_pairs} training pairs: a small Transformer with much dropout"
    return ModelSettings(
        family="original", size="base"
    ), f"{n_pairs} training pairs: the Transformer's base size"


def _habit(model: Model, applied: Applied, is_new: bool) -> Habit:
    if is_new:
        lr = LR_NEW * min(1.0, LR_DIM / lr_dim(model.config))
        return Habit(epochs=EPOCHS, min_steps=MIN_STEPS, max_epochs=MAX_EPOCHS, lr=lr)
    lr = LR_TUNED * min(1.0, LR_DIM / lr_dim(model.config)) * applied.lr_scale
    return Habit(epochs=EPOCHS_TUNED, min_steps=STEPS_TUNED, lr=lr)


def _evaluate(model: Model, tokenizer: Tokenizer, rows: _Encoded) -> dict[str, float]:
    """Return the loss (nats per target token, nothing smoothed), and BLEU and chrF of a sample."""
    scores = _loss(model, rows.validation)
    if rows.sample and importlib.util.find_spec("sacrebleu"):
        found = Translator(model, tokenizer, GREEDY).translate([pair.source for pair in rows.sample])
        counts = Counts([t.text for t in found], [pair.references for pair in rows.sample])
        scores |= counts.corpus()
    return scores


@torch.no_grad()
def _loss(model: Model, batches: BucketedPairs) -> dict[str, float]:
    model.eval()
    device = next(model.parameters()).device
    total, n_targets = 0.0, 0
    for batch in batches.in_order():
        loss = seq2seq(model, batch.to(device))
        total, n_targets = total + loss.total.item(), n_targets + int(loss.n_targets)
    return {"loss": total / n_targets}


def _samples(model: Model, tokenizer: Tokenizer, pairs: Sequence[Pair], step: int) -> list[dict[str, Any]]:
    found = Translator(model, tokenizer, GREEDY).translate([pair.source for pair in pairs])
    return [{"sample": {"prompt": p.source, "text": t.text}} for p, t in zip(pairs, found, strict=True)]


def _save(
    model: Model, tokenizer: Tokenizer, longest: int, out: Path, applied: Applied, inputs: Mapping[str, Path]
) -> None:
    model.to("cpu")
    applied.save(model, out, inputs.get("model", ""))
    tokenizer.save(out)
    config = read_json(out / "tokenizer_config.json")
    write_json(out / "tokenizer_config.json", {**config, "model_max_length": longest})
