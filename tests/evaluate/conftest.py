"""A tiny model that gives texts probabilities."""

import pytest
import torch

from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe

TEXT = "Cats sleep. He and she. To be, or not to be. 今天天气很好，一本书，北京和上海。"


@pytest.fixture(scope="session")
def tiny_writer():
    """(model, tokenizer): scores are far apart, so that rounding never decides."""
    tokenizer = train_bpe([TEXT] * 3, 300, template=False)
    config = FAMILIES["gpt2"].config("tiny", dim=32, n_layers=2, max_len=64, vocab_size=tokenizer.vocab_size)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    return model, tokenizer
