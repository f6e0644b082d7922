"""How fast a run is, against what this machine's matrix products can do."""

from __future__ import annotations

import time

import torch
from torch import nn

from luban.device import measure_matmul_flops

PEAK_SECONDS, REMEASURE_SECONDS = 0.1, 60
"""The peak is measured for so long, so often: 0.2 % of the time."""


def flops_per_token(model: nn.Module) -> int:
    """Floating-point operations that one token costs in training, attention's own products left out.

    Every weight matrix takes 2 forward, 2 for its gradient, 2 to pass the gradient on: 6 in all; 4 if
    it is frozen, 2 if nothing below it learns either. An embedding is a look-up and costs none, but
    counts where an output head uses it as a matrix.
    """
    total, learns_below = 0, False
    for module in model.modules():
        for p in module.parameters(recurse=False):
            learns_below |= p.requires_grad
            if p.ndim >= 2 and not isinstance(module, nn.Embedding):
                total += p.numel() * (6 if p.requires_grad else 4 if learns_below else 2)
    return total


class Speed:
    """Adds up tokens and seconds, and measures the matmul peak now and then: neighbours change it."""

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        flops: int | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        self._flops_per_token = flops_per_token(model) if flops is None else flops
        self._device, self._dtype = device, dtype
        self._peaks: list[float] = []
        self._measured = 0.0
        self._tokens = self._seconds = 0.0

    def add(self, n_tokens: float, seconds: float) -> None:
        """Count one step, and of its tokens what falls to this process."""
        self._tokens, self._seconds = self._tokens + n_tokens, self._seconds + seconds

    def matmul_share(self) -> float | None:
        """Share of the measured peak that this process's steps reached; None before the first step."""
        if not self._seconds:
            return None
        if not self._peaks or time.monotonic() - self._measured > REMEASURE_SECONDS:
            self._peaks.append(measure_matmul_flops(self._device, seconds=PEAK_SECONDS, dtype=self._dtype))
            self._measured = time.monotonic()
        peak = sum(self._peaks) / len(self._peaks)
        return self._flops_per_token * self._tokens / self._seconds / peak
