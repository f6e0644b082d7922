"""The tiny models of tests/models, and a check that a changed one is saved like any other."""

import torch

from luban.models.load import load_model, save_model
from tests.models.conftest import ask, tiny, tokens

__all__ = ["same_after_saving", "tiny", "tokens"]


def same_after_saving(model, folder, tokens):
    """Save, load, and compare config, names and answers."""
    save_model(model, folder)
    loaded = load_model(folder)
    assert loaded.config == model.config
    assert [n for n, _ in loaded.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert torch.equal(ask(loaded, tokens), ask(model, tokens))
    return loaded
