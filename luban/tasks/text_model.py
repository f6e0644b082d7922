"""The tokenizer and the model of a task on texts: a given one under a new head, or made for its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from luban.errors import ConfigError
from luban.log import Log
from luban.models.build import build_model
from luban.models.choice import choose_classifier
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.folder import read_config
from luban.models.model import Model
from luban.models.vectors import place_vectors
from luban.tasks.model_settings import ModelSettings
from luban.tasks.start import new_config, open_model, refuse_surgery
from luban.tasks.tune_settings import TuneSettings
from luban.tasks.word_vectors import token_words, word_vectors
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_bpe
from luban.tokenizer.words import choose_unit, train_words

HeadOf = Callable[[str, bool], HeadConfig]
"""(family, whether the model has learnt already) -> the head to put on."""


def text_model(
    settings: TuneSettings,
    inputs: Mapping[str, Path],
    out: Path,
    texts: Sequence[str],
    head_of: HeadOf,
    log: Log,
    *,
    han_alone: bool = False,
) -> tuple[Tokenizer, Model]:
    """Return the tokenizer and the model; a tokenizer that is trained on `texts` is left in `out`.

    `han_alone`: no token of a tokenizer trained here holds two Chinese characters.
    """
    if "model" in inputs:
        return _given(settings, inputs, head_of, log)
    refuse_surgery(settings.surgery)
    choice, why = (settings.model, "") if settings.model else advise(len(texts))
    known = _Known.read(inputs, log)
    if known and not (settings.model and settings.model.dim):
        choice = dataclasses.replace(settings.model or advise(0)[0], dim=known.matrix.shape[1])
        why = why and f"a small recurrent model over vectors {choice.dim} wide"
    if why:
        log.say(why)
    train = partial(
        train_bpe, vocab_size=settings.vocab_size, template=choice.family == "bert", han_alone=han_alone
    )
    tokenizer = _tokenizer(settings, inputs, out, texts, known, train)
    model = build_model(new_config(choice, tokenizer, head_of(choice.family, False)), seed=settings.seed)
    if known:
        place_vectors(model, token_words(tokenizer), known.words, known.matrix, log)
    return tokenizer, model


def class_head(
    labels: Sequence[str], answer: str, pool: str | None, family: str, has_learnt: bool
) -> HeadConfig:
    """Return the head for classes. An encoder that has learnt is pooled by the mean unless told otherwise.

    Its first token's vector means nothing before it was trained to; the mean does at once.
    """
    usual = FAMILIES[family].pool
    if has_learnt and usual == "first":
        usual = "mean"
    return HeadConfig(
        kind="classes",
        n_classes=len(labels),
        labels=tuple(labels),
        answer=answer,  # type: ignore[arg-type]
        pool=pool or usual,  # type: ignore[arg-type]
    )


def advise(n_rows: int) -> tuple[ModelSettings, str]:
    """Return the model to build from scratch for so many training rows, and why."""
    choice = choose_classifier(n_rows)
    return ModelSettings(family=choice.family, size=choice.size, **choice.changes), (
        f"{n_rows} training rows: {choice.what}; a pretrained --model would do better, and luban advise "
        "says what else might"
    )


def advised_lr(dim: int, *, is_new: bool) -> float:
    """Return a peak learning rate: lower for wide models, and much lower for those that have learnt."""
    return min(2e-3, 1e-3 * 256 / dim) if is_new else min(1e-3, 2e-4 * (384 / dim) ** 2)


def _given(
    settings: TuneSettings, inputs: Mapping[str, Path], head_of: HeadOf, log: Log
) -> tuple[Tokenizer, Model]:
    folder, given = inputs["model"], inputs.get("tokenizer")
    if "vectors" in inputs:
        raise ConfigError("a model folder has vectors of its own", fix="leave out model or vectors")
    if given and not settings.surgery.extend_vocabulary:
        raise ConfigError(
            "a model folder has a tokenizer of its own",
            fix="leave out tokenizer, or set surgery.extend_vocabulary",
        )
    new = load_tokenizer(given) if given else None
    head = head_of(read_config(folder).family, True)
    model = open_model(folder, settings.surgery, head=head, tokenizer=new, log=log, seed=settings.seed)
    tokenizer = new or load_tokenizer(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    return tokenizer, model


@dataclass(frozen=True, slots=True, eq=False)
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


def _tokenizer(
    settings: TuneSettings,
    inputs: Mapping[str, Path],
    out: Path,
    texts: Sequence[str],
    known: _Known | None,
    train: Callable[[Sequence[str]], Tokenizer],
) -> Tokenizer:
    if given := inputs.get("tokenizer"):
        return load_tokenizer(given)
    if (out / "tokenizer.json").is_file():  # an interrupted run made it
        return load_tokenizer(out)
    if known and inputs["vectors"].is_dir():  # it knows words that these rows lack
        tokenizer = load_tokenizer(inputs["vectors"])
    elif known:
        tokenizer = known.tokenizer(texts, settings.vocab_size)
    else:
        tokenizer = train(texts)
    tokenizer.save(out)
    return tokenizer
