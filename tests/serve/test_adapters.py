"""Adapters served over one base: a name each, answers as of the adapter alone, and the base untouched."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import CheckpointError, ConfigError
from luban.generate import SamplingSettings, generate
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.serve.served import open_adapters, read_adapters
from luban.tokenizer.train import train_bpe
from luban.tune.load import load_tuned
from luban.tune.lora import adapted, attach
from luban.tune.peft_folder import save_adapter
from luban.tune.settings import LoraSettings

SETTINGS = SamplingSettings(max_new_tokens=8, temperature=0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny language model, and two adapters of it in folders beside."""
    tokenizer = train_bpe(["the old man and the sea, 老人与海"] * 3, 280, template=False)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 64, "max_len": 48}
    config = FAMILIES["llama"].config("tiny", vocab_size=tokenizer.vocab_size, **size)
    save_model(build_model(config), tmp_path / "base")
    tokenizer.save(tmp_path / "base")
    for i, name in enumerate(("poet", "clerk")):
        attach(model := load_model(tmp_path / "base"), LoraSettings(rank=2))
        with torch.no_grad():
            for layer in adapted(model).values():
                layer.lora_b.normal_(generator=torch.Generator().manual_seed(i))
        save_adapter(model, tmp_path / name, base="../base")
    return tmp_path / "base"


def test_each_name_answers_as_its_folder_does_whoever_asks_beside_it(base: Path) -> None:
    adapters = {name: base.parent / name for name in ("poet", "clerk")}
    served: Any = {m.name: m for m in open_adapters(base, "plain", adapters)}
    assert list(served) == ["plain", "poet", "clerk"]

    def answer(name: str) -> str:
        return "".join(piece.text for piece in served[name].write("the old", SETTINGS))

    from luban.tokenizer import load_tokenizer

    expected = {}
    for name, folder in {"plain": base, **adapters}.items():
        expected[name] = generate(load_tuned(folder), load_tokenizer(base), ["the old"], settings=SETTINGS)[0]
    assert len(set(expected.values())) == 3
    asked = ["plain", "poet", "clerk", "plain", "clerk", "poet"] * 2
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(answer, asked)) == [expected[name] for name in asked]


def test_what_names_no_adapter_is_refused_before_anything_is_loaded(base: Path) -> None:
    poet = base.parent / "poet"
    assert read_adapters([f"poet={poet}"], [base], []) == {"poet": poet}
    for given, folders, problem in (
        (["poet"], [base], "is not NAME=FOLDER"),
        ([f"base={poet}"], [base], "two models are named base"),
        ([f"a={poet}", f"a={poet}"], [base], "two models are named a"),
        ([f"a={base}"], [base], "is no adapter"),
        ([f"a={poet}"], [base, base.parent / "poet"], "with 2 model folders|no config.json|not a model"),
    ):
        with pytest.raises((ConfigError, CheckpointError), match=problem):
            read_adapters(given, folders, [])


def test_a_base_that_does_not_write_is_refused(base: Path) -> None:
    save_model(load_model(base, head=HeadConfig(kind="none")), base)
    with pytest.raises(ConfigError, match="does not write"):
        open_adapters(base, "plain", {"poet": base.parent / "poet"})
