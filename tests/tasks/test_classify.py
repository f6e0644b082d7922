"""Rows with labels become a model folder that knows them."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from luban.data.settings import AugmentSettings
from luban.errors import ConfigError, DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.models.load import load_model
from luban.tasks.classify import advise, advised_lr, classify
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.predict import load_classifier
from luban.tasks.settings import ColumnSettings

GOOD, BAD = ("fine", "lovely", "great"), ("dull", "awful", "boring")
LSTM = ModelSettings(family="recurrent", size="tiny", dim=16)
BERT = ModelSettings(family="bert", size="tiny", dim=16, n_layers=1, n_heads=2, max_len=32)
QUIET = Log(quiet=True)


def rows(n: int = 80) -> list[dict[str, str]]:
    made = []
    for i in range(n):
        words, label = (GOOD, "好评") if i % 2 else (BAD, "差评")
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append(
            {"text": f"film {i} was {words[i % 3]}, {words[i // 3 % 3]}", "label": label, "split": split}
        )
    return made


def misleading() -> list[dict[str, str]]:
    """Validation labels are the wrong way round, so that what is learnt makes them worse."""
    other = {"好评": "差评", "差评": "好评"}
    return [r | {"label": other[r["label"]]} if r["split"] == "validation" else r for r in rows()]


def settings(**changes) -> ClassifySettings:
    usual = {"model": LSTM, "steps": 30, "lr": 0.02, "vocab_size": 300, "tokens_per_batch": 256, "threads": 1}
    return ClassifySettings(**(usual | changes))


def run(tmp_path: Path, table=None, name="out", inputs=None, **changes):
    data = tmp_path / f"{name}.jsonl"
    write_jsonl(data, rows() if table is None else table)
    out = tmp_path / name
    out.mkdir(exist_ok=True)
    return out, classify(settings(**changes), {"data": data} | (inputs or {}), out, QUIET)


def test_it_learns_and_the_folder_answers_with_its_own_labels(tmp_path):
    out, facts = run(tmp_path)
    classifier = load_classifier(out)
    assert set(classifier.labels) == {"好评", "差评"} == set(facts["labels"])
    assert [p.label for p in classifier.predict(["a great, lovely film", "awful and dull"])] == [
        "好评",
        "差评",
    ]
    assert facts["best"]["accuracy"] > 0.9
    assert facts["counts"]["train_rows"] == 48
    assert facts["counts"]["parameters"] == classifier.n_parameters
    config = read_json(out / "config.json")
    assert set(config["id2label"].values()) == {"好评", "差评"}
    assert len(list(read_jsonl(out / "test.jsonl.gz"))) == facts["counts"]["test_rows"] == 16


def test_the_best_weights_are_saved_not_the_last(tmp_path):
    out, facts = run(tmp_path, misleading(), evaluate_every_steps=5, patience=0)
    looks = [r["validation"]["loss"] for r in read_jsonl(out / "metrics.jsonl") if "validation" in r]
    assert facts["best"]["loss"] == min(looks) < looks[-1]
    from luban.tasks.classify_score import score_held_out

    held_out = score_held_out(out, settings(), tmp_path / "out.jsonl")
    assert held_out["validation"]["accuracy"]["value"] == facts["best"]["accuracy"]


def test_training_stops_when_validation_no_longer_improves(tmp_path):
    _, facts = run(tmp_path, misleading(), evaluate_every_steps=2, patience=2)
    assert facts["stopped"] == "patience"
    assert facts["counts"]["steps"] < 30


@pytest.mark.parametrize("model", [LSTM, BERT], ids=["lstm", "bert"])
def test_the_same_seed_makes_the_same_model_bit_for_bit(tmp_path, model):
    a, _ = run(tmp_path, name="a", model=model, steps=3)
    b, _ = run(tmp_path, name="b", model=model, steps=3)
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def test_another_model_gets_a_new_head_and_keeps_its_trunk_where_frozen(tmp_path):
    first, _ = run(tmp_path, name="first", model=BERT, steps=2)
    table = [row | {"label": f"class {i % 3}"} for i, row in enumerate(rows())]
    second, facts = run(
        tmp_path, table, "second", {"model": first}, model=None, steps=2, freeze=("stem.*", "trunk.*")
    )
    old, new = load_model(first), load_model(second)
    assert new.config.head.labels == ("class 0", "class 1", "class 2")
    assert torch.equal(old.stem.tokens.weight, new.stem.tokens.weight)
    assert new.config.head.pool == "mean"  # the first token's vector was not trained to stand for a text
    assert facts["counts"]["trainable"] < facts["counts"]["parameters"]
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()


def test_the_head_can_learn_faster_than_the_trunk(tmp_path):
    first, _ = run(tmp_path, name="first", model=BERT, steps=1)
    moved = {}
    for decay in (1.0, 0.01):
        out, _ = run(
            tmp_path, None, f"decay-{decay}", {"model": first}, model=None, lr=3e-3, layer_lr_decay=decay
        )
        moved[decay] = (load_model(out).stem.tokens.weight - load_model(first).stem.tokens.weight).abs().max()
    assert 0 < moved[0.01] < moved[1.0] / 20


@pytest.mark.parametrize(
    ("changes", "resting"),
    [({"thaw_every_steps": 1}, {"stem", "trunk.blocks.0"}), ({"freeze_layers": 2}, {"stem", "trunk.blocks"})],
    ids=["thawed from above", "frozen from below"],
)
def test_blocks_rest_until_their_step_or_for_good(tmp_path, changes, resting):
    deep = dataclasses.replace(BERT, n_layers=2)
    first, _ = run(tmp_path, name="first", model=deep, steps=1)
    out, _ = run(tmp_path, None, "out", {"model": first}, model=None, steps=2, look_first=False, **changes)
    old, new = (dict(load_model(folder).named_parameters()) for folder in (first, out))
    for part in ("stem", "trunk.blocks.0", "trunk.blocks.1"):
        names = [name for name in old if name.startswith(part) and name.endswith("weight")]
        same = {torch.equal(old[name], new[name]) for name in names}
        assert same == {any(part.startswith(rest) for rest in resting)}, part


def test_long_texts_are_cut_and_counted_and_prediction_cuts_alike(tmp_path):
    table = [row | {"text": row["text"] + " and so on" * (i % 2) * 20} for i, row in enumerate(rows())]
    out, facts = run(tmp_path, table, model=BERT, max_len=12, steps=2)
    assert facts["counts"]["cut_rows"] == 24
    assert read_json(out / "tokenizer_config.json")["model_max_length"] == 12
    classifier = load_classifier(out)
    long = classifier.predict(["a fine film " + "x " * 500])[0]
    assert long.probabilities == classifier.predict(["a fine film " + "x " * 900])[0].probabilities


def test_a_strangers_csv_works_with_chinese_names_in_gb18030_and_with_a_byte_order_mark(tmp_path):
    lines = ["编号,评论,标签"] + [f'{i},"{row["text"]}，电影",{row["label"]}' for i, row in enumerate(rows())]
    for encoding in ("gb18030", "utf-8-sig"):
        data = tmp_path / f"{encoding}.csv"
        data.write_text("\n".join(lines), encoding=encoding)
        out = tmp_path / encoding
        out.mkdir()
        facts = classify(settings(steps=2), {"data": data}, out, QUIET)
        assert set(facts["labels"]) == {"好评", "差评"}
        assert sum(facts["counts"][f"{part}_rows"] for part in ("train", "validation", "test")) == 80


def test_rows_that_cannot_be_used_are_kept_with_their_reason(tmp_path):
    out, facts = run(tmp_path, [*rows(), {"text": "", "label": "好评", "split": "train"}], steps=2)
    rejects = list(read_jsonl(out / "rejects.jsonl"))
    assert facts["rejects"] == len(rejects) == 1
    assert rejects[0]["line"] == 81


def test_a_label_seen_only_in_test_is_a_warning_that_names_it(tmp_path):
    _, facts = run(tmp_path, [*rows(), {"text": "strange", "label": "中立", "split": "test"}], steps=2)
    assert any("中立" in text for text in facts["warnings"])
    assert "中立" not in facts["labels"]


def test_one_label_is_too_few(tmp_path):
    with pytest.raises(DataError, match="one label only"):
        run(tmp_path, [row | {"label": "x"} for row in rows()])


def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path):
    with pytest.raises(DataError, match="has no column body; it has: text, label, split"):
        run(tmp_path, columns=ColumnSettings(text="body"))


def test_augmenting_changes_tokens_tokens_in_training_only(tmp_path):
    plain, _ = run(tmp_path, name="plain", steps=3)
    dropped, _ = run(tmp_path, name="dropped", steps=3, augment=AugmentSettings(hide=0.5))
    assert not torch.equal(load_model(plain).head.classes.weight, load_model(dropped).head.classes.weight)
    looks = [
        next(r["validation"]["loss"] for r in read_jsonl(out / "metrics.jsonl") if "validation" in r)
        for out in (plain, dropped)
    ]
    assert looks[0] == looks[1], "before training, both judge the same model on the same whole texts"


def test_hiding_needs_a_token_to_hide_behind(tmp_path):
    first, _ = run(tmp_path, name="first", steps=1)
    config = read_json(first / "tokenizer_config.json")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (first / name).write_text(json.dumps({k: v for k, v in config.items() if k != "mask_token"}))
    with pytest.raises(ConfigError, match=r"augment.hide = 0.5.*no mask token"):
        run(tmp_path, name="second", inputs={"model": first}, model=None, augment=AugmentSettings(hide=0.5))


def test_steps_and_epochs_together_are_refused():
    with pytest.raises(ConfigError, match="epochs = 2 and steps = 30 contradict each other"):
        settings(epochs=2.0)


def test_only_so_many_rows_are_used_when_asked(tmp_path):
    _, facts = run(tmp_path, train_rows=20, steps=2)
    assert facts["counts"]["train_rows"] == 20


def test_without_a_model_one_is_advised_by_the_amount_of_data(tmp_path):
    small, why = advise(500)
    assert "500 training rows" in why
    assert small != advise(50_000)[0]
    assert advised_lr(768, is_new=False) < advised_lr(384, is_new=False) < advised_lr(384, is_new=True)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path):
    whole, _ = run(tmp_path, name="whole", steps=8, save_every_steps=4)
    from luban.train import engine

    real = engine.train

    def stops_after_five(*args, **kwargs):
        for step in real(*args, **kwargs):
            yield step
            if step.number == 5:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("luban.train.run.train", stops_after_five)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, name="cut", steps=8, save_every_steps=4)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    cut, _ = run(tmp_path, name="cut", steps=8, save_every_steps=4)
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_the_golden_file_is_recorded_from_held_out_rows(tmp_path):
    out, _ = run(tmp_path, steps=2)
    golden = json.loads((out / "golden.json").read_text())
    assert golden["kind"] == "label"
    held_out = {row["text"] for row in rows() if row["split"] == "validation"}
    assert {row["prompt"] for row in golden["prompts"]} <= held_out
