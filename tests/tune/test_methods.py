"""Every way to tune: what should learn does, all else rests, and the folder that is left opens as it was."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from luban.errors import CheckpointError, ConfigError
from luban.models.load import load_model, save_model
from luban.tune.load import base_of, load_tuned, tokenizer_folder
from luban.tune.methods import METHODS, apply_method
from luban.tune.settings import BottleneckSettings, FrontSettings, LoraSettings, MethodName, QuantiseSettings
from tests.models.conftest import CLASSES, ask

FOLDED = ("lora", "dora", "qlora")
APART = ("prompt", "prefix", "bottleneck")


@dataclass(frozen=True)
class Settings:
    seed: int = 1
    lora: LoraSettings = field(default_factory=lambda: LoraSettings(rank=2, targets=("*.q", "*.v")))
    front: FrontSettings = field(default_factory=lambda: FrontSettings(n=3))
    bottleneck: BottleneckSettings = field(default_factory=lambda: BottleneckSettings(width=4))
    quantise: QuantiseSettings = field(default_factory=QuantiseSettings)


def learnt(model: Any, ids: torch.Tensor) -> Any:
    """Take three steps on whatever learns."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        ask(model.train(), ids).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


KEPT = {
    ("full", "llama"), ("head", "bert"), ("lora", "bert"), ("dora", "llama"), ("qlora", "llama"),
    ("prompt", "llama"), ("prompt", "bert"), ("prefix", "bert"), ("bottleneck", "bert"), ("bitfit", "gpt2"),
}  # fmt: skip
"""The others are in the slow suite."""


def kinds() -> list[Any]:
    found = []
    for method in METHODS:
        if method == "bitfit":
            found += [(method, "gpt2", {}), (method, "bert", {"head": CLASSES})]
        elif method == "head":
            found += [(method, "llama", {"head": CLASSES}), (method, "bert", {"head": CLASSES})]
        else:
            found += [(method, "llama", {}), (method, "bert", {"head": CLASSES})]
    return [case if case[:2] in KEPT else pytest.param(*case, marks=pytest.mark.slow) for case in found]


def test_every_method_is_a_choice_of_the_settings() -> None:
    assert set(get_args(MethodName)) == set(METHODS)


@pytest.mark.parametrize(("method", "family", "changes"), kinds())
def test_what_learns_is_saved_and_all_else_rests(
    method: str, family: str, changes: Any, tiny: Any, tokens: Any, tmp_path: Path
) -> None:
    model = tiny(family, **changes)
    save_model(model, tmp_path / "first")
    before = {name: p.clone() for name, p in model.named_parameters()}
    applied = apply_method(model, method, Settings())
    assert applied.n_learning == sum(p.numel() for p in model.parameters() if p.requires_grad)
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    was = {name: p.detach().clone() for name, p in model.named_parameters()}
    learnt(model, tokens(2, 9))
    now = dict(model.named_parameters())
    assert {name for name, p in now.items() if not torch.equal(p, was[name])} <= learns
    assert any(not torch.equal(now[name], was[name]) for name in learns)
    assert all(torch.equal(now[name], before[name]) for name in now.keys() & before.keys() - learns)
    scores = ask(model, tokens(2, 9)).detach()
    applied.save(model, tmp_path / "out", tmp_path / "first")
    torch.testing.assert_close(ask(load_tuned(tmp_path / "out"), tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ask(model, tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
    assert (tmp_path / "out" / "model.safetensors").is_file() is (method not in APART)
    if method in ("lora", "dora"):  # of qlora's, the base in floats is a little different
        again = load_tuned(tmp_path / "out" / "adapter")
        torch.testing.assert_close(ask(again, tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
    if method in APART:
        with pytest.raises(CheckpointError, match="has no model.safetensors"):
            load_model(tmp_path / "out")  # whoever knows nothing of adapters is not given the base alone


def test_what_cannot_learn_is_said(tiny: Any) -> None:
    with pytest.raises(ConfigError, match="no weights of its own"):
        apply_method(tiny("llama", tied=True), "head", Settings())
    with pytest.raises(ConfigError, match="has none"):
        apply_method(tiny("llama"), "bitfit", Settings())
    with pytest.raises(ConfigError, match="did you mean lora"):
        apply_method(tiny("llama"), "lroa", Settings())
    with pytest.raises(ConfigError, match="no blocks"):
        apply_method(tiny("recurrent"), "bottleneck", Settings())


def test_an_adapter_without_its_base_says_which_it_wants(tiny: Any, tmp_path: Path) -> None:
    model = tiny("llama")
    applied = apply_method(model, "lora", Settings())
    applied.save(model, tmp_path, "models/gone")
    with pytest.raises(CheckpointError, match="an adapter for models/gone, and there is no such model"):
        load_tuned(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": ".."}))  # beside the adapter
    assert base_of(path.parent).samefile(tmp_path)
    assert tokenizer_folder(path.parent).samefile(tmp_path)
    path.write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(CheckpointError, match="does not say which model"):
        load_tuned(tmp_path / "adapter")
    path.write_text(json.dumps(config | {"peft_type": "VERA"}))
    with pytest.raises(CheckpointError, match="'VERA' is not supported"):
        load_tuned(tmp_path / "adapter")


def test_a_head_that_an_adapter_brings_is_put_on_a_bare_base(tiny: Any, tokens: Any, tmp_path: Path) -> None:
    from luban.models.config import HeadConfig

    save_model(tiny("llama"), tmp_path / "base")
    head = HeadConfig(kind="classes", n_classes=3, labels=("no", "so", "yes"), pool="last")
    model = load_model(tmp_path / "base", head=head)
    applied = apply_method(model, "lora", Settings())
    scores = ask(learnt(model, tokens(2, 9)), tokens(2, 9)).detach()
    applied.save(model, tmp_path / "out", tmp_path / "base")
    again = load_tuned(tmp_path / "out" / "adapter")
    assert again.config.head.labels == ("no", "so", "yes")
    torch.testing.assert_close(ask(again, tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
