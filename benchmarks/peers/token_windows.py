"""Windows over a file of 16-bit tokens, for the peers: the file that Luban's own shards keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class Windows(Dataset):  # type: ignore[type-arg]
    """Window k holds tokens k·context to (k + 1)·context."""

    def __init__(self, path: str, context: int):
        self.tokens, self.context = np.memmap(path, "<u2", "r"), context

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.context

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        start = k * self.context
        ids = torch.from_numpy(self.tokens[start : start + self.context].astype(np.int64))
        return {"input_ids": ids, "labels": ids}

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets), both (B, context), in random order without end."""
        draw = np.random.default_rng(1)
        columns = np.arange(self.context + 1)
        while True:
            rows = self.tokens[draw.integers(0, len(self), size)[:, None] * self.context + columns]
            both = torch.from_numpy(rows.astype(np.int64))
            yield both[:, :-1].contiguous(), both[:, 1:].contiguous()
