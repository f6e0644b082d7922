"""Training rows changed at each reading, or joined by paraphrases: what a task does about `augment`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luban.data.augment import Augmented, Source, Tokens
from luban.data.encoding import Unreadable
from luban.data.settings import AugmentSettings
from luban.data.tables import read_rows
from luban.errors import ConfigError, DataError
from luban.models.model import Model
from luban.models.neighbours import nearest_rows
from luban.records import Example
from luban.tokenizer import Tokenizer

N_NEAR = 4
"""Tokens that a token may be replaced by."""


def augmented(
    batches: Source, settings: AugmentSettings, tokenizer: Tokenizer, near: Any, seed: int
) -> Source:
    """Return the batches with their rows changed as the settings ask; as they are if nothing is asked."""
    if not settings.changes_tokens:
        return batches
    if settings.hides and tokenizer.mask_id is None:
        raise ConfigError(
            f"augment.hide = {settings.hide}, augment.hide_spans = {settings.hide_spans}, but the "
            "tokenizer has no mask token",
            fix="set both to 0",
        )
    tokens = Tokens(tokenizer.special_ids, tokenizer.pad_id or 0, tokenizer.mask_id, near)
    return Augmented(batches, settings, tokens, seed)


def near_tokens(
    settings: AugmentSettings, model: Model, rows: Sequence[Sequence[int]], *, knows: bool
) -> np.ndarray[Any, Any] | None:
    """Return for each token of the rows the nearest others by the model's vectors (V, k); -1: none.

    Only a model that has learnt (`knows`) has vectors that mean something.
    """
    if not settings.replace:
        return None
    if not knows:
        raise ConfigError(
            f"augment.replace = {settings.replace} takes tokens with near vectors, and a new model has none",
            fix="give --model or --vectors, or set augment.replace to 0",
        )
    seen = sorted({i for ids in rows for i in ids})
    matrix = model.stem.tokens.weight.detach().cpu()
    near = np.full((len(matrix), min(N_NEAR, len(seen) - 1)), -1)
    near[seen] = nearest_rows(matrix, seen, near.shape[1])
    return near


def paraphrased(train: Sequence[Example], settings: AugmentSettings) -> list[Example]:
    """Return the training rows, each followed by its paraphrases."""
    if settings.paraphrases is None:
        return list(train)
    path = Path(settings.paraphrases)
    others: dict[str, list[str]] = {}
    try:
        for number, row in read_rows(path):
            if isinstance(row, Unreadable):
                raise DataError(f"{path}:{number} cannot be read: {row}", fix="write the row anew")
            text, found = row.get("text"), row.get("paraphrases")
            if not (
                isinstance(text, str) and isinstance(found, list) and all(isinstance(p, str) for p in found)
            ):
                raise DataError(
                    f"{path}:{number}: a row is {{text, paraphrases: [...]}}, this one has {', '.join(row)}",
                    fix="write the row anew",
                )
            others.setdefault(text, []).extend(p for p in found or () if p.strip())
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="give a jsonl file") from None
    rows = []
    for example in train:
        said = others.get(example.text, ())
        rows += [example, *(replace(example, id=f"{example.id}~{i}", text=t) for i, t in enumerate(said))]
    if len(rows) == len(train):
        raise DataError(
            f"{path}: no text of its {len(others)} rows is among the training rows", fix="check the file"
        )
    return rows
