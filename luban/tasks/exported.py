"""Proofs of what leaves training: a saved model is the trained one, a merged adapter is the adapter."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.device import seed_step
from luban.files import read_json
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.records import Batch
from luban.tasks.golden import not_possible
from luban.train.engine import Course, train
from luban.train.proofs.isolation import alone
from luban.train.proofs.subject import TOLERANCE, Few, Finding, Subject, apart, not_applicable
from luban.tune.bottleneck import bottlenecks
from luban.tune.front import front_of
from luban.tune.load import load_tuned
from luban.tune.lora import adapted, detach, merge, unmerge
from luban.tune.methods import METHODS
from luban.tune.peft_folder import load_adapter, save_adapter

N_STEPS, LR = 3, 0.05
TRANSFORMERS_TOLERANCE = 1e-4
"""Of scores, relative to the largest: other kernels, in float32."""


def exported(subject: Subject) -> Finding:
    """Show that the small model, trained a little, saved and read again, gives the same scores.

    Bit for bit by Luban, and within rounding by `transformers` where it is installed and has the family.
    """
    model, batch = _trained(subject), alone(subject.batches.at(1)[0])
    if adapted(model):
        merge(model)
        detach(model)
    with tempfile.TemporaryDirectory(prefix="luban-certify-") as name:
        folder, ours = Path(name), _scores(model, batch)
        _save(model, folder)
        read = _scores(load_tuned(folder), batch)
        if not torch.equal(ours, read):
            return Finding(
                words="saved and read again, the model scores differently", difference=_gap(read, ours)
            )
        words = "saved and read again, the model gives the same scores to the last bit"
        if note := not_possible("transformers", folder):
            return Finding(words=f"{words}; not compared with transformers: {note}")
        gap = _gap(_by_transformers(folder, batch), ours)
    if gap > TRANSFORMERS_TOLERANCE:
        words = "read by transformers, the saved model scores differently"
    else:
        words += ", and in transformers"
    return Finding(words=words, difference=gap, tolerance=TRANSFORMERS_TOLERANCE)


def _save(model: Model, folder: Path) -> None:
    """Write the model, and what stands beside its weights as its method does."""
    front = front_of(model)
    method = front.kind if front else "bottleneck" if bottlenecks(model) else "full"
    METHODS[method].save(model, folder, "")


def adapter_merges(subject: Subject) -> Finding:
    """Show that a merged adapter computes what it did beside its matrix, and so does a saved one."""
    model: Any = subject.build(False).double().eval()
    layers = adapted(model)
    if not layers:
        return not_applicable("no layer has an adapter")
    seed_step(subject.settings.seed, 0)
    for layer in layers.values():
        torch.nn.init.normal_(layer.lora_b, std=0.1)  # an adapter begins as zero, and would show nothing
    batch = alone(subject.batches.at(1)[0])
    beside = _scores(model, batch)
    merge(model)
    merged = _gap(_scores(model, batch), beside)
    if merged > TOLERANCE:
        return Finding(
            words="merged into their matrices, the adapters compute something else",
            difference=merged,
            tolerance=TOLERANCE,
        )
    unmerge(model)
    if not torch.equal(_scores(model, batch), beside):
        return Finding(words="unmerged, the matrices are not what they were", difference=float("inf"))
    words = f"{len(layers)} adapters compute the same beside their matrices and merged into them"
    if FAMILIES[model.config.family].format is None:
        return Finding(words=words, difference=merged, tolerance=TOLERANCE)
    read = _saved_and_read(subject, model.float(), batch)
    if read > TOLERANCE:
        words = "saved and read again, the adapters compute something else"
    else:
        words += ", and saved and read again"
    return Finding(words=words, difference=max(merged, read), tolerance=TOLERANCE)


def _saved_and_read(subject: Subject, model: Any, batch: Batch) -> float:
    """Return how far the adapters of a folder are from those that were saved there."""
    expected = _scores(model, batch)
    plain: Any = subject.build(False)
    detach(plain)
    with tempfile.TemporaryDirectory(prefix="luban-certify-") as folder:
        save_adapter(model, Path(folder))
        load_adapter(plain, Path(folder))
    return _gap(_scores(plain, batch), expected)


def _trained(subject: Subject) -> Model:
    """Return the small model after a few steps of plain descent."""
    model: Any = subject.build(True)
    groups = [
        {"params": [p for p in model.parameters() if p.requires_grad], "lr_scale": 1.0, "penalised": False}
    ]
    course = Course(
        model=model,
        batches=Few(subject.batches),
        objective=subject.objective,
        optimizer=torch.optim.SGD(groups, lr=LR),
        lr_at=lambda step: LR,
        settings=dataclasses.replace(subject.settings, steps=N_STEPS, l1=0.0, l2=0.0),
    )
    for _ in train(course):
        pass
    trained: Model = model.eval()
    return trained


@torch.no_grad()
def _scores(model: Any, batch: Batch) -> Tensor:
    more = {} if batch.source is None else {"source": batch.source}
    scores: Tensor = model.eval()(batch.tokens, **more)
    return scores


@torch.no_grad()
def _by_transformers(folder: Path, batch: Batch) -> Tensor:
    import transformers

    logging = transformers.utils.logging
    loudness = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    architecture = read_json(folder / "config.json")["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    logging.set_verbosity(loudness)
    if batch.source is None:
        said = model(input_ids=batch.tokens)
    else:
        said = model(input_ids=batch.source, decoder_input_ids=batch.tokens)
    are_spans = "start_logits" in said
    scores: Tensor = torch.stack([said.start_logits, said.end_logits], -1) if are_spans else said.logits
    return scores


def _gap(found: Tensor, expected: Tensor) -> float:
    return apart({"": found}, {"": expected}) if found.shape == expected.shape else float("inf")
