"""What a head is to say of texts: one label, several, or a number; how that is learnt, scored and decided."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luban.evaluate.amounts import numbers
from luban.evaluate.calibration import (
    best_threshold,
    fit_sigmoid_temperature,
    fit_temperature,
    precision_threshold,
)
from luban.evaluate.many_labels import many_labels
from luban.evaluate.metrics import confusion, summary_scores
from luban.models.model import Model
from luban.objectives.classes import classes
from luban.objectives.focal import focal
from luban.objectives.multi_label import multi_label
from luban.objectives.regression import regression
from luban.records import Example
from luban.tasks.classify_settings import ClassifySettings, MultiLabelSettings
from luban.tasks.decision import Decision
from luban.train.engine import Objective

Floats = NDArray[np.float64]
Array = NDArray[Any]
NEVER = 2.0
"""No probability is as large: nothing is answered."""
MOST_WEIGHT = 20.0
"""A label that is there once in a thousand rows would otherwise outweigh all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One kind of answer over the labels of the training rows."""

    labels: tuple[str, ...]
    answer: str
    """What the scores of the head mean: see HeadConfig.answer."""
    targets: Callable[[Sequence[Example]], Array]
    """Examples -> what is to be learnt of them: (n,) or (n, K)."""
    objective: Callable[[Tensor | None], Objective]
    """Weights of rows (N,), or None -> the objective."""
    scores: Callable[[Floats, Array], dict[str, float]]
    """(logits (n, K), targets) -> validation scores; the first decides which weights are best."""
    decide: Callable[[Floats, Array, Decision], Decision]
    """The same of the best weights -> how scores are to be read."""
    close: Callable[[Model], None] = lambda model: None
    """What is done to the model before it is saved."""
    facts: Mapping[str, Any] = field(default_factory=dict)


def one_label(settings: ClassifySettings, train: Sequence[Example], labels: Sequence[str]) -> Answers:
    """Return the answers of classification: one label a text."""
    number = {label: i for i, label in enumerate(labels)}
    counts = Counter(e.label for e in train)
    weights = None
    if settings.class_weights == "balanced":
        weights = torch.tensor([len(train) / (len(labels) * counts[label]) for label in labels])

    def objective(row_weights: Tensor | None) -> Objective:
        weighed: dict[str, Any] = {"class_weights": weights, "row_weights": row_weights}
        if settings.focal_gamma:
            return partial(focal, gamma=settings.focal_gamma, **weighed)
        return partial(classes, label_smoothing=settings.label_smoothing, **weighed)

    def scores(logits: Floats, targets: Array) -> dict[str, float]:
        found = summary_scores(confusion(targets, logits.argmax(-1), len(labels)))
        # A model that grows too sure loses in plain loss while it still learns; a temperature mends that.
        mended = {"calibrated_loss": _cross_entropy(logits / fit_temperature(logits, targets), targets)}
        return {
            **(mended if settings.calibrate else {}),
            "loss": _cross_entropy(logits, targets),
            "accuracy": float(found["accuracy"]),
            "macro_f1": float(found["macro_f1"]),
        }

    return Answers(
        labels=tuple(labels),
        answer="one",
        targets=lambda examples: np.array([number[e.label] for e in examples], np.int64),
        objective=objective,
        scores=scores,
        decide=partial(_decide_one, settings, counts, tuple(labels)),
        facts={"label_counts": dict(counts)},
    )


def several_labels(settings: MultiLabelSettings, train: Sequence[Example], labels: Sequence[str]) -> Answers:
    """Return the answers of multi-label classification: yes or no for every label."""
    number = {label: i for i, label in enumerate(labels)}

    def targets(examples: Sequence[Example]) -> Array:
        table = np.zeros((len(examples), len(labels)), np.int64)
        for i, example in enumerate(examples):
            table[i, [number[name] for name in json.loads(example.label) if name in number]] = 1
        return table

    there = targets(train).sum(0)
    weights = None
    if settings.balance == "balanced":
        absent = len(train) - there
        weights = torch.tensor(np.minimum(absent / np.maximum(there, 1), MOST_WEIGHT), dtype=torch.float32)

    def scores(logits: Floats, truth: Array) -> dict[str, float]:
        found = many_labels(truth, (logits > 0).astype(np.int64))(np.arange(len(truth))[None])
        nats = np.logaddexp(0, np.where(truth == 1, -logits, logits)).sum(-1).mean()
        named = {name: float(found[name][0]) for name in ("micro_f1", "macro_f1", "exact_match")}
        return {"loss": float(nats), **named}

    def decide(logits: Floats, truth: Array, usual: Decision) -> Decision:
        temperature = fit_sigmoid_temperature(logits, truth) if settings.calibrate else 1.0
        found = replace(usual, temperature=temperature)
        if settings.threshold == "half":
            return found
        likely = found.likelihoods(logits)
        best = (best_threshold(likely[:, k], truth[:, k] == 1) for k in range(len(labels)))
        return replace(found, thresholds=tuple(round(t, 6) for t in best))

    return Answers(
        labels=tuple(labels),
        answer="several",
        targets=targets,
        objective=lambda row_weights: partial(multi_label, positive_weights=weights, row_weights=row_weights),
        scores=scores,
        decide=decide,
        facts={"label_counts": {label: int(n) for label, n in zip(labels, there, strict=True)}},
    )


def a_number(train: Sequence[Example], name: str, *, can_shift: bool) -> Answers:
    """Return the answers of regression. Numbers are learnt with mean 0 and deviation 1; the last layer is
    changed before it is saved, so that the folder's scores are numbers as the rows have them.

    `can_shift`: whether that layer has a bias, which can hold the mean.
    """
    values = np.array([float(e.label) for e in train])
    mean = float(values.mean()) if can_shift else 0.0
    deviation = float(np.sqrt(((values - mean) ** 2).mean())) or 1.0

    def scores(logits: Floats, targets: Array) -> dict[str, float]:
        guess, truth = (x.reshape(-1) * deviation + mean for x in (logits, targets))
        found = numbers(truth, guess)(np.arange(len(truth))[None])
        names = ("mean_squared_error", "pearson", "spearman")
        return {name: float(found[name][0]) for name in names}

    @torch.no_grad()
    def close(model: Model) -> None:
        last = model.head.classes
        assert isinstance(last, torch.nn.Linear)
        last.weight.mul_(deviation)
        if last.bias is not None:
            last.bias.mul_(deviation).add_(mean)

    return Answers(
        labels=(name,),
        answer="number",
        targets=lambda examples: np.array(
            [[(float(e.label) - mean) / deviation] for e in examples], np.float32
        ),
        objective=lambda row_weights: partial(regression, row_weights=row_weights),
        scores=scores,
        decide=lambda logits, targets, usual: usual,
        close=close,
        facts={"mean": mean, "deviation": deviation},
    )


def _decide_one(
    settings: ClassifySettings,
    counts: Mapping[str, int],
    labels: Sequence[str],
    logits: Floats,
    targets: Array,
    usual: Decision,
) -> Decision:
    """Fit temperature, threshold and the probability below which no label is said, in this order."""
    found = usual
    if settings.calibrate:
        found = replace(found, temperature=fit_temperature(logits, targets))
    probabilities = found.probabilities(logits)
    if settings.threshold == "f1" and len(labels) == 2:
        rare = min(range(2), key=lambda k: counts[labels[k]])
        at = best_threshold(probabilities[:, rare], targets == rare)
        found = replace(found, thresholds=(round(at if rare == 1 else 1 - at, 6),))
    if settings.abstain_precision:
        said = np.array([found.choice(row) for row in probabilities])
        confidence = probabilities[np.arange(len(said)), said]
        least = precision_threshold(confidence, said == targets, settings.abstain_precision)
        found = replace(found, unknown_below=NEVER if least is None else least)
    return found


def _cross_entropy(logits: Floats, targets: Array) -> float:
    highest = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(-1)) + highest[:, 0]
    return float((total - logits[np.arange(len(targets)), targets]).mean())
