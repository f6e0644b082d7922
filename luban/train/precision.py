"""How wide the numbers of a matrix product are, and the scale that keeps small fp16 gradients alive."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from luban.device import is_fast_at_bf16
from luban.errors import ConfigError

Name = Literal["auto", "float32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FIRST_SCALE = 2.0**16
GROW_AFTER = 2000
"""Sound steps before the scale doubles; one that is not halves it. Source: arXiv:1710.03740, 3.2."""


@dataclass(slots=True)
class Precision:
    """Autocast for the forward pass; in fp16 the loss is multiplied by `scale` before its gradient is taken.

    Weights, gradients and the optimizer stay float32.
    """

    dtype: torch.dtype
    device: torch.device
    scale: float = 1.0
    n_sound: int = 0
    """Steps since the scale changed."""

    def forward(self) -> AbstractContextManager[Any]:
        """Return the context in which a loss is computed."""
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @property
    def may_overflow(self) -> bool:
        """Whether a step without a finite gradient may come of the scale alone."""
        return self.scale > 1.0

    def update(self, is_sound: bool) -> None:
        """Learn from a step whether the scale is too high; once in a while try a higher one."""
        if self.dtype is not torch.float16:
            return
        self.n_sound = self.n_sound + 1 if is_sound else 0
        if not is_sound:
            self.scale = max(1.0, self.scale / 2)
        elif self.n_sound == GROW_AFTER:
            self.scale, self.n_sound = self.scale * 2, 0


def choose_precision(name: Name, device: torch.device) -> Precision:
    """Return the precision that a setting asks for on a device; "auto" is bf16 only where that is fast."""
    if name == "auto":
        name = "bf16" if is_fast_at_bf16(device) else "float32"
    if name == "float32":
        return Precision(torch.float32, device)
    if not torch.amp.is_autocast_available(device.type):
        raise ConfigError(
            f"precision = {name}, but torch has no autocast for {device.type}", fix="set precision to float32"
        )
    return Precision(DTYPES[name], device, scale=FIRST_SCALE if name == "fp16" else 1.0)
