"""Layers come and go; those that stay are the same to the bit."""

import dataclasses

import pytest
import torch

from luban.errors import ConfigError
from luban.models.cache import Cache
from luban.models.families import FAMILIES
from luban.tune.surgery import insert_identity_layers, keep_layers, stack_layers, upscale_depth
from tests.models.conftest import ask
from tests.tune.surgery.conftest import same_after_saving

LAYERED = [f for f in FAMILIES if f != "word2vec"]
PRE_NORM = ("gpt2", "llama", "qwen3", "t5", "whisper")


def copies(model, part="trunk"):
    stack = model.trunk if part == "trunk" else model.encoder.trunk
    return [{n: p.detach().clone() for n, p in b.named_parameters()} for b in stack.blocks]


def are_same(block, kept):
    found = dict(block.named_parameters())
    return found.keys() == kept.keys() and all(torch.equal(found[n], kept[n]) for n in kept)


@pytest.mark.parametrize("family", LAYERED)
def test_layers_that_are_kept_do_not_change_and_neither_does_the_rest(family, tiny, tokens, tmp_path):
    model = tiny(family, n_layers=4)
    before, layers = dict(model.state_dict()), copies(model)
    assert keep_layers(model, [0, 1, 3]) is model
    assert [are_same(b, layers[i]) for b, i in zip(model.trunk.blocks, (0, 1, 3), strict=True)] == [True] * 3
    after = model.state_dict()
    rest = [n for n in before if not n.startswith("trunk.blocks.")]
    assert all(torch.equal(before[n], after[n]) for n in rest)
    assert model.config.trunk.n_layers == 3
    same_after_saving(model, tmp_path, tokens(2, 9))


def test_all_layers_kept_is_the_same_model(tiny, tokens):
    model = tiny("llama")
    before = model(tokens(2, 9))
    assert torch.equal(keep_layers(model, [0, 1])(tokens(2, 9)), before)


def test_an_encoder_has_its_own_depth(tiny, tokens, tmp_path):
    model = tiny("t5", n_layers=3)
    keep_layers(model, [0, 2], part="encoder")
    assert (model.config.encoder.n_layers, model.config.n_layers) == (2, 3)
    assert same_after_saving(model, tmp_path, tokens(2, 9)).config.encoder.n_layers == 2


@pytest.mark.parametrize("family", LAYERED)
def test_depth_up_scaling_stacks_the_first_and_the_last_layers(family, tiny, tokens, tmp_path):
    model = tiny(family, n_layers=4)
    layers = copies(model)
    upscale_depth(model, 1)
    order = (0, 1, 2, 1, 2, 3)
    assert [are_same(b, layers[i]) for b, i in zip(model.trunk.blocks, order, strict=True)] == [True] * 6
    with torch.no_grad():  # a copy learns by itself
        next(model.trunk.blocks[1].parameters()).add_(1.0)
    assert are_same(model.trunk.blocks[3], layers[1])
    same_after_saving(model, tmp_path, tokens(2, 9))


@pytest.mark.parametrize("family", PRE_NORM)
def test_layers_that_add_nothing_change_no_bit(family, tiny, tokens, tmp_path):
    model = tiny(family)
    before = ask(model, tokens(2, 9))
    insert_identity_layers(model, [0, 1])
    assert model.config.n_layers == 4
    assert torch.equal(ask(model, tokens(2, 9)), before)
    same_after_saving(model, tmp_path, tokens(2, 9))
    ask(model, tokens(2, 9)).sum().backward()
    assert model.trunk.blocks[1].mlp.down.weight.grad.any()


def test_an_encoder_takes_layers_that_add_nothing_too(tiny, tokens):
    model = tiny("t5")
    before = ask(model, tokens(2, 9))
    assert torch.equal(ask(insert_identity_layers(model, [1], part="encoder"), tokens(2, 9)), before)
    assert (model.config.encoder.n_layers, model.config.n_layers) == (3, 2)


def test_a_changed_model_still_writes_step_by_step(tiny, tokens):
    model = stack_layers(tiny("llama"), [0, 1, 0])
    cache, rows = Cache(model.config, batch_size=2, max_len=9), tokens(2, 9)
    steps = torch.cat([model(rows[:, t : t + 1], cache=cache) for t in range(9)], dim=1)
    torch.testing.assert_close(steps, model(rows))


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("gpt2", lambda m: keep_layers(m, [0, 2]), "layers = [0, 2] names layer 2, and this model has layers 0 to 1"),
        ("gpt2", lambda m: keep_layers(m, []), "layers = [] is empty"),
        ("gpt2", lambda m: keep_layers(m, [1, 0]), "keep_layers = [1, 0] is not in rising order\n  fix: write [0, 1]"),
        ("gpt2", lambda m: keep_layers(m, [0], part="encoder"), "this gpt2 model has no encoder"),
        ("word2vec", lambda m: keep_layers(m, [0]), "this word2vec model has no layers"),
        ("gpt2", lambda m: upscale_depth(m, 2), "n_dropped = 2 leaves nothing of 2 layers\n  fix: drop 0 to 1"),
        ("bert", lambda m: insert_identity_layers(m, [0]), "a layer of this bert model cannot pass its input through"),
        ("recurrent", lambda m: insert_identity_layers(m, [0]), "a layer of this recurrent model cannot pass"),
        ("gpt2", lambda m: insert_identity_layers(m, [5]), "names layer 5"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_the_model_stays(family, change, message, tiny, tokens):
    model = tiny(family)
    config, before = dataclasses.replace(model.config), ask(model, tokens(1, 5))
    with pytest.raises(ConfigError) as error:
        change(model)
    assert message in str(error.value)
    assert model.config == config
    assert torch.equal(ask(model, tokens(1, 5)), before)
