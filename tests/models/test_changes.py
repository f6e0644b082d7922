"""A model is read with another vocabulary, length or parts that begin anew, and every tensor is accounted for."""

import pytest
import torch

from luban.errors import ConfigError
from luban.log import Log
from luban.models.changes import Changes, reinitialise, resize_positions, resize_vocabulary
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from tests.models.conftest import VOCAB, ask

TABLES = {"stem.tokens.weight", "head.weight", "head.bias"}


@pytest.mark.parametrize("n", [VOCAB - 10, VOCAB + 10])
@pytest.mark.parametrize("family", FAMILIES)
def test_another_vocabulary_keeps_every_row_of_the_tokens_that_stay(family, n, tiny, tokens, tmp_path):
    before = tiny(family)
    save_model(before, tmp_path / "a")
    model = load_model(tmp_path / "a", changes=Changes(vocab_size=n))
    old, new = dict(before.named_parameters()), dict(model.named_parameters())
    assert old.keys() == new.keys()
    kept = min(n, VOCAB)
    for name in old:
        if name in TABLES:
            assert torch.equal(new[name][:kept], old[name][:kept])
            assert len(new[name]) == n
            if n > VOCAB:
                torch.testing.assert_close(new[name][-1], old[name].mean(0))
        else:
            assert torch.equal(new[name], old[name])
    assert set(model.load_report.resized) == TABLES & old.keys()
    rows = tokens(2, 9) % kept
    torch.testing.assert_close(ask(model, rows)[..., :kept], ask(before, rows)[..., :kept])
    save_model(model, tmp_path / "b")
    assert torch.equal(ask(load_model(tmp_path / "b"), rows), ask(model, rows))


def test_new_rows_can_be_drawn_by_the_seed(tiny):
    first, again, other = (
        resize_vocabulary(tiny("llama"), 80, new_rows="fresh", seed=s).stem.tokens.weight for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert torch.equal(first[:VOCAB], other[:VOCAB])
    assert not torch.equal(first[VOCAB:], other[VOCAB:])
    assert first[VOCAB:].std().item() == pytest.approx(0.02, rel=0.15)


def test_a_special_token_is_not_cut_off(tiny):
    with pytest.raises(ConfigError, match="of 10 tokens cuts off pad_id = 12, eos_id = 30\n  fix: keep 31"):
        resize_vocabulary(tiny("gpt2", pad_id=12, eos_id=30), 10)


@pytest.mark.parametrize("max_len", [12, 96])
@pytest.mark.parametrize("family", FAMILIES)
def test_another_length_is_read_and_saved(family, max_len, tiny, tokens, tmp_path):
    before = tiny(family)
    save_model(before, tmp_path / "a")
    model = load_model(tmp_path / "a", changes=Changes(max_len=max_len))
    is_learned = before.config.trunk.position == "learned"
    assert model.config.max_len == max_len
    assert ("stem.positions.weight" in model.load_report.resized) == (before.stem.positions is not None)
    rows = tokens(2, max_len)
    assert torch.isfinite(ask(model, rows)).all()
    if not is_learned or max_len == 12:
        assert torch.equal(ask(model, rows[:, :9]), ask(before, rows[:, :9]))
    save_model(model, tmp_path / "b")
    assert torch.equal(ask(load_model(tmp_path / "b"), rows), ask(model, rows))


def test_a_length_of_none_is_refused(tiny):
    with pytest.raises(ConfigError, match="max_len = 0 is no length"):
        resize_positions(tiny("gpt2"), 0)


def test_what_begins_anew_is_drawn_and_the_rest_stays(tiny, tmp_path):
    before = tiny("llama")
    save_model(before, tmp_path)
    model = load_model(tmp_path, changes=Changes(reinit=("trunk.blocks.1.*",)), seed=4)
    old = dict(before.named_parameters())
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, old[n])}
    assert (
        changed == set(model.load_report.reinitialised) == {n for n in old if n.startswith("trunk.blocks.1.")}
    )
    assert (model.trunk.blocks[1].mlp_norm.weight == 1).all()
    assert model.trunk.blocks[1].mlp.up.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_pattern_that_matches_nothing_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"reinit: 'trunk.blocks.9.\*' matches no parameter"):
        reinitialise(tiny("llama"), ["trunk.blocks.9.*"])
    with pytest.raises(ConfigError, match="the head shares its matrix with the embedding"):
        reinitialise(tiny("llama"), ["head.*"])


def test_every_tensor_that_changes_has_a_line_in_the_log(tiny, tmp_path, capsys):
    save_model(tiny("gpt2", head=HeadConfig(tied=False)), tmp_path)
    changes = Changes(vocab_size=70, max_len=20, reinit=("trunk.norm.*",))
    model = load_model(tmp_path, changes=changes, log=Log())
    lines = [line.removeprefix(f"{tmp_path}: ") for line in capsys.readouterr().err.splitlines()]
    assert sorted(lines) == [
        "head.weight: (64, 32) made (70, 32)",
        "stem.positions.weight: (48, 32) made (20, 32)",
        "stem.tokens.weight: (64, 32) made (70, 32)",
        "trunk.norm.bias: not kept: initialised anew",
        "trunk.norm.weight: not kept: initialised anew",
    ]
    assert len(model.load_report.resized) == 3
    load_model(tmp_path, log=Log())
    assert capsys.readouterr().err == ""


def test_the_weights_still_learn_after_a_change(tiny, tokens):
    model = resize_positions(resize_vocabulary(tiny("gpt2"), 70), 60)
    model(tokens(2, 9)).sum().backward()
    assert model.stem.tokens.weight.grad is not None
    assert model.stem.positions.weight.grad is not None
    assert model.head.weight is model.stem.tokens.weight
