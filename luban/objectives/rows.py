"""Take the documents of a packed batch out of their rows, and pack what became of them again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from luban.records import Batch


def pieces(batch: Batch) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (row, number, ids) of every document in a batch, or of the part of it that is there."""
    for row, (ids, numbers) in enumerate(zip(batch.tokens.tolist(), batch.documents.tolist(), strict=True)):
        start = 0
        for end in range(1, len(ids) + 1):
            if end == len(ids) or numbers[end] != numbers[start]:
                if numbers[start]:
                    yield row, numbers[start], ids[start:end]
                start = end


class Rows:
    """Rows of token ids that grow by documents."""

    def __init__(self, n_rows: int):
        self._ids: list[list[int]] = [[] for _ in range(n_rows)]
        self._numbers: list[list[int]] = [[] for _ in range(n_rows)]

    def add(self, row: int, number: int, ids: list[int]) -> None:
        """Append a document to a row."""
        self._ids[row] += ids
        self._numbers[row] += [number] * len(ids)

    def width(self, row: int) -> int:
        """Tokens in a row so far."""
        return len(self._ids[row])

    def tensors(self, pad_id: int, device: torch.device, width: int | None = None) -> tuple[Tensor, Tensor]:
        """Return tokens and documents (B, T), cut or padded to `width`; None: padded to the longest row."""
        width = width or max(1, *map(len, self._ids))
        ids = torch.full((len(self._ids), width), pad_id)
        documents = torch.zeros_like(ids)
        for row, (tokens, numbers) in enumerate(zip(self._ids, self._numbers, strict=True)):
            n = min(width, len(tokens))
            ids[row, :n], documents[row, :n] = (
                torch.tensor(tokens[:n], dtype=torch.long),
                torch.tensor(numbers[:n], dtype=torch.long),
            )
        return ids.to(device), documents.to(device)
