"""Rows with answers become a folder that finds them, in English and Chinese, asked in every way."""

import json
from dataclasses import replace

import pytest

from luban.errors import ConfigError, DataError
from luban.files import read_json, read_jsonl, write_jsonl
from luban.log import Log
from luban.models.load import load_model
from luban.tasks.model_settings import ModelSettings
from luban.tasks.prepared import train_stage
from luban.tasks.qa import prepare, spread, tell_matches_apart
from luban.tasks.qa_answers import load_answerer
from luban.tasks.qa_rows import Questions, read_rows_of
from luban.tasks.qa_score import score, scored
from luban.tasks.qa_settings import QaColumns, QaSettings
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import open_predictor, task_of

BERT = ModelSettings(
    family="bert", size="tiny", dim=32, n_layers=1, n_heads=2, ffn_dim=64, max_len=64, dropout=0
)
QUICK = replace(BERT, position="rotary", norm_place="before")
QUIET = Log(quiet=True)
PLACES = ("北京", "上海", "广州", "Paris", "Rome", "Oslo")
NUMBERS = ("17", "42", "305", "88", "9", "61")


def rows(n=60, none=0):
    """Where is asked for a place, how many for a number: every text has both, and no third thing."""
    made = []
    for i in range(n):
        place, number = PLACES[i % 6], NUMBERS[i // 6 % 6]
        context = f"第{i}段：他在{place}住了，有{number}个人。"
        asks = (("在哪里？", place), ("多少人？", number), ("何时？", None))[2 if i < none else i // 7 % 2]
        start = [] if asks[1] is None else [context.rindex(asks[1])]
        texts = [] if asks[1] is None else [asks[1]]
        answers = {"text": texts, "answer_start": start}
        split = ("train", "train", "train", "validation", "test")[i % 5]
        made.append(
            {"id": str(i), "question": asks[0], "context": context, "answers": answers, "split": split}
        )
    return made


def settings(**changes):
    usual = {"model": BERT, "steps": 60, "lr": 0.01, "vocab_size": 320, "tokens_per_batch": 512, "threads": 1}
    return QaSettings(
        **usual | {"max_len": 48, "overlap": 16, "max_question": 10, "look_first": False} | changes
    )


def run(tmp_path, table=None, name="out", inputs=None, **changes):
    data = tmp_path / f"{name}.jsonl"
    write_jsonl(data, rows() if table is None else table)
    out = tmp_path / name
    out.mkdir(exist_ok=True)
    return out, train_stage(prepare, settings(**changes), {"data": data} | (inputs or {}), out, QUIET)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qa")
    return folder, *run(folder, rows(90, none=20), model=QUICK)


def test_it_learns_and_the_folder_answers_verbatim(trained):
    folder, out, facts = trained
    assert facts["best"]["f1"] > 0.8
    assert facts["definition"] == "cmrc-2018"
    predictor = open_predictor(out)
    context = "第999段：他在Rome住了，有42个人。"
    where, many, when = predictor.predict(
        [{"question": q, "context": context} for q in ("在哪里？", "多少人？", "何时？")]
    )
    assert context[where["start"] : where["end"]] == where["answer"]
    assert "Rome" in where["answer"]
    assert "42" in many["answer"]
    assert when["is_impossible"]
    assert when["answer"] == ""


def test_the_folder_is_told_by_its_head_and_is_transformers_own(trained, tmp_path):
    _, out, facts = trained
    assert task_of(out).name == "qa"
    assert load_model(out).config.head.kind == "spans"
    plain, _ = run(tmp_path, steps=1)
    assert read_json(plain / "config.json")["architectures"] == ["BertForQuestionAnswering"]
    assert read_json(out / "answering.json")["threshold"] == facts["threshold"]
    assert len(list(read_jsonl(out / "test.jsonl.gz"))) == facts["counts"]["test_rows"] == 18


def test_scores_tell_rows_with_and_without_an_answer_apart(trained, tmp_path):
    folder, out, _ = trained
    facts = score(ScoreSettings(resamples=50), out, folder / "out.jsonl", tmp_path, QUIET)
    metrics = facts["metrics"]
    assert {"f1", "exact_match", "has_answer_f1", "no_answer_exact_match"} <= metrics.keys()
    assert metrics["f1"]["n"] == 18 == metrics["has_answer_f1"]["n"] + metrics["no_answer_f1"]["n"]
    parts = sum(
        metrics[f"{part}_f1"]["value"] * metrics[f"{part}_f1"]["n"] for part in ("has_answer", "no_answer")
    )
    assert metrics["f1"]["value"] == pytest.approx(parts / 18)
    assert "def:cmrc-2018" in facts["signature"]
    predictions = list(read_jsonl(tmp_path / "predictions.jsonl"))
    mean = sum(p["f1"] for p in predictions) / len(predictions)
    assert mean == pytest.approx(metrics["f1"]["value"])


def test_a_test_set_of_one_row_has_a_score(trained, tmp_path):
    _, out, _ = trained
    write_jsonl(tmp_path / "one.jsonl", [{k: v for k, v in rows()[1].items() if k != "split"}])
    (tmp_path / "out").mkdir()
    facts = score(ScoreSettings(resamples=20), out, tmp_path / "one.jsonl", tmp_path / "out", QUIET)
    assert facts["counts"] == {"n": 1, "no_answer": 0}
    assert facts["split"] == "all"


def test_a_context_far_over_the_window_is_answered(trained):
    _, out, _ = trained
    filler = "这里没有别的，" * 60
    context = filler + "他在Paris住了，有305个人。" + filler
    (said,) = load_answerer(out).answer([replace(first(), question="多少人？", context=context)])
    assert said.best
    assert 0 <= said.best[0].start < said.best[0].end <= len(context)


def first():
    from luban.tasks.qa_rows import Asked

    return Asked("1", "在哪里？", "他在Rome住了。")


def test_matches_are_told_apart_by_a_new_model_and_a_given_one(tmp_path):
    out, _ = run(tmp_path, steps=2, match_segments=2)
    assert load_model(out).config.n_segments == 4
    assert load_answerer(out).asking.shape.match_segments == 2
    plain, _ = run(tmp_path, name="plain", steps=2)
    again, _ = run(tmp_path, name="again", steps=2, inputs={"model": plain}, match_segments=3)
    assert load_model(again).config.n_segments == 5


def test_new_rows_for_matches_change_nothing_at_first(tmp_path):
    import torch

    out, _ = run(tmp_path, steps=2)
    model = load_model(out).eval()
    tokens, segments = torch.arange(5, 13)[None], torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]])
    before = model(tokens, segments=segments)
    tell_matches_apart(model, 2)
    assert torch.equal(model(tokens, segments=segments.where(segments == 0, segments + 2)), before)


def test_a_decoder_and_a_recurrent_model_learn_too(tmp_path):
    for family in ("llama", "recurrent"):
        small = {"dim": 16, "n_layers": 1, **({"n_heads": 2, "n_kv_heads": 2} if family == "llama" else {})}
        choice = ModelSettings(family=family, size="tiny", **small)
        _, facts = run(tmp_path, name=family, model=choice, steps=2)
        assert 0 <= facts["best"]["f1"] <= 1


def test_a_model_that_reads_a_source_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot point at an answer"):
        run(tmp_path, model=ModelSettings(family="t5", size="tiny"))


def test_fewer_windows_without_an_answer_train_where_asked(tmp_path):
    long = [r | {"context": r["context"] + "这里没有别的，" * 20} for r in rows(30)]
    _, every = run(tmp_path, long, steps=1)
    _, fewer = run(tmp_path, long, name="fewer", steps=1, null_windows=0.0)
    assert 18 <= fewer["counts"]["windows"] < every["counts"]["windows"]


def test_rows_without_any_answer_are_nothing_to_learn_from(tmp_path):
    with pytest.raises(DataError, match="has an answer to find"):
        run(tmp_path, rows(40, none=40))


def test_windows_too_small_for_a_question_are_refused():
    with pytest.raises(ConfigError, match="leaves no room"):
        settings(max_len=16, max_question=12)


def test_rows_set_aside_are_written_down(tmp_path):
    table = rows()
    table[0] |= {"answers": {"text": ["nowhere"], "answer_start": [0]}}
    table[1] |= {"question": ""}
    out, facts = run(tmp_path, table, steps=1)
    rejects = list(read_jsonl(out / "rejects.jsonl"))
    assert facts["rejects"] == 2
    assert {"question is empty"} < {r["reason"] for r in rejects}


def test_english_is_scored_by_squads_definition(tmp_path):
    context = "The Summer Palace is in Beijing."
    write_jsonl(
        tmp_path / "en.jsonl",
        [
            {
                "question": "Where is it?",
                "context": context,
                "answers": {"text": ["Beijing"], "answer_start": [24]},
            }
        ],
    )
    found = read_rows_of(tmp_path / "en.jsonl", QaColumns(), Questions())
    from luban.evaluate.intervals import Plan

    assert scored(["the beijing."], found, Plan(resamples=5))["exact_match"]["value"] == 1
    assert json.dumps(scored(["in Beijing"], found, Plan(resamples=5)))


def test_a_few_rows_are_spread_over_all():
    assert spread(list(range(10)), 3) == [0, 4, 9]
    assert spread([1, 2], 5) == [1, 2]
