"""Pre-training: token shards → a model that continues texts, or restores what was hidden from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from luban.data.batches import Windows
from luban.data.shards import end_id
from luban.errors import ConfigError, DataError
from luban.evaluate.corrupted import restored
from luban.evaluate.golden import GOLDEN, PROMPTS, record
from luban.evaluate.language_model import bits_per_byte
from luban.files import read_json, read_jsonl, write_json
from luban.generate.settings import SamplingSettings
from luban.generate.writing import generate
from luban.log import Log
from luban.models.build import build_model
from luban.models.load import save_model
from luban.models.model import Model
from luban.objectives.vocabulary import supervised_tokens
from luban.stages import Facts
from luban.tasks.corrupted import Corrupt, CorruptedWindows
from luban.tasks.infill import with_marks
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.pretrain_objective import OBJECTIVES, choose_objective, corruption, n_marks
from luban.tasks.settings import PretrainSettings
from luban.tasks.start import by_depth_and_width, new_config, open_model, refuse_surgery
from luban.tasks.windows import (
    facts_of_shards,
    say_mixture,
    shard_folders,
    training_windows,
    validation_windows,
    verify_folders,
)
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.train.metrics import METRICS
from luban.train.run import Run
from luban.tune.freeze import freeze

TOKENIZER = "tokenizer"
SAMPLE = {"max_new_tokens": 48, "temperature": 0.8, "top_p": 0.95}


def pretrain(settings: PretrainSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Train on texts alone, from scratch or from a model folder; leave the best weights in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: PretrainSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Open the shards and build the model, or read it."""
    folders = shard_folders(inputs)
    shards = folders[0]
    verify_folders(folders, log)
    plain = load_tokenizer(shards / TOKENIZER)
    tokenizer = with_marks(plain) if settings.objective == "fill_in_the_middle" else plain
    windows, validation = training_windows(folders, settings), validation_windows(folders, settings)
    mixed = say_mixture(windows, settings, log)
    windows.at(1)  # too little text for a step is said before a model is built
    if "model" in inputs:
        folder, surgery = inputs["model"], settings.surgery
        model = open_model(folder, surgery, tokenizer=tokenizer, log=log, seed=settings.seed)
        if not surgery.extend_vocabulary:
            _check_tokenizer(model, (plain, tokenizer), folder, shards)
    else:
        refuse_surgery(settings.surgery)
        model = _new_model(settings, tokenizer)
    objective = choose_objective(settings.objective, model.config)
    _check_length(model, settings.context)
    freeze(model, settings.freeze)
    end = end_id(tokenizer, shards / TOKENIZER)
    corrupt = corruption(objective, model.config, tokenizer, end, settings)
    writes = objective in OBJECTIVES["past"]
    if settings.prompts and not writes:
        log.warn(f"prompts are not sampled: a model that learns by {objective} does not go on with a text")

    seen = None if writes else corrupt
    run = Run(
        model=model,
        batches=CorruptedWindows(windows, corrupt, tokenizer.pad_id or 0) if corrupt else windows,
        objective=partial(supervised_tokens, label_smoothing=settings.label_smoothing),
        settings=settings,
        lr_scale=by_depth_and_width(model, settings.layer_lr_decay),
        evaluate=_evaluation(model, validation, seen, settings),
        evaluate_train=_evaluation(model, windows, seen, settings),
        on_evaluate=partial(_samples, model, tokenizer, settings) if writes else None,
    )

    def finish(facts: Facts) -> Facts:
        _save(model, tokenizer, settings, out)
        rows = read_jsonl(out / METRICS)
        return facts | {
            "family": model.config.family,
            "objective": objective,
            "samples": [{"step": r["step"], **r["sample"]} for r in rows if "sample" in r],
            "data": facts_of_shards(folders),
            **mixed,
        }

    return Prepared(run, finish)


def _evaluation(
    model: Model, windows: Windows, corrupt: Corrupt | None, settings: PretrainSettings
) -> Callable[[], dict[str, float]]:
    """Return what scores the validation split: bits per byte, or how well it restores what is hidden.

    A model that fills middles in is scored on texts as they are, for it must still write them.
    """
    n = settings.validation_windows
    if corrupt is None:
        return lambda: bits_per_byte(model, windows, n)
    hidden = list(CorruptedWindows(windows, corrupt, model.config.pad_id or 0).spread(n))
    return lambda: restored(model, hidden)


def _samples(
    model: Model, tokenizer: Tokenizer, settings: PretrainSettings, step: int
) -> list[dict[str, Any]]:
    sampling = SamplingSettings(**SAMPLE, seed=settings.seed)  # type: ignore[arg-type]
    texts = generate(model, tokenizer, settings.prompts, settings=sampling) if settings.prompts else []
    return [{"sample": {"prompt": p, "text": t}} for p, t in zip(settings.prompts, texts, strict=True)]


def _new_model(settings: PretrainSettings, tokenizer: Tokenizer) -> Model:
    """Build a model whose vocabulary is the tokenizer's, and behind it the marks that the objective needs."""
    config = new_config(settings.model, tokenizer)
    n_more = n_marks(choose_objective(settings.objective, config), tokenizer, settings.corruption)
    config = dataclasses.replace(config, vocab_size=config.vocab_size + n_more)
    if config.encoder is not None and config.start_id is None:
        config = dataclasses.replace(config, start_id=tokenizer.pad_id)  # as T5 does
    return build_model(config, seed=settings.seed)


def _check_tokenizer(model: Model, allowed: Sequence[Tokenizer], folder: Path, shards: Path) -> None:
    """Refuse a model that knows other tokens. A vocabulary padded to a round size is fine."""
    has_own = (folder / "tokenizer.json").is_file()
    is_same = load_tokenizer(folder).hash in {t.hash for t in allowed} if has_own else None
    ours, theirs = model.config.vocab_size, allowed[0].vocab_size
    fix = f"shard the text with the model's tokenizer: luban data shard … --tokenizer {folder}"
    if ours < theirs or (ours > theirs and not is_same):
        raise DataError(
            f"{folder} has a vocabulary of {ours} tokens, the shards in {shards} one of {theirs}", fix=fix
        )
    if is_same is False:
        raise DataError(f"{folder} and {shards} number their {ours} tokens differently", fix=fix)


def _check_length(model: Model, context: int) -> None:
    config = model.config
    if context > config.max_len:
        raise ConfigError(
            f"context = {context} is longer than the model's max_len = {config.max_len}",
            fix=f"set context to at most {config.max_len}, or raise model.max_len",
        )


def _save(model: Model, tokenizer: Tokenizer, settings: PretrainSettings, out: Path) -> None:
    model.to("cpu")
    save_model(model, out)
    tokenizer.save(out)
    path = out / "tokenizer_config.json"
    write_json(path, {**read_json(path), "model_max_length": model.config.max_len})
    if model.config.trunk.sight == "causal" and model.config.encoder is None:
        record(model, tokenizer, settings.prompts or PROMPTS, out / GOLDEN)
