"""A saved model is the trained one, a merged adapter is the adapter; what is lost on the way is found."""

import pytest
import torch

import luban.models.load
import luban.tasks.exported
from luban.tasks.exported import adapter_merges, exported
from luban.train.proofs.subject import prove
from luban.tune.lora import LoraLinear
from tests.train.proofs.subjects import classifier, language_model


@pytest.mark.parametrize("subject", [language_model, classifier])
def test_a_saved_model_gives_the_same_scores(subject):
    pytest.importorskip("transformers")
    found = exported(subject())
    assert found.holds, found
    assert found.words.endswith("and in transformers")
    assert found.difference < 1e-5


def test_without_transformers_it_says_so(monkeypatch):
    monkeypatch.setattr(luban.tasks.exported, "not_possible", lambda copy, folder: f"{copy} is not installed")
    found = exported(language_model())
    assert found.holds
    assert "transformers is not installed" in found.words


def test_a_save_that_drops_a_tensor_is_found(monkeypatch):
    write = luban.models.load.write_weights

    def forgetful(tensors, folder, **options):
        write(dict(list(tensors.items())[1:]), folder, **options)

    monkeypatch.setattr(luban.models.load, "write_weights", forgetful)
    result = prove("exported", lambda: exported(language_model()))
    assert result.verdict == "fails"
    assert "lack" in result.words


def test_a_save_that_changes_a_tensor_is_found(monkeypatch):
    write = luban.models.load.write_weights

    def rounding(tensors, folder, **options):
        write({n: t.bfloat16().float() for n, t in tensors.items()}, folder, **options)

    monkeypatch.setattr(luban.models.load, "write_weights", rounding)
    found = exported(language_model())
    assert not found.holds
    assert found.difference > 1e-5


def test_adapters_are_exported_merged(monkeypatch):
    found = exported(language_model("llama", lora=True))
    assert found.holds, found


def test_merged_and_saved_adapters_compute_the_same():
    found = adapter_merges(language_model("llama", lora=True))
    assert found.holds, found
    assert "saved and read again" in found.words


def test_a_merge_that_forgets_the_scale_is_found(monkeypatch):
    @torch.no_grad()
    def merge(self):
        self._before = self.weight.detach().clone()
        self.weight.addmm_(self.lora_b, self.lora_a)

    monkeypatch.setattr(LoraLinear, "merge", merge)
    found = adapter_merges(language_model("llama", lora=True))
    assert not found.holds
    assert "something else" in found.words


def test_a_matrix_that_is_not_given_back_is_found(monkeypatch):
    monkeypatch.setattr(LoraLinear, "unmerge", lambda self: None)
    assert not adapter_merges(language_model("llama", lora=True)).holds


def test_saved_adapters_that_lose_their_scale_are_found(monkeypatch):
    save = luban.tasks.exported.save_adapter

    def forgetful(model, folder):
        for layer in luban.tasks.exported.adapted(model).values():
            layer.scale = 1.0
        save(model, folder)

    monkeypatch.setattr(luban.tasks.exported, "save_adapter", forgetful)
    assert not adapter_merges(language_model("llama", lora=True)).holds


def test_a_model_without_adapters_has_nothing_to_merge():
    assert not adapter_merges(language_model()).applies
