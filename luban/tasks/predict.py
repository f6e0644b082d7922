"""A classifier from any folder that holds one: texts in, labels with probabilities out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luban.errors import CheckpointError
from luban.files import read_json
from luban.tasks.bag_model import MODEL_TYPE, load_bag
from luban.tasks.decision import Decision, read_decision
from luban.tasks.task import Predictor, is_model
from luban.tasks.text_scores import TextScorer, open_scorer
from luban.tasks.text_scores import longest as longest

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest label of a text, its probability, and every label's.

    The label is None where no label is likely enough, by what the folder says of that.
    """

    label: str | None
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class Classifier:
    """What `load_classifier` returns, whatever the folder holds."""

    labels: tuple[str, ...]
    family: str
    n_parameters: int
    probabilities: Callable[[Sequence[str]], NDArray[np.float64]]
    """Texts -> probabilities (n, K)."""
    decision: Decision = Decision()
    """How a label follows from them."""

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Classify texts; the order is kept."""
        predictions = []
        for row in self.probabilities(texts) if texts else ():
            by_label = {label: float(p) for label, p in zip(self.labels, row, strict=True)}
            best = self.decision.choice(row)
            label = None if best is None else self.labels[best]
            predictions.append(Prediction(label, float(row.max() if best is None else row[best]), by_label))
        return predictions


def open_classifier(folder: Path) -> Predictor:
    """Open a classifier to ask it for labels, each with its probability and every label's."""
    classifier = load_classifier(folder)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [dataclasses.asdict(p) for p in classifier.predict([row["text"] for row in rows])]

    return Predictor(("text",), predict, ("label", "probability"), {"labels": list(classifier.labels)})


def load_classifier(folder: Path) -> Classifier:
    """Open a folder of `luban train --task classify` or bag, or of a Hugging Face classifier."""
    if not is_model(folder):
        raise CheckpointError(
            f"{folder} holds no config.json, so it is not a model",
            fix="name a folder that `luban train` wrote",
        )
    path = folder / "config.json"
    if path.is_file() and read_json(path).get("model_type") == MODEL_TYPE:
        bag = load_bag(folder)
        decision = read_decision(folder)
        return Classifier(bag.labels, "bag", bag.n_parameters, bag.probabilities, decision)
    return scored_classifier(open_scorer(folder, "one"))


def model_classifier(model: Model, tokenizer: Tokenizer, max_len: int) -> Classifier:
    """Return the classifier of a model in memory; texts are cut to `max_len` tokens."""
    return scored_classifier(TextScorer(model, tokenizer, max_len))


def scored_classifier(scorer: TextScorer) -> Classifier:
    """Return the classifier of a model that scores texts."""
    return Classifier(
        tuple(scorer.head.labels),
        scorer.family,
        scorer.n_parameters,
        lambda texts: scorer.decision.probabilities(scorer.logits(texts)),
        scorer.decision,
    )
