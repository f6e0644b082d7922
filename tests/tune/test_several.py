"""Several adapters over one base: the base is in memory once, and each answer is that of its adapter alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import ConfigError
from luban.tune.lora import adapted, attach
from luban.tune.peft_folder import load_adapter, save_adapter
from luban.tune.settings import LoraSettings
from luban.tune.several import attach_several, sharing, with_adapter


@pytest.fixture
def adapters(tiny: Any, tmp_path: Path) -> dict[str, Path]:
    """Two adapters of the tiny model, of unequal ranks, places and scales."""
    for i, (name, settings) in enumerate({
        "poet": LoraSettings(rank=2, alpha=3.0), "clerk": LoraSettings(rank=4, targets=("*.attention.v",)),
    }.items()):  # fmt: skip
        attach(model := tiny("llama"), settings)
        generator = torch.Generator().manual_seed(i)
        with torch.no_grad():
            for layer in adapted(model).values():
                layer.lora_b.normal_(std=0.3, generator=generator)
        save_adapter(model, tmp_path / name)
    return {name: tmp_path / name for name in ("poet", "clerk")}


def alone(tiny: Any, folder: Path | None) -> Any:
    model = tiny("llama")
    if folder:
        load_adapter(model, folder)
    return model


def test_models_over_one_base_share_its_weights_and_leave_it_as_it_was(
    adapters: dict[str, Path], tiny: Any, tokens: Any
) -> None:
    base, row = tiny("llama"), tokens(2, 9)
    before, places = base(row), {n: p.data_ptr() for n, p in base.named_parameters()}
    models = {name: with_adapter(base, folder) for name, folder in adapters.items()}
    for name, model in models.items():
        assert torch.equal(model(row), alone(tiny, adapters[name])(row))
        assert {n: p.data_ptr() for n, p in model.named_parameters() if "lora_" not in n} == places
    assert torch.equal(base(row), before)
    assert not adapted(base)


def test_each_row_of_a_batch_is_answered_by_its_own_adapter(
    adapters: dict[str, Path], tiny: Any, tokens: Any
) -> None:
    model, row = tiny("llama"), tokens(4, 9)
    plain = model(row)
    rows = attach_several(model, adapters)
    chosen = ["clerk", "", "poet", "clerk"]
    with rows.of(chosen):
        found = model(row)
    for i, name in enumerate(chosen):
        expected = alone(tiny, adapters.get(name))(row[i : i + 1])
        torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(row), plain)
    with pytest.raises(ConfigError, match="did you mean poet"), rows.of(["poets"]):
        pass
    with pytest.raises(ConfigError, match="1 rows have an adapter, and the batch has 4"), rows.of(["poet"]):
        model(row)


def test_a_shared_copy_is_a_model_of_its_own_but_for_the_weights(tiny: Any, tokens: Any) -> None:
    base, row = tiny("bert"), tokens(2, 9)
    copied = sharing(base)
    attach(copied, LoraSettings())
    assert torch.equal(copied(row), base(row))
    assert not adapted(base)
