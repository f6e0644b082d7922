"""Tiny models of every family."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.model import Model

VOCAB = 64
SIZES: dict[str, dict[str, Any]] = {
    "lstm": {"dim": 32, "n_layers": 2},
    "bert": {"dim": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 64},
    "gpt2": {"dim": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 64},
    "llama": {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 64},
}
CLASSES = HeadConfig(kind="classes", n_classes=3, labels=("bad", "good", "mixed"))

Tiny = Callable[..., Model]


@pytest.fixture
def tiny() -> Tiny:
    """tiny("llama", max_len=32): a model with weights large enough for every part to matter."""

    def build(family: str, **changes: Any) -> Model:
        sizes = SIZES[family] | {"max_len": 48, "dropout": 0.0} | changes
        model = build_model(FAMILIES[family].config("tiny", vocab_size=VOCAB, **sizes)).eval()
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        return model

    return build


@pytest.fixture
def tokens() -> Callable[[int, int], torch.Tensor]:
    """tokens(2, 9): ids (2, 9), the same ones each time."""

    def draw(n_rows: int, n_tokens: int) -> torch.Tensor:
        return torch.randint(0, VOCAB, (n_rows, n_tokens), generator=torch.Generator().manual_seed(3))

    return draw
