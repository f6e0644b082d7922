"""A classifier from any folder that holds one: texts in, labels with probabilities out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luban.data.batches import Bucketed
from luban.errors import CheckpointError
from luban.files import read_json
from luban.tasks.bag import MODEL_TYPE, load_bag
from luban.tasks.sequences import encode_texts
from luban.tasks.task import Predictor

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

TOKENS_PER_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest label of a text, its probability, and every label's."""

    label: str
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

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Classify texts; the order is kept."""
        predictions = []
        for row in self.probabilities(texts) if texts else ():
            best = int(row.argmax())
            by_label = {label: float(p) for label, p in zip(self.labels, row, strict=True)}
            predictions.append(Prediction(self.labels[best], float(row[best]), by_label))
        return predictions


def open_classifier(folder: Path) -> Predictor:
    """Open a classifier to ask it for labels, each with its probability and every label's."""
    classifier = load_classifier(folder)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [dataclasses.asdict(p) for p in classifier.predict([row["text"] for row in rows])]

    return Predictor(("text",), predict, ("label", "probability"), {"labels": list(classifier.labels)})


def load_classifier(folder: Path) -> Classifier:
    """Open a folder of `luban train --task classify` or bag, or of a Hugging Face classifier."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no config.json, so it is not a model",
            fix="name a folder that `luban train` wrote",
        )
    config = read_json(folder / "config.json")
    if config.get("model_type") == MODEL_TYPE:
        bag = load_bag(folder)
        return Classifier(bag.labels, "bag", bag.n_parameters, bag.probabilities)
    return _load_model_classifier(folder)


def _load_model_classifier(folder: Path) -> Classifier:
    from luban.models.load import load_model
    from luban.tokenizer import load_tokenizer

    model, tokenizer = load_model(folder), load_tokenizer(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    if model.config.head.kind != "classes":
        raise CheckpointError(
            f"{folder} is a language model: it has no labels to choose from",
            fix="fine-tune it first: luban train --task classify --model "
            f"{folder} --data ROWS --out OUT; or write with it: luban generate {folder} PROMPT",
        )
    return model_classifier(model, tokenizer, longest(folder, model.config.max_len))


def model_classifier(model: Model, tokenizer: Tokenizer, max_len: int) -> Classifier:
    """Return the classifier of a model in memory; texts are cut to `max_len` tokens."""
    import torch

    @torch.no_grad()
    def probabilities(texts: Sequence[str]) -> NDArray[np.float64]:
        was_training = model.training
        model.eval()
        device = next(model.parameters()).device
        sequences = encode_texts(tokenizer, texts, max_len).ids
        batches = Bucketed(
            sequences,
            [0] * len(sequences),
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=0,
            pad_id=tokenizer.pad_id or 0,
        )
        rows = np.zeros((len(sequences), len(model.config.head.labels)), np.float64)
        for batch in batches.in_order():
            moved = batch.to(device)
            logits = model(moved.tokens, moved.documents).double()
            rows[list(batch.ids)] = logits.softmax(-1).cpu().numpy()
        model.train(was_training)
        return rows

    n_parameters = sum(p.numel() for p in model.parameters())
    return Classifier(tuple(model.config.head.labels), model.config.family, n_parameters, probabilities)


def longest(folder: Path, max_len: int) -> int:
    """Return how many tokens of a text the folder's model reads: as in training, at most `max_len`."""
    path = folder / "tokenizer_config.json"
    named = read_json(path).get("model_max_length") if path.is_file() else None
    return min(max_len, named) if isinstance(named, int) and named > 0 else max_len
