"""Compiled blocks and recomputed activations change nothing; what does is found."""

import shutil

import pytest

import luban.train.proofs.faster
import luban.train.recompute
from luban.train.proofs.faster import compiled, recomputed
from tests.train.proofs.subjects import language_model


@pytest.mark.parametrize("how", ["selective", "all"])
def test_recomputed_activations_give_the_same_gradients(how):
    found = recomputed(language_model(recompute=how))
    assert found.holds, found
    assert found.applies


def test_dropout_that_is_drawn_anew_is_found(monkeypatch):
    checkpoint = luban.train.recompute.checkpoint

    def forgetful(function, *inputs, **options):
        return checkpoint(function, *inputs, **options, preserve_rng_state=False)

    monkeypatch.setattr(luban.train.recompute, "checkpoint", forgetful)
    found = recomputed(language_model(recompute="all"))
    assert not found.holds
    assert "not what they were" in found.words


@pytest.mark.parametrize(("how", "why"), [("off", "off"), ("auto", "set it to on")])
def test_what_is_not_compiled_for_sure_is_not_proven(how, why):
    found = compiled(language_model(compile=how))
    assert not found.applies
    assert why in found.words


def test_compiled_blocks_that_compute_something_else_are_found(monkeypatch):
    def wrongly(model):
        for block in model.trunk.blocks:
            block.forward = lambda x, *args: x * 1.01

    monkeypatch.setattr(luban.train.proofs.faster, "compile_blocks", wrongly)
    found = compiled(language_model(compile="on"))
    assert not found.holds
    assert found.difference > 1e-3


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_give_the_same_gradients():
    found = compiled(language_model(compile="on"))
    assert found.holds, found
