"""A new head sits on the same trunk; what both heads share is kept."""

import pytest
import torch

from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.tune.surgery import swap_head

CLASSES = HeadConfig(kind="classes", n_classes=3, labels=("a", "b", "c"))


def tiny(family: str, **changes):
    size = {"dim": 32, "n_layers": 2, "max_len": 16} | ({} if family == "recurrent" else {"n_heads": 4})
    return build_model(FAMILIES[family].config("tiny", vocab_size=64, **size, **changes)).eval()


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "recurrent"])
def test_the_trunk_stays_as_it_was_and_the_new_head_scores_classes(family):
    model, tokens = tiny(family), torch.arange(12).view(2, 6)
    before = model.hidden(tokens)
    assert swap_head(model, CLASSES) is model
    assert torch.equal(model.hidden(tokens), before)
    assert model(tokens).shape == (2, 3)
    assert model.config.head.labels == ("a", "b", "c")


def test_the_seed_decides_the_new_weights():
    first, again, other = (swap_head(tiny("gpt2"), CLASSES, seed) for seed in (1, 1, 2))
    assert torch.equal(first.head.classes.weight, again.head.classes.weight)
    assert not torch.equal(first.head.classes.weight, other.head.classes.weight)


def test_a_pooler_that_has_learnt_is_kept():
    model = tiny("bert", head=CLASSES)
    learnt = model.head.pooler.weight.clone()
    swap_head(model, HeadConfig(kind="classes", n_classes=2, labels=("x", "y")), seed=9)
    assert torch.equal(model.head.pooler.weight, learnt)


def test_a_token_head_uses_the_embedding_as_it_is():
    model = tiny("gpt2", head=CLASSES)
    embedding = model.stem.tokens.weight.clone()
    swap_head(model, HeadConfig(kind="tokens"))
    assert model.head.weight is model.stem.tokens.weight
    assert torch.equal(model.head.weight, embedding)
