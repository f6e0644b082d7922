"""Question answering from a text: rows with answers → a model folder that finds them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from luban.errors import ConfigError, DataError
from luban.files import read_json, write_json, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.config import HeadConfig, ModelConfig, RecurrentConfig, TransformerConfig
from luban.models.folder import read_config
from luban.models.model import Model
from luban.models.stems import TokenStem
from luban.models.width import lr_dim
from luban.objectives.spans import spans
from luban.stages import Facts
from luban.tasks.model_settings import ModelSettings
from luban.tasks.planning import Habit, planned
from luban.tasks.prepared import Prepared
from luban.tasks.qa_answers import Answer, Answerer, Asking, text_of, write_asking
from luban.tasks.qa_metrics import Definition, best_threshold, definition, exact_match, f1, language_of
from luban.tasks.qa_parts import counts_of, read_questions
from luban.tasks.qa_rows import Asked, Questions
from luban.tasks.qa_settings import QaSettings
from luban.tasks.qa_windows import Encoder, Shape, Window, WindowBatches, answer_lengths
from luban.tasks.start import let_learn, new_config, open_model, refuse_surgery
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_bpe
from luban.train.run import Run

SCRATCH = ModelSettings(family="bert", size="mini")
LONGEST_SHARE = 0.99
"""Answers that are longer than so many of the training rows' are not looked for."""
LOOKED_AT = 1000
"""Validation rows that are scored at each look."""


def prepare(settings: QaSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows, lay them out in windows, and build the model."""
    questions = read_questions(inputs["data"], settings.columns, eval_path=inputs.get("eval"))
    for text in questions.warnings:
        log.warn(text)
    train = _train_rows(questions, settings)
    if not any(row.spans for row in train):
        raise DataError(
            f"{inputs['data']}: none of {len(train)} training rows has an answer to find",
            fix="give rows with answers: {text: [...], answer_start: [...]}",
        )
    tokenizer, model = _tokenizer_and_model(settings, inputs, out, train, log)
    learning = let_learn(model, settings)
    fit = _fit(settings, tokenizer, model.config, train, log)
    plan = planned(
        settings, fit.batches.steps_per_epoch, _habit(model, learning.applied.lr_scale, "model" in inputs)
    )
    answerer = Answerer(model, tokenizer, fit.asking)
    looked_at = spread(questions.validation, LOOKED_AT)
    how = definition(language_of(row.question for row in train))
    run = Run(
        model=model,
        batches=fit.batches,
        objective=spans,
        settings=plan,
        evaluate=partial(_evaluate, answerer, looked_at, how),
        evaluate_train=partial(_evaluate, answerer, spread(train, len(looked_at)), how),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        model.to("cpu")
        asking = _with_threshold(answerer, questions, how)
        learning.applied.save(model, out, base=inputs.get("model", out))
        _save(tokenizer, asking, out)
        write_jsonl(out / "rejects.jsonl", questions.rejects)
        write_jsonl(out / "test.jsonl.gz", map(plain_row, questions.test))
        sizes = {"validation_rows": len(questions.validation), "test_rows": len(questions.test)}
        sizes |= {"train_rows": len(train), "windows": len(fit.batches.windows), "cut_answers": fit.n_cut}
        return facts | {
            "counts": facts["counts"] | sizes,
            "parts": {name: counts_of(questions.part(name)) for name in ("train", "validation", "test")},
            "family": model.config.family,
            "lr": plan.lr,
            "max_len": asking.shape.max_len,
            "max_answer": asking.max_answer,
            "threshold": asking.threshold,
            "definition": how.name,
            "rejects": len(questions.rejects),
            "warnings": [*questions.warnings, *facts["warnings"]],
        }

    return Prepared(run, finish)


@dataclasses.dataclass(frozen=True, slots=True)
class _Fit:
    """Training rows as windows, and how the model is asked afterwards."""

    batches: WindowBatches
    asking: Asking
    n_cut: int
    """Rows whose answer no window holds whole."""


def _fit(
    settings: QaSettings, tokenizer: Tokenizer, config: ModelConfig, train: Sequence[Asked], log: Log
) -> _Fit:
    shape = Shape(
        min(settings.max_len, config.max_len),
        settings.overlap,
        settings.max_question,
        settings.match_segments,
    )
    encoder = Encoder(tokenizer, config, shape)
    windows = list(encoder.windows(train))
    lengths = sorted(answer_lengths(windows))
    found = {w.row for w in windows if w.has_answer}
    n_cut = sum(bool(row.spans) and i not in found for i, row in enumerate(train))
    if n_cut:
        log.warn(
            f"{n_cut} of {len(train)} answers are cut by every window of {shape.max_len} tokens; "
            "raise max_len or overlap"
        )
    if not lengths:
        raise DataError(
            f"no window of {shape.max_len} tokens holds a whole answer", fix="raise max_len and overlap"
        )
    longest = settings.max_answer or max(
        16, lengths[min(len(lengths) - 1, int(LONGEST_SHARE * len(lengths)))]
    )
    kept = _with_fewer_nulls(windows, found, settings)
    batches = WindowBatches(
        kept,
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        n_micro_batches=settings.n_micro_batches,
        pad_id=tokenizer.pad_id or 0,
        with_segments=encoder.has_segments,
    )
    asking = Asking(shape, longest, 0.0 if any(row.is_impossible for row in train) else None)
    return _Fit(batches, asking, n_cut)


def _with_fewer_nulls(windows: Sequence[Window], found: set[int], settings: QaSettings) -> list[Window]:
    """Leave out windows without an answer, at random, where another window of the row has it."""
    draw = random.Random(settings.seed)
    return [w for w in windows if w.has_answer or w.row not in found or draw.random() < settings.null_windows]


def _habit(model: Model, lr_scale: float, has_learnt: bool) -> Habit:
    dim = lr_dim(model.config)
    if has_learnt:
        return Habit(epochs=3, min_steps=100, lr=min(1e-3, 2e-4 * (384 / dim) ** 2) * lr_scale)
    return Habit(epochs=10, min_steps=300, lr=min(2e-3, 1e-3 * 256 / dim))


def _train_rows(questions: Questions, settings: QaSettings) -> list[Asked]:
    rows = questions.train
    if settings.train_rows is not None and settings.train_rows < len(rows):
        rows = random.Random(settings.seed).sample(rows, settings.train_rows)
    return rows


def _tokenizer_and_model(
    settings: QaSettings, inputs: Mapping[str, Path], out: Path, train: Sequence[Asked], log: Log
) -> tuple[Tokenizer, Model]:
    head = HeadConfig(kind="spans", bias=True)
    if folder := inputs.get("model"):
        _check_fit(read_config(folder))
        given = inputs.get("tokenizer")
        if given and not settings.surgery.extend_vocabulary:
            raise ConfigError(
                "a model folder has a tokenizer of its own",
                fix="leave out tokenizer, or set surgery.extend_vocabulary",
            )
        new = load_tokenizer(given) if given else None
        own = read_config(folder).head.kind == "spans"
        model = open_model(
            folder, settings.surgery, head=None if own else head, tokenizer=new, log=log, seed=settings.seed
        )
        tokenizer = new or load_tokenizer(folder)
        tokenizer.check_fits(model.config.vocab_size, folder)
        tell_matches_apart(model, settings.match_segments)
        return tokenizer, model
    refuse_surgery(settings.surgery)
    choice = settings.model or SCRATCH
    if settings.model is None:
        log.say("a small BERT is built from scratch; a pretrained --model would do far better")
    tokenizer = _tokenizer(settings, inputs, out, choice.family, train)
    config = new_config(choice, tokenizer, head)
    _check_fit(config)
    if settings.match_segments:
        config = dataclasses.replace(config, n_segments=2 + settings.match_segments)
    return tokenizer, build_model(config, seed=settings.seed)


def _check_fit(config: ModelConfig) -> None:
    """Refuse models that read no text in one piece, token by token."""
    if config.encoder is not None or not isinstance(config.trunk, (TransformerConfig, RecurrentConfig)):
        raise ConfigError(
            f"a {config.family} model cannot point at an answer in what it reads",
            fix="take an encoder such as bert or roberta, or a decoder such as llama",
        )


def tell_matches_apart(model: Model, levels: int) -> None:
    """Give the stem a row for each level of match, in place; all begin as the context's own."""
    wanted = 2 + levels
    stem: TokenStem = model.stem
    have = 0 if stem.segments is None else stem.segments.num_embeddings
    if not levels or have == wanted:
        return
    rows = torch.zeros(1, model.config.dim) if stem.segments is None else stem.segments.weight.detach()
    more = rows[min(1, have - 1) :][:1].expand(max(0, wanted - len(rows)), -1)
    stem.segments = nn.Embedding(wanted, model.config.dim, _weight=torch.cat([rows[:wanted], more]).clone())
    model.config = dataclasses.replace(model.config, n_segments=wanted)


def _tokenizer(
    settings: QaSettings, inputs: Mapping[str, Path], out: Path, family: str, train: Sequence[Asked]
) -> Tokenizer:
    if given := inputs.get("tokenizer"):
        return load_tokenizer(given)
    if (out / "tokenizer.json").is_file():  # an interrupted run made it
        return load_tokenizer(out)
    texts = [*dict.fromkeys(row.context for row in train), *(row.question for row in train)]
    tokenizer = train_bpe(texts, settings.vocab_size, template=family in ("bert", "roberta"), han_alone=True)
    tokenizer.save(out)
    return tokenizer


def spread(rows: Sequence[Asked], most: int) -> list[Asked]:
    """Return at most so many rows, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(i)] for i in np.linspace(0, len(rows) - 1, max(1, most))]


def _evaluate(answerer: Answerer, rows: Sequence[Asked], how: Definition) -> dict[str, float]:
    """Return mean F1 and exact match, at the threshold that does best where there may be no answer."""
    answers = answerer.answer(rows)
    may_be_none = answerer.asking.threshold is not None
    threshold = tuned_threshold(rows, answers, how) if may_be_none else None
    said = [text_of(row, answer, threshold) for row, answer in zip(rows, answers, strict=True)]
    pairs = list(zip(said, rows, strict=True))
    return {
        "f1": float(np.mean([f1(text, row.texts, how) for text, row in pairs])),
        "exact_match": float(np.mean([exact_match(text, row.texts, how) for text, row in pairs])),
    }


def tuned_threshold(rows: Sequence[Asked], answers: Sequence[Answer], how: Definition) -> float:
    """Return the margin over no answer at which F1 is best on these rows."""
    found = [f1(text_of(row, a, None), row.texts, how) for row, a in zip(rows, answers, strict=True)]
    empty = [f1("", row.texts, how) for row in rows]
    return best_threshold([a.margin for a in answers], found, empty)


def _with_threshold(answerer: Answerer, questions: Questions, how: Definition) -> Asking:
    if answerer.asking.threshold is None:
        return answerer.asking
    answers = answerer.answer(questions.validation)
    threshold = tuned_threshold(questions.validation, answers, how)
    return dataclasses.replace(answerer.asking, threshold=threshold)


def _save(tokenizer: Tokenizer, asking: Asking, out: Path) -> None:
    tokenizer.save(out)
    config = read_json(out / "tokenizer_config.json")
    write_json(out / "tokenizer_config.json", {**config, "model_max_length": asking.shape.max_len})
    write_asking(out, asking)


def plain_row(row: Asked) -> dict[str, object]:
    """Return a row in SQuAD's form."""
    places = dict(zip((row.context[a:b] for a, b in row.spans), (a for a, _ in row.spans), strict=True))
    answers = {"text": list(row.texts), "answer_start": [places.get(t.strip(), -1) for t in row.texts]}
    return {
        "id": row.id,
        "title": row.title,
        "context": row.context,
        "question": row.question,
        "answers": answers,
    }
