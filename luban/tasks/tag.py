"""Names and other spans in texts: rows with spans → a model folder that finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luban.data.examples import Examples, read_examples
from luban.data.tag_batches import TagBatches
from luban.errors import CheckpointError, DataError
from luban.evaluate.entities import OUTSIDE, Entity, entity_scores
from luban.files import read_json, write_json, write_jsonl
from luban.log import Log
from luban.models.config import HeadConfig
from luban.models.model import Model
from luban.models.width import lr_dim
from luban.objectives.tags import tags
from luban.records import IGNORE, Example
from luban.stages import Facts
from luban.tasks.classify_settings import TagSettings
from luban.tasks.labelling import train_rows
from luban.tasks.long_texts import template_around
from luban.tasks.model_settings import ModelSettings
from luban.tasks.opened import open_tuned
from luban.tasks.planning import Habit, planned
from luban.tasks.prepared import Prepared
from luban.tasks.start import let_learn, longest_row
from luban.tasks.tag_rows import FORM, Units, lay_out, spans_of
from luban.tasks.text_model import advised_lr, text_model
from luban.tasks.text_scores import longest
from luban.tokenizer import Tokenizer
from luban.train.run import Run

SCRATCH = ModelSettings(family="bert", size="tiny", dim=128, n_layers=2, dropout=0.1)
"""It sees both sides of a token, which a tag depends on."""
TOKENS_PER_BATCH = 8192
Floats = NDArray[np.float64]


def prepare(settings: TagSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows and build the model; a tokenizer that is trained on the way is left in `out`."""
    examples, train, labels = _read(settings, inputs, log)
    head = HeadConfig(kind="tags", n_classes=len(labels), labels=labels)
    model_of = settings if settings.model or "vectors" in inputs else replace(settings, model=SCRATCH)
    tokenizer, model = text_model(
        model_of, inputs, out, [e.text for e in train], lambda family, known: head, log, han_alone=True
    )
    max_len = longest_row(model, settings)
    made = {
        name: _Laid.out(tokenizer, rows, labels, max_len)
        for name, rows in (("train", train), ("held_out", examples.validation))
    }
    seen = _Laid.out(tokenizer, train[:: 1 + len(train) // len(examples.validation)], labels, max_len)
    if n_inexact := made["train"].n_inexact:
        log.warn(f"{n_inexact} training spans begin or end inside a word or token; they are widened to it")
    learning = let_learn(model, settings)
    batches = made["train"].batches(settings, tokenizer, settings.n_micro_batches)
    is_new = "model" not in inputs
    lr = advised_lr(lr_dim(model.config), is_new=is_new) * learning.applied.lr_scale
    habit = Habit(epochs=6 if is_new else 4, min_steps=300 if is_new else 100, lr=lr)
    run = Run(
        model=model,
        batches=batches,
        objective=partial(tags, label_smoothing=settings.label_smoothing),
        settings=planned(settings, batches.steps_per_epoch, habit),
        evaluate=partial(_evaluate, model, tokenizer, made["held_out"]),
        evaluate_train=partial(_evaluate, model, tokenizer, seen),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        learning.applied.save(model.to("cpu"), out, base=inputs.get("model", ""))
        _save_rest(tokenizer, max_len, examples, out)
        counts = {f"{part}_rows": len(examples.part(part)) for part in ("train", "validation", "test")}
        return facts | {
            "counts": facts["counts"] | counts | {"train_rows": len(train)},
            "family": model.config.family,
            "labels": list(labels),
            "inexact_spans": made["train"].n_inexact,
            "lr": run.settings.lr,
            "max_len": max_len,
            "rejects": len(examples.rejects),
            "warnings": [*examples.warnings, *facts["warnings"]],
        }

    return Prepared(run, finish)


def _read(
    settings: TagSettings, inputs: Mapping[str, Path], log: Log
) -> tuple[Examples, list[Example], tuple[str, ...]]:
    """Return all rows, those that train, and the tags that they need."""
    data, fold = inputs["data"], (settings.fold, settings.folds) if settings.fold else None
    examples = read_examples(data, settings.columns, eval_path=inputs.get("eval"), fold=fold, form=FORM)
    for text in examples.warnings:
        log.warn(text)
    train = train_rows(examples, settings)
    kinds = sorted({kind for e in train for *_, kind in spans_of(e.label)})
    if not kinds:
        raise DataError(
            f"{data}: none of {len(train)} training rows has a span", fix="check its spans or tags"
        )
    if not examples.validation:
        raise DataError(f"{data} has no validation row", fix="give more rows, or mark some validation")
    return examples, train, (OUTSIDE, *(f"{place}-{kind}" for kind in kinds for place in "BI"))


def _save_rest(tokenizer: Tokenizer, max_len: int, examples: Examples, out: Path) -> None:
    tokenizer.save(out)
    config = read_json(out / "tokenizer_config.json")
    write_json(out / "tokenizer_config.json", {**config, "model_max_length": max_len})
    write_jsonl(out / "rejects.jsonl", examples.rejects)
    write_jsonl(out / "test.jsonl.gz", map(_plain_row, examples.test))


@dataclass(frozen=True, slots=True, eq=False)
class Tagger:
    """A model that tags tokens, ready to find spans in texts of any length."""

    model: Model
    tokenizer: Tokenizer
    max_len: int

    def find(self, texts: Sequence[str]) -> list[list[tuple[Entity, float]]]:
        """Return the spans of each text, each with the mean probability of its tags."""
        laid = lay_out(self.tokenizer, texts)
        found = []
        for units, scores in zip(laid, self._probabilities(laid), strict=True):
            at_first = scores[units.first]  # a unit has its first token's tag
            best = at_first.argmax(-1)
            said = units.spans([self.model.config.head.labels[k] for k in best])
            sure = at_first.max(-1)
            starts, ends = ({place[i]: n for n, place in enumerate(units.places)} for i in (0, 1))
            found.append([(s, float(sure[starts[s[0]] : ends[s[1]] + 1].mean())) for s in said])
        return found

    def _probabilities(self, laid: Sequence[Units]) -> list[Floats]:
        """Return the probability of every tag of every token, from the window that it is deepest in."""
        around, rows, places = template_around(self.tokenizer), [], []
        for text, units in enumerate(laid):
            for start, end in _windows(len(units.ids), self.max_len - around.n_tokens):
                rows.append(around.put(units.ids[start:end]))
                places.append((text, start, end))
        n_labels = self.model.config.head.n_classes
        found = [np.zeros((len(units.ids), n_labels)) for units in laid]
        depth = [np.full(len(units.ids), -1) for units in laid]
        for number, scores in self._scored(rows):
            text, start, end = places[number]
            inside = np.minimum(np.arange(end - start), np.arange(end - start)[::-1])
            deeper = inside > depth[text][start:end]
            part = scores[len(around.before) : len(around.before) + end - start]
            found[text][start:end][deeper] = part[deeper]
            depth[text][start:end][deeper] = inside[deeper]
        return found

    def _scored(self, rows: list[list[int]]) -> list[tuple[int, Floats]]:
        found = []
        there = [i for i, row in enumerate(rows) if row]
        if not there:
            return []
        source = TagBatches(
            [rows[i] for i in there],
            [[] for _ in there],
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=0,
            pad_id=self.tokenizer.pad_id or 0,
        )
        was_training, device = self.model.training, next(self.model.parameters()).device
        self.model.eval()
        with torch.no_grad():
            for batch in source.in_order():
                moved = batch.to(device)
                likely = self.model(moved.tokens, moved.documents).double().softmax(-1).cpu().numpy()
                found += [(there[i], likely[k]) for k, i in enumerate(batch.ids)]
        self.model.train(was_training)
        return found


def open_tagger(folder: Path) -> Tagger:
    """Open a folder of `luban train --task tag`, or a Hugging Face model for token classification."""
    model, tokenizer = open_tuned(folder)
    if model.config.head.kind != "tags":
        raise CheckpointError(f"{folder} does not tag tokens", fix="train it: luban train --task tag")
    return Tagger(model, tokenizer, longest(folder, model.config.max_len))


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """Texts laid out, with the tags that are to be learnt, in windows that overlap."""

    examples: Sequence[Example]
    rows: list[list[int]]
    targets: list[list[int]]
    n_inexact: int
    max_len: int

    @classmethod
    def out(
        cls, tokenizer: Tokenizer, examples: Sequence[Example], labels: Sequence[str], max_len: int
    ) -> _Laid:
        number, around = {label: k for k, label in enumerate(labels)}, template_around(tokenizer)
        rows, targets, n_inexact = [], [], 0
        laid = lay_out(tokenizer, [e.text for e in examples])
        for example, units in zip(examples, laid, strict=True):
            wanted, wrong = units.tags(spans_of(example.label))
            n_inexact += wrong
            tag_of = [IGNORE] * len(units.ids)
            for first, tag in zip(units.first, wanted, strict=True):
                tag_of[first] = number.get(tag, IGNORE)
            for start, end in _windows(len(units.ids), max_len - around.n_tokens):
                if any(tag != IGNORE for tag in tag_of[start:end]):
                    rows.append(around.put(units.ids[start:end]))
                    targets.append(around.put(tag_of[start:end], IGNORE))
        return cls(examples, rows, targets, n_inexact, max_len)

    def batches(self, settings: TagSettings, tokenizer: Tokenizer, n_micro_batches: int) -> TagBatches:
        return TagBatches(
            self.rows,
            self.targets,
            tokens_per_batch=settings.tokens_per_batch,
            seed=settings.seed,
            n_micro_batches=n_micro_batches,
            pad_id=tokenizer.pad_id or 0,
        )


def _evaluate(model: Model, tokenizer: Tokenizer, laid: _Laid) -> dict[str, float]:
    """Return the F1 of spans on the validation rows."""
    found = Tagger(model, tokenizer, laid.max_len).find([e.text for e in laid.examples])
    truth = [spans_of(e.label) for e in laid.examples]
    said = [[span for span, _ in spans] for spans in found]
    scores = entity_scores(truth, said)(np.arange(len(truth))[None])
    return {name: float(scores[name][0]) for name in ("f1", "precision", "recall")}


def _windows(n: int, size: int) -> list[tuple[int, int]]:
    """Return where windows over n tokens begin and end; they overlap by a quarter."""
    if n <= size:
        return [(0, n)] if n else []
    step = max(1, size - size // 4)
    starts = [*range(0, n - size, step), n - size]
    return [(start, start + size) for start in starts]


def _plain_row(example: Example) -> dict[str, Any]:
    spans = [{"start": a, "end": b, "type": kind} for a, b, kind in spans_of(example.label)]
    return {"id": example.id, "text": example.text, "spans": spans}
