"""How a model is made to say something of whole texts: what classification, several labels and numbers
have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from luban.data.batches import Bucketed
from luban.data.examples import Examples, LabelForm, read_examples
from luban.errors import DataError
from luban.evaluate.golden import GOLDEN, record
from luban.files import read_json, write_json, write_jsonl
from luban.log import Log
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.records import Example
from luban.stages import Facts
from luban.tasks.answers import Answers
from luban.tasks.augment import augmented, near_tokens, paraphrased
from luban.tasks.classify_settings import TextSettings
from luban.tasks.decision import Decision, write_decision
from luban.tasks.features import FeatureBatches, PooledHead, features, remove_features
from luban.tasks.long_texts import TextRows, text_rows
from luban.tasks.planning import Habit, planned
from luban.tasks.predict import scored_classifier
from luban.tasks.prepared import Prepared
from luban.tasks.start import let_learn, longest_row
from luban.tasks.text_model import advised_lr, class_head, text_model
from luban.tasks.text_scores import TextScorer, batch_logits
from luban.tokenizer import Tokenizer
from luban.train.run import Run
from luban.tune.methods import Applied

N_GOLDEN = 8
SCRATCH, TUNED, HEAD = (3.0, 200), (3.0, 60), (30.0, 300)
"""Passes over the rows and least steps: of a new model, of one that has learnt, of a head alone."""
HEAD_LR = 3e-3
TUNED_LR = 0.5
"""Of the advised rate, for batches of half as many tokens; measured with MiniLM on film reviews."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """One task on whole texts."""

    form: LabelForm
    answers: Callable[[Any, Sequence[Example], Examples], Answers]
    """(settings, training rows, all rows) -> what the head is to say."""
    keeps: Callable[[Example, Answers], bool] = lambda example, answers: True
    """Whether a validation row can be judged."""


def prepare_labelling(
    task: Labelling, settings: TextSettings, inputs: Mapping[str, Path], out: Path, log: Log
) -> Prepared:
    """Read the rows and build the model; a tokenizer that is trained on the way is left in `out`."""
    # The split is the same for every seed and model, so that their scores can be compared.
    fold = (settings.fold, settings.folds) if settings.fold else None
    examples = read_examples(
        inputs["data"], settings.columns, eval_path=inputs.get("eval"), fold=fold, form=task.form
    )
    for text in examples.warnings:
        log.warn(text)
    train = train_rows(examples, settings)
    answers = task.answers(settings, train, examples)
    held_out = [e for e in examples.validation if task.keeps(e, answers)]
    if not held_out:
        raise DataError(
            f"{inputs['data']}: {len(train)} training rows but no validation row with their labels",
            fix="give more rows, a split column with `validation`, or --eval FILE",
        )
    head_of = partial(class_head, answers.labels, answers.answer, settings.pool)
    tokenizer, model = text_model(settings, inputs, out, [e.text for e in train], head_of, log)
    made = _Made(settings, inputs, tokenizer, model, answers, log)
    rows = paraphrased(train, settings.augment)
    parts = {
        "train": made.part(rows, settings.n_micro_batches),
        "held_out": made.part(held_out),
        "seen": made.part(train[:: 1 + len(train) // len(held_out)]),
    }
    if n_long := parts["train"].rows.n_long:
        how = "are cut" if settings.long == "cut" else "are read in windows"
        log.say(f"{n_long} of {len(rows)} texts are longer than max_len = {made.max_len} tokens and {how}")
    run, applied = made.run(parts, out)
    return Prepared(run, partial(_finish, made, parts["held_out"], applied, (examples, train, out), run))


def train_rows(examples: Examples, settings: Any) -> list[Example]:
    """Return the rows that training uses: all, or as many as `train_rows` says, drawn by the seed."""
    rows = list(examples.train)
    if settings.train_rows is not None and settings.train_rows < len(rows):
        rows = random.Random(settings.seed).sample(rows, settings.train_rows)
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of some texts, the batches that serve them, and what is to be learnt of each text."""

    texts: list[str]
    rows: TextRows
    batches: Bucketed
    targets: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What a run is put together from."""

    settings: TextSettings
    inputs: Mapping[str, Path]
    tokenizer: Tokenizer
    model: Model
    answers: Answers
    log: Log

    @property
    def is_new(self) -> bool:
        return "model" not in self.inputs

    @property
    def max_len(self) -> int:
        return longest_row(self.model, self.settings)

    @property
    def usual(self) -> Decision:
        """How long texts are read."""
        settings = self.settings
        if settings.long == "cut":
            return Decision()
        return Decision(window=self.max_len, stride=settings.stride, window_pool=settings.window_pool)

    def part(self, examples: Sequence[Example], n_micro_batches: int = 1) -> Part:
        texts = [e.text for e in examples]
        rows = text_rows(self.tokenizer, texts, self.max_len, self.usual)
        targets = self.answers.targets(examples)
        batches = Bucketed(
            rows.ids,
            targets[rows.owners],
            tokens_per_batch=self.settings.tokens_per_batch,
            seed=self.settings.seed,
            n_micro_batches=n_micro_batches,
            pad_id=self.tokenizer.pad_id or 0,
        )
        return Part(texts, rows, batches, targets)

    def run(self, parts: Mapping[str, Part], out: Path) -> tuple[Run, Applied]:
        settings, model = self.settings, self.model
        fit = parts["train"]
        learning = let_learn(model, settings)
        near = near_tokens(
            settings.augment, model, fit.rows.ids, knows=not self.is_new or "vectors" in self.inputs
        )
        learner, batches, sources = self._learner(parts, out)
        weights = torch.tensor(fit.rows.weights) if len(fit.rows.ids) > len(fit.texts) else None
        run = Run(
            model=learner,
            batches=augmented(batches, settings.augment, self.tokenizer, near, settings.seed),
            objective=self.answers.objective(weights),
            settings=planned(settings, fit.batches.steps_per_epoch, self._habit(learning.applied)),
            evaluate=partial(self._evaluate, learner, parts["held_out"], sources["held_out"]),
            evaluate_train=partial(self._evaluate, learner, parts["seen"], sources["seen"]),
            lr_scale=learning.lr_scale,
            first_step=learning.first_step,
        )
        return run, learning.applied

    def _learner(self, parts: Mapping[str, Part], out: Path) -> tuple[nn.Module, Any, dict[str, Any]]:
        """Return what is trained, and its batches; the head alone reads what the trunk has made of texts."""
        if self.settings.method != "head" or self.settings.augment.changes_tokens:
            return self.model, parts["train"].batches, {name: p.batches for name, p in parts.items()}
        self.log.say("the head alone is trained: what the trunk makes of the texts is computed once")
        made = {
            name: FeatureBatches(p.batches, features(self.model, p.batches, p.rows.ids, out, self.log))
            for name, p in parts.items()
        }
        return PooledHead(self.model), made["train"], dict(made)

    def _habit(self, applied: Applied) -> Habit:
        if self.is_new:
            epochs, steps = SCRATCH
        else:
            epochs, steps = HEAD if self.settings.method == "head" else TUNED
        lr = advised_lr(lr_dim(self.model.config), is_new=self.is_new) * (1.0 if self.is_new else TUNED_LR)
        lr = HEAD_LR if self.settings.method == "head" else lr * applied.lr_scale
        return Habit(epochs=epochs, min_steps=steps, lr=lr, max_epochs=max(20.0, epochs))

    def _evaluate(self, learner: nn.Module, part: Part, batches: Any) -> dict[str, float]:
        """Return the scores of texts, whatever their windows."""
        logits = batch_logits(learner, batches, len(part.rows.ids), len(self.answers.labels))
        return self.answers.scores(part.rows.pooled(logits, self.usual.window_pool), part.targets)


def _finish(
    made: _Made,
    held_out: Part,
    applied: Applied,
    what: tuple[Examples, Sequence[Example], Path],
    run: Run,
    facts: Facts,
) -> Facts:
    """Decide how scores are read, save the folder, and say what there was."""
    examples, train, out = what
    model, answers = made.model.to("cpu"), made.answers
    logits = batch_logits(model, held_out.batches, len(held_out.rows.ids), len(answers.labels))
    pooled = held_out.rows.pooled(logits, made.usual.window_pool)
    decision = answers.decide(pooled, held_out.targets, made.usual)
    if decision.unknown_below > 1:
        made.log.warn("no probability makes validation rows right often enough: no label is ever said")
    answers.close(model)
    _save(made, applied, out)
    if decision != Decision():
        write_decision(decision, out)
    if answers.answer == "one":
        _record(made, decision, held_out.texts, out)
    write_jsonl(out / "rejects.jsonl", examples.rejects)
    write_jsonl(out / "test.jsonl.gz", map(_plain_row, examples.test))
    remove_features(out)
    counts = {
        "train_rows": len(train),
        "validation_rows": len(examples.validation),
        "test_rows": len(examples.test),
        "cut_rows": made.part(train).rows.n_long if made.settings.long == "cut" else 0,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return facts | {
        "counts": facts["counts"] | counts,
        "family": model.config.family,
        "labels": list(answers.labels),
        **answers.facts,
        "decision": _shown(decision),
        "lr": run.settings.lr,
        "max_len": made.max_len,
        "rejects": len(examples.rejects),
        "warnings": [*examples.warnings, *facts["warnings"]],
    }


def _save(made: _Made, applied: Applied, out: Path) -> None:
    model, tokenizer, max_len = made.model, made.tokenizer, made.max_len
    applied.save(model, out, base=made.inputs.get("model", ""))
    tokenizer.save(out)
    config = read_json(out / "tokenizer_config.json")
    write_json(out / "tokenizer_config.json", {**config, "model_max_length": max_len})


def _record(made: _Made, decision: Decision, texts: Sequence[str], out: Path) -> None:
    """Write the golden file; labels and probabilities are what the folder says, its decision included."""
    max_len = made.max_len
    prompts = [t for t in texts if len(t) < 2 * max_len][:N_GOLDEN] or [t[:max_len] for t in texts[:N_GOLDEN]]
    golden = record(made.model, made.tokenizer, prompts, out / GOLDEN)
    classifier = scored_classifier(TextScorer(made.model, made.tokenizer, max_len, decision))
    said = classifier.predict([row["prompt"] for row in golden["prompts"]])
    for row, answer in zip(golden["prompts"], said, strict=True):
        row |= {"label": answer.label, "probabilities": answer.probabilities}
    write_json(out / GOLDEN, golden)


def _shown(decision: Decision) -> dict[str, Any]:
    usual = Decision()
    return {
        name: getattr(decision, name)
        for name in Decision.__slots__
        if getattr(decision, name) != getattr(usual, name)
    }


def _plain_row(example: Example) -> dict[str, Any]:
    return {"id": example.id, "text": example.text, "label": example.label}
