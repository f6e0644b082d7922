"""Longer rows: stretched rotary positions, and learned ones drawn out."""

import pytest
import torch

from luban.errors import ConfigError
from luban.models.rope_config import read_rope
from luban.tune.surgery import interpolate_positions, stretch_rope
from tests.tune.surgery.conftest import same_after_saving


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
def test_stretched_positions_read_further_with_the_same_weights(kind, tiny, tokens, tmp_path):
    model = tiny("llama", max_len=16)
    weights = {n: p.clone() for n, p in model.state_dict().items()}
    before = model(tokens(2, 9))
    assert stretch_rope(model, kind, 2) is model
    assert model.config.max_len == 32
    assert all(torch.equal(weights[n], p) for n, p in model.state_dict().items())
    assert torch.isfinite(model(tokens(2, 30))).all()
    if kind == "dynamic":  # nothing changes before a row is longer
        assert torch.equal(model(tokens(2, 9)), before)
    else:
        assert not torch.allclose(model(tokens(2, 9)), before)
    same_after_saving(model, tmp_path, tokens(2, 30))


def test_stretched_positions_are_those_of_a_file_that_says_so(tiny):
    asked = {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "rope_theta": 10_000.0,
    }
    read = read_rope({"rope_parameters": asked, "max_position_embeddings": 64})["rope_scaling"]
    assert stretch_rope(tiny("llama", max_len=16), "yarn", 4).config.trunk.rope_scaling == read


@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta", "whisper"])
def test_learned_positions_drawn_out_by_a_whole_factor_keep_every_row(family, tiny, tokens, tmp_path):
    model = tiny(family, max_len=12)
    offset = model.config.position_offset
    before = model.stem.positions.weight.detach().clone()
    assert interpolate_positions(model, 36) is model
    after = model.stem.positions.weight
    assert torch.equal(after[:offset], before[:offset])
    before, after = before[offset:], after[offset:]
    assert torch.equal(after[::3], before)
    torch.testing.assert_close(after[1], before[0] + (before[1] - before[0]) / 3)
    torch.testing.assert_close(after[-1], before[-1])
    same_after_saving(model, tmp_path, tokens(2, 30))


def test_cut_positions_are_the_first_ones(tiny, tokens, tmp_path):
    model = tiny("gpt2", max_len=48)
    before = model(tokens(2, 9))
    assert torch.equal(interpolate_positions(model, 10)(tokens(2, 9)), before)
    same_after_saving(model, tmp_path, tokens(2, 10))


def test_what_does_not_fit_names_what_does(tiny):
    with pytest.raises(ConfigError, match="are learned, not rotary\n  fix: use interpolate_positions"):
        stretch_rope(tiny("gpt2"), "linear", 2)
    with pytest.raises(ConfigError, match="are rotary, .*\n  fix: use stretch_rope"):
        interpolate_positions(tiny("llama"), 99)
    with pytest.raises(ConfigError, match=r"factor = 0\.5 stretches nothing"):
        stretch_rope(tiny("llama"), "linear", 0.5)
    with pytest.raises(ConfigError, match=r"stretched already \(linear, 2 times\)"):
        stretch_rope(stretch_rope(tiny("llama"), "linear", 2), "yarn", 2)
    with pytest.raises(ConfigError, match="are none, not rotary"):
        stretch_rope(tiny("recurrent"), "linear", 2)
