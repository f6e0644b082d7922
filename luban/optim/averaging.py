"""A running mean of the weights, which often scores better than the weights themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from luban.device import own_part

COUNT = "count"


class Average:
    """The exponential moving average of a model's trainable parameters, in float32 whatever theirs is.

    The first steps count more, by the decay min(decay, (1 + t) / (10 + t)), so that the random start
    is soon forgotten. Source: TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._mean = {name: p.detach().to(torch.float32, copy=True) for name, p in self._learning.items()}
        self._decay, self._count = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step in."""
        self._count += 1
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        means = [own_part(mean) for mean in self._mean.values()]
        weights = [own_part(p).float() for p in self._learning.values()]
        torch._foreach_lerp_(means, weights, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """Return the mean by parameter name, and how many steps are in it."""
        return {**self._mean, COUNT: torch.tensor(self._count)}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take a saved mean over."""
        for name, mean in self._mean.items():
            mean.copy_(tensors[name])
        self._count = int(tensors[COUNT])

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the mean into the model for a while, and the weights back afterwards, bit for bit."""
        kept = {name: p.detach().clone() for name, p in self._learning.items()}
        self._put(self._mean)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, p in self._learning.items():
            p.copy_(tensors[name])


def mean_tensors(checkpoints: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of several checkpoints by name, summed in float64; all have the same names."""
    sums: dict[str, Tensor] = {}
    n, dtypes = 0, {}
    for n, tensors in enumerate(checkpoints, start=1):
        for name, tensor in tensors.items():
            dtypes[name] = tensor.dtype
            sums[name] = tensor.double() if n == 1 else sums[name].add_(tensor)
    return {name: (total / n).to(dtypes[name]) for name, total in sums.items()}
