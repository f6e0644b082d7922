"""A tiny tokenizer and tiny decoders that write at random."""

import dataclasses

import pytest
import torch

from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe

TEXT = "To be, or not to be, that is the question. 今天天气很好，我们去公园散步。"


@pytest.fixture(scope="session")
def tokenizer():
    """Bytes and a few merges: a Chinese character is several tokens."""
    return train_bpe([TEXT] * 3, 300, template=False)


@pytest.fixture
def writer(tokenizer):
    """writer("gpt2"): a model whose scores are far apart, so that rounding never decides."""

    def build(family="gpt2", **changes):
        sizes = {"dim": 32, "n_layers": 2, "max_len": 40, "vocab_size": tokenizer.vocab_size} | changes
        config = FAMILIES[family].config("tiny", **sizes)
        if config.encoder is not None:
            config = dataclasses.replace(config, start_id=0, eos_id=tokenizer.eos_id)
        model = build_model(config).eval()
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        return model

    return build


@pytest.fixture
def scripted(writer, monkeypatch):
    """scripted([5, 6]): a model whose next tokens are given, for what follows the choice."""

    def build(ids, **changes):
        model = writer(**changes)
        left = iter(ids)

        def head(hidden, documents=None):
            token = next(left)
            return torch.nn.functional.one_hot(
                torch.tensor([token] * len(hidden)), model.config.vocab_size
            ).float()

        monkeypatch.setattr(model.head, "forward", head)
        return model

    return build
