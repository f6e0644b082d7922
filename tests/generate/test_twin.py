"""The fast twin says what the model says, whatever the family, and leaves the model alone."""

import copy

import pytest
import torch
from torch import nn

from luban.generate import SamplingSettings, generate
from luban.generate.twin import FastBlock, FastLinear, fast_twin
from luban.models.cache import Cache
from luban.native import tensors as native

GREEDY = SamplingSettings(temperature=0, max_new_tokens=8)
DECODERS = ["gpt2", "llama", "qwen2", "qwen3", "recurrent"]


@pytest.fixture(autouse=True)
def kernels(own_home):
    if not native.is_available():
        pytest.skip("there is no C++ compiler here")


@pytest.mark.parametrize("family", DECODERS)
@torch.no_grad()
def test_step_by_step_scores_are_those_of_the_model(family, writer):
    model = writer(family)
    twin = fast_twin(model)
    tokens = torch.randint(model.config.vocab_size, (3, 9))
    caches = [Cache(model.config, 3, 9) for _ in range(2)]
    for i in range(9):
        ours, plain = (m(tokens[:, i : i + 1], cache=c) for m, c in zip((twin, model), caches, strict=True))
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("family", DECODERS)
def test_greedy_text_is_that_without_kernels(family, writer, tokenizer, monkeypatch):
    model, prompts = writer(family), ["To be", "今天天气", "q"]
    fast = generate(model, tokenizer, prompts, settings=GREEDY)
    monkeypatch.setenv("LUBAN_NATIVE", "0")
    assert fast_twin(model) is model
    assert generate(model, tokenizer, prompts, settings=GREEDY) == fast


@torch.no_grad()
def test_weights_in_fewer_bits_change_no_score(writer):
    model = writer("llama", ffn_dim=64)
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    twin = fast_twin(model)
    assert {m.thin.form for m in twin.modules() if isinstance(m, FastLinear)} == {"bfloat16"}
    tokens = torch.randint(model.config.vocab_size, (2, 4))
    torch.testing.assert_close(twin(tokens), model(tokens), rtol=1e-5, atol=1e-4)


def test_model_is_not_touched(writer, tokenizer):
    model = writer("llama")
    kinds = [type(m) for m in model.modules()]
    before = copy.deepcopy(model.state_dict())
    generate(model, tokenizer, ["To be"], settings=GREEDY)
    assert [type(m) for m in model.modules()] == kinds
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    copy.deepcopy(model)


def test_weights_are_shared_not_copied(writer):
    model = writer("llama")
    theirs = {p.data_ptr() for p in fast_twin(model).parameters()}
    assert theirs == {p.data_ptr() for p in model.parameters()}


def test_twin_is_kept_until_a_weight_or_a_module_changes(writer):
    model = writer("llama")
    twin = fast_twin(model)
    assert fast_twin(model) is twin
    with torch.no_grad():
        model.head.weight.mul_(2)
    second = fast_twin(model)
    assert second is not twin
    model.trunk.blocks[0].mlp.up = nn.Linear(32, model.trunk.blocks[0].mlp.up.out_features, bias=False)
    third = fast_twin(model)
    assert third is not second
    with torch.no_grad():
        tokens = torch.tensor([[5]])
        torch.testing.assert_close(third(tokens), model(tokens), rtol=1e-5, atol=1e-4)


def test_gradients_flow_as_in_the_model(writer):
    model = writer("llama")
    fast_twin(model)(torch.tensor([[3, 4]])).sum().backward()
    assert model.trunk.blocks[0].attention.q.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_go_the_plain_way(dtype, writer):
    model = writer("llama").to(dtype)
    assert fast_twin(model) is model


def test_module_of_another_kind_is_left_as_it_is(writer):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = writer("llama")
    model.trunk.blocks[0].mlp.up.__class__ = Doubled
    twin = fast_twin(model)
    assert twin.trunk.blocks[0].mlp.up is model.trunk.blocks[0].mlp.up
    with torch.no_grad():
        tokens = torch.tensor([[5]])
        torch.testing.assert_close(twin(tokens), model(tokens), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "is_whole"), [("llama", True), ("qwen2", True), ("qwen3", False), ("gpt2", False)]
)
def test_block_in_one_call_is_for_blocks_of_its_kind(family, is_whole, writer):
    assert isinstance(fast_twin(writer(family)).trunk.blocks[0], FastBlock) == is_whole


def test_who_watches_a_module_sees_every_token(writer, tokenizer):
    model, seen = writer("llama"), []
    fast_twin(model)
    model.trunk.blocks[0].mlp.register_forward_hook(lambda *_: seen.append(1))
    generate(model, tokenizer, ["To be"], settings=GREEDY)
    assert len(seen) == 8  # the prompt, and each token but the last


@torch.no_grad()
def test_dropout_that_is_on_stays_on(writer):
    model = writer("llama", dropout=0.5).train()
    twin, tokens = fast_twin(model), torch.tensor([[3]])
    drawn = [twin(tokens, cache=Cache(model.config, 1, 1)) for _ in range(2)]
    assert not torch.equal(*drawn)
