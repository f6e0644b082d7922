"""Texts become word vectors, and words that keep the same company become neighbours."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.data.contexts import WordRows
from luban.errors import ConfigError, DataError, Interrupted
from luban.files import write_jsonl
from luban.log import Log
from luban.models.config import NoTrunkConfig
from luban.models.load import load_model
from luban.models.neighbours import neighbours
from luban.models.vectors import write_vectors
from luban.records import Batch
from luban.tasks.classify import classify
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.model_settings import ModelSettings
from luban.tasks.settings import VectorsSettings
from luban.tasks.vectors import vectors
from luban.tasks.word_vectors import token_words, word_vectors
from luban.tokenizer import load_tokenizer

QUIET = Log(quiet=True)
TOPICS = {
    "en": (["cat", "dog", "cow", "hen", "pig", "fox"], ["red", "blue", "green", "pink", "grey", "gold"]),
    "zh": (list("猫狗牛鸡猪狐"), list("红蓝绿粉灰金")),
}


def texts(language: str, n: int = 300) -> list[str]:
    draw = random.Random(1)
    joined = " " if language == "en" else ""
    common = ["the", "is"] if language == "en" else ["的", "是"]
    return [joined.join(draw.choices([*TOPICS[language][i % 2], *common], k=8)) for i in range(n)]


def settings(**changes: Any) -> VectorsSettings:
    usual = {
        "dim": 16, "window": 3, "context": 16, "batch_size": 16, "steps": 120, "lr": 0.05, "threads": 1,
        "device": "cpu", "subsample": 0,
    }  # fmt: skip
    return VectorsSettings(**(usual | changes))


def run(folder: Path, lines: list[str], **changes: Any) -> tuple[dict[str, Any], Path]:
    data, out = folder / "texts.txt", folder / "words"
    data.write_text("\n".join(lines), encoding="utf-8")
    out.mkdir(exist_ok=True)
    return vectors(settings(**changes), {"data": data}, out, QUIET), out


@pytest.fixture(scope="module", params=["en", "zh"])
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("vectors")
    return request.param, *run(folder, texts(request.param))


def test_neighbours_stay_within_their_topic(learned: Any) -> None:
    language, facts, out = learned
    words, matrix = word_vectors(out)
    for topic in TOPICS[language]:
        for word in topic:
            near = {w for w, _ in neighbours(words, matrix, [word], n=5)}
            assert near == set(topic) - {word}
    assert facts["best"]["loss"] < facts["first"]["loss"]


def test_the_folder_is_a_model_with_its_tokenizer(learned: Any) -> None:
    language, facts, out = learned
    model, tokenizer = load_model(out), load_tokenizer(out)
    assert isinstance(model.config.trunk, NoTrunkConfig)
    assert model.config.vocab_size == tokenizer.vocab_size == facts["counts"]["vocab_size"] + 2 == 16
    assert not torch.equal(model.head.weight, model.stem.tokens.weight)
    ids = torch.tensor([tokenizer.encode(texts(language)[0])])
    assert torch.equal(model.hidden(ids)[0], model.stem.tokens.weight[ids[0]])
    words, matrix = word_vectors(out)
    assert words == [tokenizer.token(i) for i in range(2, 16)]
    assert torch.equal(matrix, model.stem.tokens.weight[2:])
    assert token_words(tokenizer) == ["", "", *words]


def test_the_facts_count_words_and_show_neighbours(learned: Any) -> None:
    _, facts, _ = learned
    assert facts["counts"]["words"] == 2400
    assert facts["counts"]["steps"] == 120
    assert facts["first"]["loss"] == pytest.approx(6 * 0.693147, rel=1e-3)
    assert {s["step"] for s in facts["samples"]} >= {0, 120}
    json.dumps(facts, allow_nan=False)


def test_a_run_that_was_stopped_ends_with_the_same_weights(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    language, facts, out = learned
    whole = WordRows.at

    def interrupted(self: WordRows, step: int) -> list[Batch]:
        if step == 50:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(WordRows, "at", interrupted)
        with pytest.raises(Interrupted, match=r"stopped after step \d+ of 120, saved"):
            run(tmp_path, texts(language))
    again, resumed = run(tmp_path, texts(language))
    assert again["best"] == facts["best"]
    assert (resumed / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_chinese_in_words_is_learned_in_words(tmp_path: Path) -> None:
    draw = random.Random(1)
    lines = [" ".join(draw.choices(["北京", "上海", "爱", "去"], k=6)) for _ in range(40)]
    _, out = run(tmp_path, lines, steps=2)
    assert sorted(word_vectors(out)[0]) == sorted(["北京", "上海", "爱", "去"])
    shutil.rmtree(out)
    _, out = run(tmp_path, lines, steps=2, unit="character")
    assert "北" in word_vectors(out)[0]


def test_several_files_and_rows_are_read_together_and_faults_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cat dog\n" * 20)
    write_jsonl(tmp_path / "b.jsonl", [*({"text": "cow hen"} for _ in range(20)), {"text": 3}])
    out = tmp_path / "words"
    out.mkdir()
    inputs = {"data": tmp_path / "a.txt", "data:2": tmp_path / "b.jsonl"}
    facts = vectors(settings(steps=2), inputs, out, QUIET)
    assert facts["counts"]["vocab_size"] == 4
    assert facts["rejects"] == 1


def test_left_alone_it_takes_enough_steps_for_few_words() -> None:
    from luban.tasks.vectors import EPOCHS, MIN_STEPS, _plan

    assert _plan(VectorsSettings(), per_epoch=2).steps == MIN_STEPS
    assert _plan(VectorsSettings(), per_epoch=1000).steps == EPOCHS * 1000
    assert _plan(VectorsSettings(epochs=3), per_epoch=2).steps == 6
    with pytest.raises(ConfigError, match="contradict each other"):
        VectorsSettings(epochs=3, steps=5)


@pytest.mark.parametrize("text", ["", "one two three", "a b " * 50])
def test_too_little_text_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="words that occur min_count = 5 times are too few"):
        run(tmp_path, [text])


def rows_for(folder: Path) -> Path:
    animals, colours = TOPICS["en"]
    rows = [
        {"text": f"the {word} is", "label": label, "split": split}
        for label, topic in (("animal", animals), ("colour", colours))
        for words, split in ((topic[:3], "train"), (topic[3:4], "validation"), (topic[4:], "test"))
        for word in words
    ]
    write_jsonl(folder / "rows.jsonl", rows)
    return folder / "rows.jsonl"


def tune(folder: Path, known: Path, log: Log = QUIET, **changes: Any) -> tuple[dict[str, Any], Path]:
    out = folder / "tuned"
    out.mkdir()
    usual = {
        "model": ModelSettings(family="word2vec", size="tiny"), "steps": 40, "lr": 0.05, "threads": 1,
        "device": "cpu", "freeze": ("stem.*",),
    }  # fmt: skip
    inputs = {"data": rows_for(folder), "vectors": known}
    return classify(ClassifySettings(**(usual | changes)), inputs, out, log), out


def test_a_classifier_that_starts_from_vectors_knows_words_it_never_saw(learned: Any, tmp_path: Path) -> None:
    language, _, known = learned
    if language != "en":
        pytest.skip("the rows are English")
    facts, out = tune(tmp_path, known)
    assert facts["best"]["accuracy"] == 1  # the words of the validation rows are in no training row
    model = load_model(out)
    assert model.config.head.pool == "mean"
    assert torch.equal(model.stem.tokens.weight, load_model(known).stem.tokens.weight)


def test_a_file_of_vectors_gives_the_words_of_the_rows_theirs(learned: Any, tmp_path: Path) -> None:
    language, _, known = learned
    if language != "en":
        pytest.skip("the rows are English")
    words, matrix = word_vectors(known)
    keep = [i for i, word in enumerate(words) if word != "is"]
    write_vectors([words[i] for i in keep], matrix[keep], tmp_path / "v.txt.gz")
    heard: list[str] = []

    class Heard(Log):
        def say(self, text: str, **fields: object) -> None:
            heard.append(text)

    _, out = tune(tmp_path, tmp_path / "v.txt.gz", Heard())
    model, tokenizer = load_model(out), load_tokenizer(out)
    for word in ("cat", "red", "the"):
        assert torch.equal(model.stem.tokens.weight[tokenizer.token_id(word)], matrix[words.index(word)])
    assert "vectors: 7 of 10 tokens found, 3 keep their own" in heard


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    write_vectors(["the", "cat"], torch.zeros(2, 5), tmp_path / "v.txt")
    with pytest.raises(ConfigError) as error:
        tune(tmp_path, tmp_path / "v.txt", model=ModelSettings(family="word2vec", size="tiny", dim=8))
    assert error.value.problem == "the vectors are 5 wide, the model's tokens 8"
    assert error.value.fix == "set model.dim to 5, or take vectors of width 8"


def test_vectors_of_other_words_are_refused(tmp_path: Path) -> None:
    write_vectors(["чай", "дом"], torch.zeros(2, 4), tmp_path / "v.txt")
    with pytest.raises(DataError, match="none of the model's .* tokens"):
        tune(tmp_path, tmp_path / "v.txt")
