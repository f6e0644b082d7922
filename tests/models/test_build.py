import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from luban.models.build import build_model
from luban.models.families import FAMILIES
from tests.models.conftest import SIZES, VOCAB, ask


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_language_model_knows_nothing_yet(family):
    vocab_size = 2048
    model = build_model(FAMILIES[family].config("tiny", vocab_size=vocab_size)).eval()
    tokens = torch.randint(0, vocab_size, (2, 65), generator=torch.Generator().manual_seed(1))
    logits = ask(model, tokens[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert abs(loss / math.log(vocab_size) - 1) < 0.02


def config_of(family, **changes):
    return FAMILIES[family].config("tiny", vocab_size=VOCAB, **SIZES[family] | changes)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_alone_decides_the_weights(family):
    state = torch.random.get_rng_state()
    first, again, other = (build_model(config_of(family), seed=s).state_dict() for s in (5, 5, 6))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)
    assert torch.equal(state, torch.random.get_rng_state())


def test_gpt2_scales_what_is_added_to_the_residual_stream():
    model = build_model(config_of("gpt2", dim=128, n_layers=8))
    block = model.trunk.blocks[3]
    for weight, std in (
        (block.attention.q.weight, 0.02),
        (block.attention.out.weight, 0.02 / math.sqrt(16)),
        (block.mlp.down.weight, 0.02 / math.sqrt(16)),
    ):
        assert_close(weight.std().item(), std, rtol=0.05, atol=0)
    assert not block.attention.q.bias.any()
    assert (block.mlp_norm.weight == 1).all()


def test_an_lstm_starts_with_an_open_forget_gate():
    layer = build_model(config_of("recurrent", dim=64)).trunk.blocks[0]
    forget = slice(64, 128)
    assert ((layer.bias_ih_l0 + layer.bias_hh_l0)[forget] == 1).all()
    assert layer.weight_hh_l0.abs().max() <= 1 / math.sqrt(64)
    assert layer.weight_hh_l0.std() > 0.5 / math.sqrt(64)


def test_building_a_model_imports_no_solver_of_shapes():
    program = """
import sys
from luban.models.build import build_model
from luban.models.families import FAMILIES
for family in ("bert", "recurrent", "whisper"):
    build_model(FAMILIES[family].config("tiny", vocab_size=64))
assert "sympy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
