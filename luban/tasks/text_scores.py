"""The scores that a model folder gives to texts, in the way that its rows were read in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luban.data.batches import Bucketed
from luban.errors import CheckpointError
from luban.files import read_json
from luban.records import Batch
from luban.tasks.decision import Decision, read_decision
from luban.tasks.long_texts import text_rows
from luban.tasks.opened import open_tuned

if TYPE_CHECKING:
    from luban.models.config import HeadConfig
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

TOKENS_PER_BATCH = 8192
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TextScorer:
    """A model with a head for classes, its tokenizer, and how its scores are read."""

    model: Model
    tokenizer: Tokenizer
    max_len: int
    decision: Decision = Decision()

    @property
    def head(self) -> HeadConfig:
        """What the model says."""
        return self.model.config.head

    @property
    def family(self) -> str:
        """The model's family."""
        return self.model.config.family

    @property
    def n_parameters(self) -> int:
        """Numbers in the model."""
        return sum(p.numel() for p in self.model.parameters())

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return the scores of texts of any length: (n, K)."""
        if not texts:
            return np.zeros((0, self.head.n_classes))
        rows = text_rows(self.tokenizer, texts, self.max_len, self.decision)
        batches = Bucketed(
            rows.ids,
            np.zeros(len(rows.ids), np.int64),
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=0,
            pad_id=self.tokenizer.pad_id or 0,
        )
        found = batch_logits(self.model, batches, len(rows.ids), self.head.n_classes)
        return rows.pooled(found, self.decision.window_pool)


class InOrder(Protocol):
    """Batches of rows, each row once."""

    def in_order(self) -> Iterator[Batch]:
        """Yield them; `ids` says which rows a batch holds."""


def batch_logits(model: nn.Module, batches: InOrder, n_rows: int, n_classes: int) -> Floats:
    """Return the scores of every row of some batches: (n, K)."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    found = np.zeros((n_rows, n_classes), np.float64)
    with torch.no_grad():
        for batch in batches.in_order():
            moved = batch.to(device)
            logits: Tensor = model(moved.tokens, moved.documents)
            found[list(batch.ids)] = logits.double().cpu().numpy()
    model.train(was_training)
    return found


def open_scorer(folder: Path, answer: str) -> TextScorer:
    """Open a folder whose head gives such answers: see HeadConfig.answer."""
    model, tokenizer = open_tuned(folder)
    head = model.config.head
    if head.kind != "classes":
        raise CheckpointError(
            f"{folder} is a language model: it has no labels to choose from",
            fix="fine-tune it first: luban train --task classify --model "
            f"{folder} --data ROWS --out OUT; or write with it: luban generate {folder} PROMPT",
        )
    if head.answer != answer:
        what = {"one": "one label a text", "several": "several labels a text", "number": "a number"}
        raise CheckpointError(
            f"{folder} says {what[head.answer]}, not {what[answer]}",
            fix="use luban predict, which asks each model for what it says",
        )
    return TextScorer(model, tokenizer, longest(folder, model.config.max_len), read_decision(folder))


def longest(folder: Path, max_len: int) -> int:
    """Return how many tokens of a text the folder's model reads: as in training, at most `max_len`."""
    path = folder / "tokenizer_config.json"
    named = read_json(path).get("model_max_length") if path.is_file() else None
    return min(max_len, named) if isinstance(named, int) and named > 0 else max_len
