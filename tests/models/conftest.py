"""Tiny models of every family."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.model import Model

VOCAB = 64
BLOCK = {"dim": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 64}
SIZES: dict[str, dict[str, Any]] = {
    "recurrent": {"dim": 32, "n_layers": 2},
    "word2vec": {"dim": 32},
    "original": BLOCK,
    "bert": BLOCK,
    "roberta": BLOCK,
    "gpt2": BLOCK,
    "llama": BLOCK | {"n_kv_heads": 2},
    "qwen2": BLOCK | {"n_kv_heads": 2},
    "qwen3": BLOCK | {"n_kv_heads": 2},
    "t5": BLOCK,
    "whisper": BLOCK | {"source_max_len": 20, "n_mels": 8},
}
CLASSES = HeadConfig(kind="classes", n_classes=3, labels=("bad", "good", "mixed"))

Tiny = Callable[..., Model]


def ask(model: Model, tokens: Tensor, documents: Tensor | None = None, method: str = "__call__") -> Tensor:
    """Call the model; one with an encoder reads the same tokens as its source, or a fixed sound."""
    source: dict[str, Tensor] = {}
    if model.config.source == "audio":
        generator = torch.Generator().manual_seed(4)
        mel = torch.randn(1, model.config.n_mels, 12, generator=generator)
        source = {"source": mel.expand(len(tokens), -1, -1)}
    elif model.config.encoder is not None:
        source = {"source": tokens} | ({} if documents is None else {"source_documents": documents})
    return getattr(model, method)(tokens, documents, **source)


@pytest.fixture
def tiny() -> Tiny:
    """tiny("llama", max_len=32): a model with weights large enough for every part to matter."""

    def build(family: str, **changes: Any) -> Model:
        sizes = SIZES[family] | {"max_len": 48, "dropout": 0.0} | changes
        model = build_model(FAMILIES[family].config("tiny", vocab_size=VOCAB, **sizes)).eval()
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in (p for p in model.parameters() if p.requires_grad):
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        return model

    return build


@pytest.fixture
def tokens() -> Callable[[int, int], torch.Tensor]:
    """tokens(2, 9): ids (2, 9), the same ones each time."""

    def draw(n_rows: int, n_tokens: int) -> torch.Tensor:
        return torch.randint(0, VOCAB, (n_rows, n_tokens), generator=torch.Generator().manual_seed(3))

    return draw
