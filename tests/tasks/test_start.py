"""A model is built with the structure asked for, or read and changed, and each change is said."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from luban.config import Tree, fill
from luban.errors import CheckpointError, ConfigError
from luban.files import write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.load import load_model, save_model
from luban.tasks.classify import classify
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.model_settings import ModelSettings, SurgerySettings
from luban.tasks.predict import load_classifier
from luban.tasks.pretrain import pretrain
from luban.tasks.settings import PretrainSettings
from luban.tasks.start import new_config, open_model
from luban.tokenizer import load_tokenizer
from luban.tokenizer.train import train_bpe
from tests.tasks.test_pretrain import write_shards

QUIET = Log(quiet=True)
TINY = {"family": "llama", "dim": 32, "n_layers": 3, "n_heads": 2, "n_kv_heads": 1, "max_len": 64}
TEXTS = ["the old cat sat on the mat", "the red dog sat on the hat"] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 290, template=False)


@pytest.fixture
def folder(tokenizer, tmp_path):
    out = tmp_path / "start"
    save_model(build_model(new_config(ModelSettings(**TINY), tokenizer)), out)
    tokenizer.save(out)
    return out


def surgery(**changes):
    return fill(SurgerySettings, Tree(json.loads(json.dumps(changes))))


def test_every_structural_choice_reaches_the_model(tokenizer):
    choice = ModelSettings(
        **TINY, position="alibi", activation="tanh", mlp="plain", norm="layer", norm_place="after",
        init="xavier", tied=False,
    )  # fmt: skip
    config = new_config(choice, tokenizer)
    trunk = config.trunk
    assert (trunk.position, trunk.activation, trunk.mlp) == ("alibi", "tanh", "plain")
    assert (trunk.norm, trunk.norm_place, trunk.init, config.head.tied) == ("layer", "after", "xavier", False)
    assert build_model(config)(torch.tensor([[1, 2, 3]])).shape == (1, 3, tokenizer.vocab_size)
    both = new_config(ModelSettings(family="t5", norm="layer", position="learned", tied=False), tokenizer)
    assert both.encoder.norm == both.trunk.norm == "layer"
    assert both.head.scale == 1.0


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("recurrent", {"position": "learned"}, "unknown setting model.position = 'learned'"),
        (
            "word2vec",
            {"tied": True},
            "model.tied = True, but the head of this word2vec model is not to be tied",
        ),
    ],
)
def test_a_choice_that_a_family_does_not_have_is_refused(family, changes, message, tokenizer):
    with pytest.raises(ConfigError) as error:
        new_config(ModelSettings(family=family, **changes), tokenizer)
    assert message in str(error.value)


def test_a_head_of_classes_cannot_be_tied(tokenizer):
    head = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"))
    with pytest.raises(ConfigError, match=r"model\.tied = False, but the head"):
        new_config(ModelSettings(**TINY, tied=False), tokenizer, head)


def test_surgery_changes_the_model_and_says_so(folder, capsys):
    asked = surgery(
        keep_layers=[0, 2], identity_after=[1], depth_upscale=1, activation="relu",
        rope_scaling={"kind": "linear", "factor": 2.0}, reinit=["trunk.norm.*"],
    )  # fmt: skip
    model = open_model(folder, asked, log=Log())
    trunk = model.config.trunk
    assert (trunk.n_layers, trunk.activation, model.config.max_len) == (3, "relu", 128)
    said = [line.removeprefix(f"{folder}: ") for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "trunk.norm.weight: not kept: initialised anew",
        "layers 1 of 3 dropped",
        "2 layers stacked to 2",
        "layers that add nothing inserted after 1",
        "activation made relu",
        "positions stretched from 64 to 128 (linear)",
    ]


def test_nothing_asked_is_the_model_of_the_folder(folder, capsys):
    model, same = open_model(folder, SurgerySettings(), log=Log()), load_model(folder)
    assert model.config == same.config
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), same.parameters(), strict=True))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_len": 9, "rope_scaling": {}}, "both say how long rows become"),
        ({"vocab_size": 300, "extend_vocabulary": True}, "but extend_vocabulary takes the tokenizer's"),
        ({"rope_scaling": {"factor": 1.0}}, "rope_scaling.factor = 1.0"),
        ({"keep_layers": [-1]}, "keep_layers.0 = -1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ConfigError) as error:
        surgery(**changes)
    assert message in str(error.value)


def rows(path: Path) -> Path:
    words = {"good": "fine lovely", "bad": "dull awful"}
    table = [
        {"text": f"film {i} {words[label]}", "label": label, "split": split}
        for i in range(12)
        for label in words
        for split in (("train",), ("validation",), ("test",))[i % 3]
    ]
    write_jsonl(path, table)
    return path


def short(cls, **changes):
    return cls(steps=2, lr=0.01, threads=1, device="cpu", **changes)


def made(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_classifier_starts_from_a_changed_model(folder, tmp_path):
    out = made(tmp_path / "out")
    settings = short(ClassifySettings, surgery=surgery(keep_layers=[0], rope_scaling={"factor": 2.0}))
    classify(settings, {"data": rows(tmp_path / "d.jsonl"), "model": folder}, out, QUIET)
    config = load_model(out).config
    assert (config.n_layers, config.max_len, config.trunk.rope_scaling.kind) == (1, 128, "yarn")
    assert load_classifier(out).predict(["fine film"])


def test_pretraining_goes_on_with_the_tokenizer_of_the_shards(folder, tmp_path):
    shards = write_shards(tmp_path / "shards")
    out = made(tmp_path / "out")
    settings = short(
        PretrainSettings, surgery=surgery(extend_vocabulary=True), context=16, batch_size=4,
        evaluate_every_steps=2,
    )  # fmt: skip
    pretrain(settings, {"shards": shards, "model": folder}, out, QUIET)
    assert load_model(out).config.vocab_size == load_tokenizer(out).vocab_size
    assert load_tokenizer(out).hash == load_tokenizer(shards / "tokenizer").hash


@pytest.mark.parametrize(("init", "expected"), [("normal", 0.01), ("mup", 0.005)])
def test_mup_reaches_the_optimizer(init, expected, tmp_path):
    shards = write_shards(tmp_path / "shards")
    model = ModelSettings(family="llama", dim=512, n_layers=1, n_heads=8, max_len=32, init=init)
    settings = PretrainSettings(
        model=model, context=16, batch_size=4, steps=1, lr=0.01, warmup_share=0.0, min_lr_share=1.0,
        threads=1, device="cpu",
    )  # fmt: skip
    pretrain(settings, {"shards": shards}, made(tmp_path / "out"), QUIET)
    after = load_model(tmp_path / "out")
    before = build_model(new_config(model, load_tokenizer(shards / "tokenizer")))
    moved = (after.trunk.blocks[0].mlp.up.weight - before.trunk.blocks[0].mlp.up.weight).abs().median()
    assert moved.item() == pytest.approx(expected, rel=0.05)


def test_surgery_without_a_folder_is_refused(tmp_path):
    data = rows(tmp_path / "d.jsonl")
    with pytest.raises(ConfigError, match="surgery changes a model folder, and none is given"):
        classify(short(ClassifySettings, surgery=surgery(activation="relu")), {"data": data}, tmp_path, QUIET)


def test_a_tokenizer_larger_than_the_model_is_refused_wherever_both_are_opened(folder, tmp_path):
    larger = tmp_path / "larger"
    train_bpe([*TEXTS, "小猫在看书 小狗在看书"] * 3, 320, template=False).save(larger)
    for file in larger.iterdir():
        shutil.copy(file, folder)
    import luban

    with pytest.raises(
        CheckpointError, match=r"has the id \d+, and the model \d+ rows\n  fix: take the model's own"
    ):
        luban.load(folder)
    with pytest.raises(CheckpointError, match="rows"):
        classify(
            short(ClassifySettings), {"data": rows(tmp_path / "d.jsonl"), "model": folder}, tmp_path, QUIET
        )
