"""What answers cost a model, worked out again one row at a time; what it answers itself; which rows count."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import DataError
from luban.evaluate.compare import compare
from luban.files import read_jsonl, write_jsonl
from luban.log import Log
from luban.models.load import load_model, save_model
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE, Batch
from luban.runner import input_key
from luban.tasks.chat_answers import open_answerer, open_speaker
from luban.tasks.chat_score import score
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import find_task
from luban.tokenizer.chat import encode_chat
from luban.tokenizer.chat_formats import with_format
from tests.generate.test_speaker import model_for
from tests.tasks.test_chat import talks
from tests.tokenizer.test_chat import TALK, speaking

QUIET = Log(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "model"
    tokenizer = with_format(speaking(None), "luban")
    save_model(model_for(tokenizer), folder)
    tokenizer.save(folder)
    return folder


def scored(folder: Path, tmp_path: Path, given: Any, **settings: Any) -> tuple[dict[str, Any], list[Any]]:
    write_jsonl(tmp_path / "rows.jsonl", given)
    (tmp_path / "scores").mkdir(exist_ok=True)
    facts = score(ScoreSettings(**settings), folder, tmp_path / "rows.jsonl", tmp_path / "scores", QUIET)
    return facts, list(read_jsonl(tmp_path / "scores" / "predictions.jsonl"))


def test_each_answer_costs_what_it_costs_alone(folder: Path, tmp_path: Path) -> None:
    given = [{"messages": TALK}, *talks(6)]
    facts, rows = scored(folder, tmp_path, given)
    model, total, n = load_model(folder).eval(), 0.0, 0
    with open_speaker(folder) as speaker:
        for talk, row in zip(given, rows, strict=True):
            ids, flags = encode_chat(speaker.template, talk["messages"])
            targets = [i if flag else IGNORE for i, flag in zip(ids[1:], flags[1:], strict=True)] + [IGNORE]
            tokens = torch.tensor([ids])
            with torch.no_grad():
                loss = supervised_tokens(
                    model, Batch(tokens, torch.ones_like(tokens), torch.tensor([targets]))
                )
            assert row["parts"]["loss"] == pytest.approx([loss.total.item(), int(loss.n_targets)], rel=1e-4)
            total, n = total + loss.total.item(), n + int(loss.n_targets)
    value = facts["metrics"]["loss"]["value"]
    assert value == pytest.approx(total / n, rel=1e-5)
    assert facts["metrics"]["perplexity"]["value"] == pytest.approx(math.exp(value))
    assert facts["counts"] | {"targets": n} == facts["counts"]


def test_answers_are_those_that_the_model_gives_one_by_one(folder: Path, tmp_path: Path) -> None:
    _, rows = scored(folder, tmp_path, talks(5))
    predictor = open_answerer(folder)
    assert all("answer" in row for row in rows)
    texts = [predictor.predict([{"messages": row["question"]}])[0]["answer"] for row in rows]
    assert [text[: len(row["answer"])] for text, row in zip(texts, rows, strict=True)] == [
        r["answer"] for r in rows
    ]
    together = predictor.predict([{"messages": talk["messages"]} for talk in talks(5)])
    assert [row["answer"] for row in together] == texts


def test_a_question_is_a_text_or_turns_and_one_that_asks_nothing_is_refused(folder: Path) -> None:
    predictor = open_answerer(folder)
    asked = [{"role": "user", "content": "什么?"}]
    (one,), (other,), (third,) = (
        predictor.predict([{"messages": m}])
        for m in ("什么?", asked, '[{"role": "user", "content": "什么?"}]')
    )
    assert one == other == third
    for bad in ([{"role": "assistant", "content": "x"}], "", [{"role": "user", "content": ""}], 3):
        with pytest.raises(DataError, match="row 1"):
            predictor.predict([{"messages": bad}])


def test_rows_that_cannot_be_scored_are_counted_and_the_split_is_followed(
    folder: Path, tmp_path: Path
) -> None:
    marked = [row | {"split": "test" if i < 4 else "train"} for i, row in enumerate(talks(6))]
    long = {"messages": [{"role": "user", "content": "x" * 500}, TALK[1]], "split": "test"}
    unnamed = {"messages": [TALK[0], {"role": "assistant", "content": "I am {{name}}."}], "split": "test"}
    facts, rows = scored(folder, tmp_path, [*marked, long, unnamed])
    assert (facts["counts"]["n"], facts["counts"]["set_aside"], facts["split"]) == (4, 2, "test")
    assert facts["signature"].startswith("loss|per:answer token|n:4|")
    assert len(scored(folder, tmp_path, marked, rows=2)[1]) == 2
    with pytest.raises(DataError, match="no rows of the split validation"):
        scored(folder, tmp_path, marked, split="validation")


def test_of_the_file_it_was_tuned_on_what_was_held_out_counts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", talks(40))

    class Made:
        stage = "chat"
        settings = {"validation": 0.2, "name": "Ban", "author": "Lu"}
        inputs = {"data": {"key": input_key(tmp_path / "rows.jsonl")}}

    monkeypatch.setattr("luban.tasks.chat_score.Manifest.read", lambda folder: Made())
    facts, _ = scored(folder, tmp_path, talks(40))
    assert facts["split"] == "validation"
    assert 2 <= facts["counts"]["n"] <= 16
    named = {"messages": [TALK[0], {"role": "assistant", "content": "I am {{name}}."}]}
    _, (row,) = scored(folder, tmp_path, [named])
    assert row["reference"] == "I am Ban."


def test_two_models_are_compared_by_loss(folder: Path, tmp_path: Path) -> None:
    scored(folder, tmp_path, talks(12))
    other = compare(tmp_path / "scores", tmp_path / "scores")
    assert (other.decided_by, other.verdict) == ("loss", "not distinguishable")
    assert {"bits_per_byte", "exact_match"} <= set(other.differences)


def test_conversations_of_every_form_are_this_tasks_to_score() -> None:
    assert find_task("chat").scores_rows == (("messages",), ("conversations",), ("instruction", "output"))
