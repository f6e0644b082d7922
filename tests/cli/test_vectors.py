"""`luban train --task vectors`, `inspect neighbours` and `export`, from texts to another program's file."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.models.vectors import read_vectors
from luban.tokenizer.train import train_bpe
from luban.tokenizer.words import train_words

if TYPE_CHECKING:
    from tests.cli.conftest import Command

ANIMALS, COLOURS = ["cat", "dog", "cow", "hen"], ["red", "blue", "green", "pink"]
FAST = [
    f"train.{s}" for s in ("dim=8", "steps=60", "lr=0.05", "context=16", "batch_size=8", "subsample=0", "threads=1")
]  # fmt: skip


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    draw = random.Random(1)
    lines = [" ".join(draw.choices((ANIMALS, COLOURS)[i % 2], k=6)) for i in range(200)]
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(lines[:150]), encoding="utf-8")
    (folder / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines[150:]).encode()))
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of vectors in which animals point one way and colours another."""
    folder = tmp_path_factory.mktemp("cli") / "words"
    tokenizer = train_words([" ".join(ANIMALS + COLOURS)], "word")
    model = build_model(FAMILIES["word2vec"].config("tiny", vocab_size=tokenizer.vocab_size, dim=8))
    with torch.no_grad():
        for side, topic in enumerate((ANIMALS, COLOURS)):
            model.stem.tokens.weight[[tokenizer.token_id(word) for word in topic], side] += 1
    save_model(model, folder)
    tokenizer.save(folder)
    return folder


def test_texts_become_vectors_whose_neighbours_can_be_asked_for(command: Command, texts: Path) -> None:
    out = texts.parent / "words"
    sets = [word for s in FAST for word in ("--set", s)]
    answer = command("train", "--task", "vectors", "--data", texts, "--out", out, *sets)
    assert answer.code == 0, answer.err
    answer = command("inspect", "neighbours", "cat", "red", "--model", out, "-n", 3, "--json")
    first, second = (json.loads(line) for line in answer.out.splitlines())
    assert first["word"] == "cat"
    assert {row["word"] for row in first["neighbours"]} == {"dog", "cow", "hen"}
    assert {row["word"] for row in second["neighbours"]} == {"blue", "green", "pink"}
    cosines = [row["cosine"] for row in first["neighbours"]]
    assert cosines == sorted(cosines, reverse=True)


def test_training_says_what_it_learned_and_what_to_do_next(command: Command, texts: Path) -> None:
    sets = [word for s in FAST for word in ("--set", s)]
    a, b = sorted(texts.iterdir())
    out = texts.parent / "words"
    answer = command("train", "--task", "vectors", "--data", a, "--data", b, "--out", out, *sets)
    assert answer.code == 0, answer.err
    first, *_, last = answer.out.splitlines()
    assert first.startswith("nats per pair on held-out text: 4.15")
    assert last.startswith("luban inspect neighbours ")
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["inputs"]) == {"data", "data:2"}
    again = command("train", "--task", "vectors", "--data", a, "--data", b, "--out", out, *sets)
    assert again.out == answer.out  # reused, not trained again


def test_a_sum_of_words_is_one_question(command: Command, words: Path) -> None:
    answer = command("inspect", "neighbours", "cat", "--plus", "red", "--minus", "dog", "--model", words)
    assert answer.code == 0
    assert answer.out.splitlines()[0].split() == ["cat", "+", "red", "-", "dog", "cosine"]
    assert not {"cat", "red", "dog"} & {line.split()[0] for line in answer.out.splitlines()[2:]}


def test_an_unknown_word_is_the_users_mistake(command: Command, words: Path) -> None:
    answer = command("inspect", "neighbours", "gren", "--model", words)
    assert answer.code == 2
    assert answer.err.splitlines()[-2:] == [
        "error: 'gren' is not among the 8 words",
        "  fix: did you mean 'green'?",
    ]


@pytest.mark.parametrize("name", ["words.txt", "words.txt.gz"])
def test_vectors_are_exported_for_other_programs(
    command: Command, words: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    answer = command("export", words, "--to", "word2vec", "--out", path, "--json")
    assert json.loads(answer.out.splitlines()[-1]) == {
        "out": str(path), "to": "word2vec", "words": 8, "dim": 8,
    }  # fmt: skip
    assert sorted(read_vectors(path)[0]) == sorted(ANIMALS + COLOURS)
    asked = ("inspect", "neighbours", "pink", "--json", "--model")
    assert command(*asked, path).out == command(*asked, words).out


def test_the_vectors_of_any_model_can_be_asked_for(command: Command, tmp_path: Path) -> None:
    tokenizer = train_bpe(["the cat sat on a cat", "一只猫"] * 3, 300, template=False)
    model = build_model(FAMILIES["gpt2"].config("tiny", vocab_size=tokenizer.vocab_size, dim=16))
    save_model(model, tmp_path)
    tokenizer.save(tmp_path)
    answer = command("inspect", "neighbours", "cat", "--model", tmp_path, "-n", 2)
    assert answer.code == 0, answer.err
    assert command("export", tmp_path, "--to", "word2vec", "--out", tmp_path / "v.txt").code == 0
    words, _ = read_vectors(tmp_path / "v.txt")
    assert "cat" in words
    assert "<|pad|>" not in words


def test_what_a_task_does_not_take_is_refused(command: Command, texts: Path) -> None:
    base = ("train", "--task", "vectors", "--data", texts, "--out", texts.parent / "x")
    answer = command(*base, "--eval", texts)
    assert answer.code == 2
    assert "--task vectors takes no --eval" in answer.err
    answer = command("train", "--task", "bag", "--data", texts, "--data", texts, "--out", texts.parent / "x")
    assert answer.code == 2
    assert "--task bag takes one --data, not 2" in answer.err
