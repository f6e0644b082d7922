"""Sentence pairs become a model that translates; of a small language it learns every sentence."""

import itertools

import pytest

from luban.errors import ConfigError
from luban.files import Manifest, read_json, read_jsonl, write_json, write_jsonl
from luban.generate.beam import BeamSettings
from luban.log import Log
from luban.models.load import load_model
from luban.stages import STAGES
from luban.tasks.model_settings import ModelSettings
from luban.tasks.prepared import train_prepared
from luban.tasks.settings import ScoreSettings
from luban.tasks.translate import advise, prepare, training_texts
from luban.tasks.translate_rows import Pair
from luban.tasks.translate_score import rows_to_score, score
from luban.tasks.translate_settings import TranslateSettings
from luban.tasks.translator import load_translator, open_translator

pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
QUIET = Log(quiet=True)
WHO, DOES, WHAT = (
    {"Tom": "汤姆", "she": "她", "we": "我们"},
    {"sees": "看", "eats": "吃", "has": "有"},
    {"fish": "鱼", "rice": "米饭"},
)
SMALL = ModelSettings(
    family="original", size="tiny", dim=32, n_layers=1, n_heads=2, ffn_dim=64, dropout=0.0, init="xavier"
)


def language():
    """Eighteen sentences; the last two of each kind are marked for validation and test."""
    rows = []
    for i, (who, does, what) in enumerate(itertools.product(WHO, DOES, WHAT)):
        split = {7: "validation", 12: "test"}.get(i, "train")
        target = f"{WHO[who]}{DOES[does]}{WHAT[what]}。"
        rows.append({"source": f"{who} {does} {what}.", "target": target, "alternatives": [], "split": split})
    return rows


def settings(**changes) -> TranslateSettings:
    usual = {
        "model": SMALL, "steps": 45, "lr": 0.01, "warmup_share": 0.2, "vocab_size": 290, "tokens_per_batch": 400,
        "evaluate_every_steps": 45, "save_every_steps": 15, "label_smoothing": 0.0, "threads": 1, "trackers": (),
        "compile": "off", "average_checkpoints": 3,
    }  # fmt: skip
    return TranslateSettings(**(usual | changes))


def train(folder, rows, **changes):
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "rows.jsonl", rows)
    out = folder / "out"
    facts = train_prepared(
        prepare(settings(**changes), {"data": folder / "rows.jsonl"}, out, QUIET), out, QUIET
    )
    return out, facts


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("language"), language())


def test_a_language_learnt_by_heart_is_translated_word_for_word_by_any_beam(trained):
    out, _ = trained
    rows = [row for row in language() if row["split"] == "train"]
    for n_beams in (1, 5):
        found = load_translator(out, BeamSettings(n_beams=n_beams)).translate([r["source"] for r in rows])
        assert [t.text for t in found] == [r["target"] for r in rows]


def test_lines_keep_their_order_blank_ones_stay_and_long_ones_are_put_together(trained):
    translator = load_translator(trained[0])
    assert translator.max_len < 12
    lines = ["Tom sees fish.", "", "we eat rice", "Tom sees fish. she has rice. Tom sees rice.", "   "]
    found = dict(translator.stream(lines))
    assert list(found) == lines
    assert found["Tom sees fish."].text == "汤姆看鱼。"
    assert found[""].text == found["   "].text == ""
    long = found["Tom sees fish. she has rice. Tom sees rice."]
    assert (long.text, long.n_pieces) == ("汤姆看鱼。她有米饭。汤姆看米饭。", 3)


def test_the_folder_is_a_marian_model_with_the_joint_tokenizer(trained):
    out, facts = trained
    config = read_json(out / "config.json")
    assert config["model_type"] == "marian"
    assert config["decoder_start_token_id"] == config["pad_token_id"]
    assert facts["counts"]["train_pairs"] == 16
    assert read_json(out / "tokenizer_config.json")["model_max_length"] == facts["max_len"]


def test_the_mean_of_the_last_checkpoints_is_kept_only_if_it_is_better(trained):
    out, facts = trained
    averaged = facts["averaged"]
    assert averaged["steps"] == [45, 30, 15]
    kept = averaged[averaged["kept"]]
    assert kept["loss"] == min(averaged["best"]["loss"], averaged["mean"]["loss"])
    assert {"loss", "bleu", "chrf"} <= set(kept)


def test_a_score_names_its_signature_and_every_translation(trained, tmp_path):
    out, _ = trained
    facts = score(ScoreSettings(split="train", resamples=20), out, out.parent / "rows.jsonl", tmp_path, QUIET)
    assert facts["metrics"]["bleu"]["value"] == pytest.approx(100)
    assert "tok:zh" in facts["signatures"]["bleu"]
    assert "bleu_multi" not in facts["metrics"]
    written = list(read_jsonl(tmp_path / "predictions.jsonl"))
    assert written[0]["references"] == [written[0]["translation"]]


def test_rows_of_another_file_are_scored_in_the_models_direction(trained, tmp_path):
    write_jsonl(tmp_path / "new.jsonl", [{"source": "a", "target": "b"}])
    manifest = {
        "stage": "translate", "name": "x", "key": "", "settings": {"reverse": True, "columns": {}}, "inputs": {},
        "facts": {}, "files": {}, "seconds": 0.0, "started": "",
    }  # fmt: skip
    (tmp_path / "model").mkdir()
    write_json(tmp_path / "model" / "manifest.json", manifest)
    assert Manifest.read(tmp_path / "model") is not None
    rows = rows_to_score("test", tmp_path / "model", tmp_path / "new.jsonl")
    assert (rows.pairs[0].source, rows.pairs[0].target, rows.split) == ("b", "a", "all")


def test_a_row_is_asked_as_the_server_asks_it(trained):
    predictor = open_translator(trained[0])
    (answer,) = predictor.predict([{"source": "we has rice."}])
    assert answer["translation"] == "我们有米饭。"
    assert answer["score"] < 0


def test_a_run_goes_on_from_a_folder_and_from_its_tokenizer(trained, tmp_path):
    out, _ = trained
    write_jsonl(tmp_path / "rows.jsonl", language())
    inputs = {"data": tmp_path / "rows.jsonl", "model": out}
    plan = settings(model=None, steps=2, lr=1e-5, evaluate_every_steps=2, sample_rows=0)
    facts = train_prepared(prepare(plan, inputs, tmp_path / "out", QUIET), tmp_path / "out", QUIET)
    assert facts["first"]["loss"] == pytest.approx(facts["last"]["loss"], abs=0.1)
    assert load_translator(tmp_path / "out").translate(["she eats rice."])[0].text == "她吃米饭。"


@pytest.mark.parametrize("method", ["lora"])
def test_adapters_learn_too(trained, tmp_path, method):
    write_jsonl(tmp_path / "rows.jsonl", language())
    inputs = {"data": tmp_path / "rows.jsonl", "model": trained[0]}
    plan = settings(
        model=None, method=method, steps=2, evaluate_every_steps=2, save_every_steps=1, sample_rows=0
    )
    train_prepared(prepare(plan, inputs, tmp_path / "out", QUIET), tmp_path / "out", QUIET)
    assert (tmp_path / "out" / "adapter").is_dir()
    load_model(tmp_path / "out")


def test_t5_learns_the_same_rows(tmp_path):
    model = ModelSettings(family="t5", size="tiny", dim=32, n_layers=1, n_heads=2, ffn_dim=64, dropout=0.0)
    _, facts = train(
        tmp_path / "t5",
        language(),
        model=model,
        steps=25,
        sample_rows=0,
        evaluate_every_steps=25,
        save_every_steps=25,
    )
    assert facts["last"]["loss"] < 0.75 * facts["first"]["loss"]


def test_other_translations_are_learnt_from_unless_not_wanted():
    pair = Pair("1", "s", "t", ("u",), ("r",))
    assert training_texts([pair], True) == [("s", "t"), ("s", "u"), ("r", "t")]
    assert training_texts([pair], False) == [("s", "t")]


def test_a_decoder_alone_is_refused(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", language())
    with pytest.raises(ConfigError, match="reads no source"):
        prepare(
            settings(model=ModelSettings(family="gpt2")), {"data": tmp_path / "rows.jsonl"}, tmp_path, QUIET
        )


def test_few_pairs_get_a_small_model_with_much_dropout():
    assert advise(1000)[0].size == "tiny"
    assert advise(1_000_000)[0].size == "base"


def test_a_stage_of_a_recipe():
    assert STAGES["translate"].settings_class() is TranslateSettings
