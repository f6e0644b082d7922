"""Text classification: rows with labels → a model folder that knows them."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from luban.data.batches import Bucketed
from luban.data.examples import Examples, read_examples
from luban.errors import ConfigError, DataError
from luban.evaluate.golden import GOLDEN, record
from luban.evaluate.metrics import confusion, summary_scores
from luban.files import read_json, write_json, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.choice import choose_classifier
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.folder import read_config
from luban.models.load import save_model
from luban.models.model import Model
from luban.models.vectors import place_vectors
from luban.models.width import lr_dim
from luban.objectives.classes import classes
from luban.records import Example
from luban.stages import Facts
from luban.tasks.augment import augmented, near_tokens, paraphrased
from luban.tasks.model_settings import ModelSettings
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.sequences import Sequences, encode_texts
from luban.tasks.settings import ClassifySettings
from luban.tasks.start import by_depth_and_width, new_config, open_model, refuse_surgery
from luban.tasks.word_vectors import token_words, word_vectors
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_bpe
from luban.tokenizer.words import choose_unit, train_words
from luban.train.run import Run
from luban.tune.freeze import freeze

N_GOLDEN = 8
EPOCHS_SCRATCH, EPOCHS_TUNED, MAX_EPOCHS = 3, 2, 20
STEPS_SCRATCH, STEPS_TUNED = 200, 60
"""When the settings name no length: so many passes, more over few rows to take about so many steps."""


def classify(settings: ClassifySettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Train a classifier and leave its best weights in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: ClassifySettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows and build the model; a tokenizer that is trained on the way is left in `out`."""
    # The split is the same for every seed and model, so that their scores can be compared.
    fold = (settings.fold, settings.folds) if settings.fold else None
    examples = read_examples(inputs["data"], settings.columns, eval_path=inputs.get("eval"), fold=fold)
    for text in examples.warnings:
        log.warn(text)
    train = train_rows(examples, settings)
    labels = [label for label in examples.labels if label in {e.label for e in train}]
    _check(train, examples.validation, labels, inputs["data"])

    tokenizer, model = _tokenizer_and_model(settings, inputs, out, train, labels, log)
    max_len = min(settings.max_len, model.config.max_len)
    freeze(model, settings.freeze)
    fit = _Rows(tokenizer, paraphrased(train, settings.augment), labels, max_len, settings)
    known = [e for e in examples.validation if e.label in labels]
    held_out = _Rows(tokenizer, known, labels, max_len, settings)
    seen = _Rows(tokenizer, train[:: 1 + len(train) // len(known)], labels, max_len, settings)
    if n_cut := fit.sequences.n_cut:
        log.say(f"{n_cut} of {len(train)} texts are longer than max_len = {max_len} tokens and are cut")
    is_new = "model" not in inputs
    plan = _plan(settings, fit.batches.steps_per_epoch, model, is_new=is_new)
    near = near_tokens(settings.augment, model, fit.sequences.ids, knows=not is_new or "vectors" in inputs)
    run = Run(
        model=model,
        batches=augmented(fit.batches, settings.augment, tokenizer, near, settings.seed),
        objective=partial(classes, label_smoothing=settings.label_smoothing),
        settings=plan,
        evaluate=partial(_evaluate, model, held_out.batches, len(labels)),
        evaluate_train=partial(_evaluate, model, seen.batches, len(labels)),
        lr_scale=by_depth_and_width(model, settings.layer_lr_decay, settings.head_lr_scale),
    )

    def finish(facts: Facts) -> Facts:
        _save(model, tokenizer, max_len, held_out.texts, out)
        write_jsonl(out / "rejects.jsonl", examples.rejects)
        write_jsonl(out / "test.jsonl.gz", map(_plain_row, examples.test))
        rows = {
            "train_rows": len(train),
            "validation_rows": len(examples.validation),
            "test_rows": len(examples.test),
            "cut_rows": fit.sequences.n_cut,
        }
        return facts | {
            "counts": facts["counts"] | rows,
            "family": model.config.family,
            "labels": labels,
            "label_counts": dict(Counter(e.label for e in train)),
            "lr": plan.lr,
            "max_len": max_len,
            "rejects": len(examples.rejects),
            "warnings": [*examples.warnings, *facts["warnings"]],
        }

    return Prepared(run, finish)


class _Rows:
    """Examples encoded once, with the batches that serve them."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        labels: Sequence[str],
        max_len: int,
        settings: ClassifySettings,
    ):
        self.texts = [e.text for e in examples]
        self.sequences: Sequences = encode_texts(tokenizer, self.texts, max_len)
        number = {label: i for i, label in enumerate(labels)}
        self.batches = Bucketed(
            self.sequences.ids,
            [number[e.label] for e in examples],
            tokens_per_batch=settings.tokens_per_batch,
            seed=settings.seed,
            n_micro_batches=settings.n_micro_batches,
            pad_id=tokenizer.pad_id or 0,
        )


def advise(n_rows: int) -> tuple[ModelSettings, str]:
    """Return the model to build from scratch for so many training rows, and why."""
    choice = choose_classifier(n_rows)
    return ModelSettings(family=choice.family, size=choice.size, **choice.changes), (
        f"{n_rows} training rows: {choice.what}; a pretrained --model would do better, and luban advise "
        "says what else might"
    )


def train_rows(examples: Examples, settings: ClassifySettings) -> list[Example]:
    """Return the rows that training uses: all, or as many as `train_rows` says, drawn by the seed."""
    rows = list(examples.train)
    if settings.train_rows is not None and settings.train_rows < len(rows):
        rows = random.Random(settings.seed).sample(rows, settings.train_rows)
    return rows


def _check(
    train: Sequence[Example], validation: Sequence[Example], labels: Sequence[str], data: Path
) -> None:
    if len(labels) < 2:
        names = ", ".join(map(repr, labels)) or "none"
        raise DataError(
            f"{data}: the training rows hold {len(labels)} label ({names}), and a classifier needs two",
            fix="check the label column (--set train.columns.label=NAME)",
        )
    if not any(e.label in labels for e in validation):
        raise DataError(
            f"{data}: {len(train)} training rows but no validation row with their labels",
            fix="give more rows, a split column with `validation`, or --eval FILE",
        )


def _tokenizer_and_model(
    settings: ClassifySettings,
    inputs: Mapping[str, Path],
    out: Path,
    train: Sequence[Example],
    labels: Sequence[str],
    log: Log,
) -> tuple[Tokenizer, Model]:
    if folder := inputs.get("model"):
        if "vectors" in inputs:
            raise ConfigError("a model folder has vectors of its own", fix="leave out model or vectors")
        config = read_config(folder)
        head = _head(labels, settings.pool or FAMILIES[config.family].pool)
        given = inputs.get("tokenizer")
        if given and not settings.surgery.extend_vocabulary:
            raise ConfigError(
                "a model folder has a tokenizer of its own",
                fix="leave out tokenizer, or set surgery.extend_vocabulary",
            )
        new = load_tokenizer(given) if given else None
        model = open_model(folder, settings.surgery, head=head, tokenizer=new, log=log, seed=settings.seed)
        tokenizer = new or load_tokenizer(folder)
        tokenizer.check_fits(model.config.vocab_size, folder)
        return tokenizer, model
    refuse_surgery(settings.surgery)
    choice, why = (settings.model, "") if settings.model else advise(len(train))
    known = _Known.read(inputs, log)
    if known and not (settings.model and settings.model.dim):
        choice = dataclasses.replace(settings.model or advise(0)[0], dim=known.matrix.shape[1])
        why = why and f"a small recurrent model over vectors {choice.dim} wide"
    if why:
        log.say(why)
    tokenizer = _tokenizer(settings, inputs, out, choice.family, train, known)
    head = _head(labels, settings.pool or FAMILIES[choice.family].pool)
    config = new_config(choice, tokenizer, head)
    model = build_model(config, seed=settings.seed)
    if known:
        place_vectors(model, token_words(tokenizer), known.words, known.matrix, log)
    return tokenizer, model


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """Words that come with vectors (V, C)."""

    words: list[str]
    matrix: Tensor

    @classmethod
    def read(cls, inputs: Mapping[str, Path], log: Log) -> _Known | None:
        """Read the vectors that the inputs name, if they do."""
        return cls(*word_vectors(inputs["vectors"], log)) if "vectors" in inputs else None

    def tokenizer(self, texts: Sequence[str], max_words: int) -> Tokenizer:
        """Return a tokenizer of whole words of the texts, in upper case if these are."""
        is_lower = all(word == word.lower() for word in self.words)
        return train_words(texts, choose_unit(texts), max_words=max_words, lowercase=is_lower)


def _head(labels: Sequence[str], pool: Literal["first", "mean", "last"]) -> HeadConfig:
    return HeadConfig(kind="classes", n_classes=len(labels), labels=tuple(labels), pool=pool)


def _tokenizer(
    settings: ClassifySettings,
    inputs: Mapping[str, Path],
    out: Path,
    family: str,
    train: Sequence[Example],
    known: _Known | None,
) -> Tokenizer:
    if given := inputs.get("tokenizer"):
        return load_tokenizer(given)
    if (out / "tokenizer.json").is_file():  # an interrupted run made it
        return load_tokenizer(out)
    texts = [e.text for e in train]
    if known and inputs["vectors"].is_dir():  # it knows words that these rows lack
        tokenizer = load_tokenizer(inputs["vectors"])
    elif known:
        tokenizer = known.tokenizer(texts, settings.vocab_size)
    else:
        tokenizer = train_bpe(texts, settings.vocab_size, template=family == "bert")
    tokenizer.save(out)
    return tokenizer


def _plan(settings: ClassifySettings, per_epoch: int, model: Model, *, is_new: bool) -> ClassifySettings:
    """Return the settings with everything that was left open decided."""
    least, steps_wanted = (EPOCHS_SCRATCH, STEPS_SCRATCH) if is_new else (EPOCHS_TUNED, STEPS_TUNED)
    epochs = settings.epochs or min(MAX_EPOCHS, max(least, math.ceil(steps_wanted / per_epoch)))
    steps = settings.steps or max(2, math.ceil(epochs * per_epoch))
    return dataclasses.replace(
        settings,
        epochs=None,
        steps=steps,
        lr=settings.lr or advised_lr(lr_dim(model.config), is_new=is_new),
        evaluate_every_steps=settings.evaluate_every_steps or min(per_epoch, steps),
        save_every_steps=settings.save_every_steps or min(per_epoch, steps),
    )


def advised_lr(dim: int, *, is_new: bool) -> float:
    """Return a peak learning rate: lower for wide models, and much lower for those that have learnt."""
    return min(2e-3, 1e-3 * 256 / dim) if is_new else min(1e-3, 2e-4 * (384 / dim) ** 2)


@torch.no_grad()
def _evaluate(model: Model, batches: Bucketed, n_classes: int) -> dict[str, float]:
    """Return loss (nats per row), accuracy and macro F1 on the validation rows."""
    model.eval()
    device = next(model.parameters()).device
    total, labels, predicted = 0.0, [], []
    for batch in batches.in_order():
        moved = batch.to(device)
        logits = model(moved.tokens, moved.documents).float()
        total += F.cross_entropy(logits, moved.targets, reduction="sum").item()
        labels.append(moved.targets.cpu().numpy())
        predicted.append(logits.argmax(-1).cpu().numpy())
    truth = np.concatenate(labels)
    scores = summary_scores(confusion(truth, np.concatenate(predicted), n_classes))
    return {
        "loss": total / len(truth),
        "accuracy": float(scores["accuracy"]),
        "macro_f1": float(scores["macro_f1"]),
    }


def _save(model: Model, tokenizer: Tokenizer, max_len: int, texts: Sequence[str], out: Path) -> None:
    model.to("cpu")
    save_model(model, out)
    tokenizer.save(out)
    config = read_json(out / "tokenizer_config.json")
    write_json(out / "tokenizer_config.json", {**config, "model_max_length": max_len})
    prompts = [t for t in texts if len(t) < 2 * max_len][:N_GOLDEN] or [t[:max_len] for t in texts[:N_GOLDEN]]
    record(model, tokenizer, prompts, out / GOLDEN)


def _plain_row(example: Example) -> dict[str, Any]:
    return {"id": example.id, "text": example.text, "label": example.label}
