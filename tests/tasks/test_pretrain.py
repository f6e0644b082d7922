"""Token shards become a folder that writes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import luban.train.run
from luban.data.batches import PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.errors import CheckpointError, ConfigError, DataError
from luban.evaluate.golden import read_golden
from luban.evaluate.language_model import bits_per_byte
from luban.files import read_jsonl
from luban.log import Log
from luban.models.load import load_model
from luban.tasks import windows
from luban.tasks.infill import find_marks
from luban.tasks.model_settings import ModelSettings
from luban.tasks.pretrain import pretrain
from luban.tasks.settings import CorruptionSettings, PretrainSettings
from luban.tokenizer import load_tokenizer
from luban.tokenizer.train import train_bpe

QUIET = Log(quiet=True)
TEXTS = [
    f"the {a} {b} sat on the {c}. 小{d}在看书。"
    for a in ("old", "red")
    for b in ("cat", "dog")
    for c in ("mat", "hat")
    for d in "猫狗鸟"
]
TINY = ModelSettings(family="llama", size="tiny", dim=32, n_layers=1, n_heads=2, n_kv_heads=1, max_len=64)


def write_shards(folder: Path, texts: list[str] = TEXTS, vocab_size: int = 300) -> Path:
    tokenizer = train_bpe(texts, vocab_size, template=False)
    folder.mkdir()
    tokenizer.save(folder / "tokenizer")
    for split, part in (("train", texts * 3), ("validation", texts[::5])):
        with ShardWriter(folder, split, tokenizer.vocab_size) as writer:
            for i, text in enumerate(part):
                writer.add(f"{split} {i}", [*tokenizer.encode(text), tokenizer.eos_id], len(text.encode()))
    sizes = [len(tokenizer.token_bytes(i) or b"") for i in range(tokenizer.vocab_size)]
    np.save(folder / TOKEN_BYTES, np.array(sizes, float))
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("pretrain") / "shards")


def settings(**changes) -> PretrainSettings:
    usual = {
        "model": TINY, "context": 16, "batch_size": 4, "steps": 30, "lr": 0.02, "threads": 1,
        "evaluate_every_steps": 15, "prompts": ("the old", "小猫"), "device": "cpu",
    }  # fmt: skip
    return PretrainSettings(**(usual | changes))


def run(shards: Path, out: Path, model: Path | None = None, model_settings: ModelSettings = TINY, **changes):
    out.mkdir(exist_ok=True)
    changes["model"] = model_settings
    inputs = {"shards": shards} | ({"model": model} if model else {})
    return pretrain(settings(**changes), inputs, out, QUIET)


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("pretrain") / "model"
    return run(shards, out), out


def test_it_learns_and_says_how_much(trained):
    facts, _ = trained
    assert facts["best"]["bits_per_byte"] < facts["first"]["bits_per_byte"] * 0.7
    assert facts["first"]["step"] == 0
    assert facts["counts"]["steps"] == 30
    assert facts["counts"]["tokens"] == 30 * 4 * 16
    assert facts["family"] == "llama"
    json.dumps(facts, allow_nan=False)


def test_the_folder_is_a_whole_model_with_what_it_wrote_on_the_way(trained):
    facts, out = trained
    model, tokenizer = load_model(out), load_tokenizer(out)
    assert model.config.vocab_size == tokenizer.vocab_size
    assert [row["prompt"] for row in read_golden(out / "golden.json")["prompts"]] == ["the old", "小猫"]
    assert [(s["step"], s["prompt"]) for s in facts["samples"]] == [
        (step, prompt) for step in (0, 15, 30) for prompt in ("the old", "小猫")
    ]
    looks = [row["validation"] for row in read_jsonl(out / "metrics.jsonl") if "validation" in row]
    assert [set(look) for look in looks] == [{"loss", "bits_per_byte"}] * 3


def test_the_folder_holds_the_best_weights_not_the_last(shards, tmp_path, monkeypatch):
    # Far too fast at the end: the best look is not the last.
    monkeypatch.setattr(luban.train.run, "lr_at", lambda s: lambda step: 0.01 if step <= 15 else 3.0)
    facts = run(shards, tmp_path / "out", max_grad_norm=1e9)
    assert facts["best"]["step"] == 15
    windows = PackedWindows(shards / "validation", context=16, batch_size=4, seed=1)
    found = bits_per_byte(load_model(tmp_path / "out"), windows)
    assert found["bits_per_byte"] == pytest.approx(facts["best"]["bits_per_byte"], rel=1e-6)


def test_it_goes_on_from_a_model_folder(trained, shards, tmp_path):
    facts, folder = trained
    again = run(shards, tmp_path / "more", model=folder, steps=2)
    assert again["first"]["loss"] == pytest.approx(facts["best"]["loss"])


@pytest.mark.parametrize("family", ["gpt2", "recurrent"])
def test_other_families_learn_too(shards, tmp_path, family):
    model = ModelSettings(
        family=family, size="tiny", dim=16, n_layers=1, **({"n_heads": 2} if family == "gpt2" else {})
    )
    facts = pretrain(
        settings(model=model, steps=20, prompts=()), {"shards": shards}, made(tmp_path / "out"), QUIET
    )
    assert facts["best"]["loss"] < facts["first"]["loss"]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_vocabulary_of_another_size_is_an_error_with_both_sizes(trained, tmp_path):
    other = write_shards(tmp_path / "other", vocab_size=290)
    with pytest.raises(DataError, match=r"has a vocabulary of 300 tokens, the shards in .* one of 290"):
        run(other, tmp_path / "out", model=trained[1])


def test_a_vocabulary_of_the_same_size_with_other_tokens_is_an_error(trained, tmp_path):
    other = write_shards(tmp_path / "other", [t.upper() for t in TEXTS])
    with pytest.raises(DataError, match="number their 300 tokens differently"):
        run(other, tmp_path / "out", model=trained[1])


def test_too_little_text_for_a_step_is_said_before_training(shards, tmp_path):
    with pytest.raises(DataError, match="batch_size × n_micro_batches = 4000 windows"):
        run(shards, tmp_path / "out", batch_size=4000)


def test_shards_with_a_flipped_byte_are_refused_by_name(tmp_path, monkeypatch, capsys):
    folder = write_shards(tmp_path / "shards")
    path = folder / "train.bin"
    data = bytearray(path.read_bytes())
    data[4] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="train.bin is not what was written"):
        run(folder, tmp_path / "m")
    monkeypatch.setattr(windows, "MOST_VERIFIED", 0)
    windows.verify_folders([folder], Log())
    said = capsys.readouterr()
    assert f"luban data describe {folder} --verify" in said.out + said.err


def test_a_window_longer_than_the_model_reads_is_an_error(shards, tmp_path):
    with pytest.raises(ConfigError, match="context = 65 is longer than the model's max_len = 64"):
        run(shards, tmp_path / "out", context=65)


def test_a_model_that_sees_the_future_is_refused(shards, tmp_path):
    with pytest.raises(CheckpointError, match="sees the tokens it would predict, and cannot learn by next"):
        run(shards, tmp_path / "out", model_settings=small("bert"), objective="next_token")


def small(family: str) -> ModelSettings:
    return ModelSettings(family=family, size="tiny", dim=16, n_layers=1, n_heads=2, max_len=32)


@pytest.mark.parametrize(
    ("family", "objective"),
    [("bert", "masked"), ("roberta", "masked"), ("t5", "span_corruption"), ("original", "span_corruption")],
)
def test_a_model_learns_what_it_is_made_for(shards, tmp_path, family, objective):
    corruption = CorruptionSettings(n_sentinels=10)
    facts = run(
        shards, tmp_path / "out", model_settings=small(family), corruption=corruption, steps=20, prompts=()
    )
    model = load_model(tmp_path / "out")
    assert facts["objective"] == objective
    assert model.config.vocab_size == 300 + (10 if objective == "span_corruption" else 0)
    assert facts["first"]["loss"] == pytest.approx(math.log(model.config.vocab_size), rel=0.03)
    assert facts["best"]["loss"] < facts["first"]["loss"] - 0.2
    assert set(facts["best"]) == {"step", "loss", "accuracy"}  # bits per byte would be a lie
    again = run(shards, tmp_path / "more", tmp_path / "out", corruption=corruption, steps=1, prompts=())
    assert again["first"]["loss"] == pytest.approx(facts["best"]["loss"], rel=1e-5)


def test_a_model_that_fills_middles_in_still_writes_and_is_scored_on_plain_text(shards, tmp_path):
    facts = run(shards, tmp_path / "out", objective="fill_in_the_middle", steps=20)
    assert facts["best"]["bits_per_byte"] < facts["first"]["bits_per_byte"]
    assert load_model(tmp_path / "out").config.vocab_size == 304
    assert find_marks(load_tokenizer(tmp_path / "out")) == (300, 302, 301)
    again = run(shards, tmp_path / "more", tmp_path / "out", objective="fill_in_the_middle", steps=1)
    assert again["first"]["loss"] == pytest.approx(facts["best"]["loss"], rel=1e-5)
    assert facts["samples"]


def test_prompts_for_a_model_that_does_not_write_are_a_warning(shards, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    pretrain(settings(model=small("bert"), steps=1), {"shards": shards}, tmp_path / "out", Log())
    assert "prompts are not sampled: a model that learns by masked" in capsys.readouterr().err


def test_too_few_sentinels_for_the_longest_document_are_said_before_training(shards, tmp_path):
    with pytest.raises(ConfigError, match="32 tokens lose 2 spans, too many for 2 sentinels"):
        run(
            shards,
            tmp_path / "out",
            model_settings=small("t5"),
            corruption=CorruptionSettings(n_sentinels=2),
            context=32,
        )


def test_an_absurd_learning_rate_stops_with_advice(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(luban.train.run, "lr_at", lambda s: lambda step: 1e30)
    with pytest.raises(Exception, match="lower lr") as e:
        run(shards, tmp_path / "out")
    assert list((tmp_path / "out").glob("bad-step-*.safetensors")) or "validation" in str(e.value)


def test_frozen_parts_stay_and_lower_layers_learn_more_slowly(shards, tmp_path, trained):
    _, first = trained
    run(shards, tmp_path / "out", first, steps=8, lr=1e-3, freeze=("stem.*",), layer_lr_decay=0.5)
    before, after = load_model(first), load_model(tmp_path / "out")
    assert torch.equal(before.stem.tokens.weight, after.stem.tokens.weight)
    assert not torch.equal(before.trunk.blocks[0].mlp.up.weight, after.trunk.blocks[0].mlp.up.weight)


def test_label_smoothing_is_part_of_the_loss_trained_on(shards, tmp_path):
    plain, smooth = (tmp_path / name for name in ("plain", "smooth"))
    for out, share in ((plain, 0.0), (smooth, 0.2)):
        run(shards, out, steps=2, label_smoothing=share)
    losses = [
        [r["loss"] for r in read_jsonl(out / "metrics.jsonl") if "loss" in r] for out in (plain, smooth)
    ]
    looks = [
        next(r["validation"] for r in read_jsonl(out / "metrics.jsonl") if "validation" in r)
        for out in (plain, smooth)
    ]
    assert losses[0][0] != losses[1][0]
    assert looks[0] == looks[1]
