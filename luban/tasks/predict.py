"""A classifier from any folder that holds one: texts in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from luban.data.batches import Bucketed
from luban.data.encoding import Unreadable, open_text
from luban.data.tables import TABLE_SUFFIXES, TEXT_COLUMNS, Row, find_column, read_rows, suffix_of
from luban.errors import CheckpointError, DataError
from luban.files import read_json
from luban.tasks.bag import MODEL_TYPE, load_bag
from luban.tasks.sequences import encode_texts

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


def read_texts(path: Path, column: str | None = None) -> list[str]:
    """Return the texts of a file: the lines of a text file, or a column of jsonl, csv, tsv or parquet."""
    if not path.is_file():
        raise DataError(f"{path} does not exist, or is a folder", fix="name a file with texts")
    try:
        if suffix_of(path) not in TABLE_SUFFIXES:
            with open_text(path) as f:
                return [line.rstrip("\r\n") for line in f if line.strip()]
        return [_text(path, number, row, column) for number, row in read_rows(path)]
    except Unreadable as e:
        raise DataError(
            f"{path} cannot be read: {e}", fix="give a text file, jsonl, csv, tsv or parquet"
        ) from None


def _text(path: Path, number: int, row: Row | Unreadable, column: str | None) -> str:
    if isinstance(row, Unreadable):
        raise DataError(f"{path}:{number}: {row}", fix="repair or remove the line")
    found = find_column(column, TEXT_COLUMNS, list(row), f"{path}:{number}")
    if found is None:
        raise DataError(
            f"{path}:{number} has no column with text; it has: {', '.join(row)}", fix="name it with --column"
        )
    value = row[found]
    return "" if value is None else str(value)
