"""`luban inspect batch` prints the real batch and ends with 3 when a check says no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cli.conftest import Command

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from luban.data.batches import PackedWindows
from luban.data.documents import write_documents
from luban.data.settings import ShardSettings
from luban.data.shards import shard
from luban.log import Log
from luban.tokenizer import load_tokenizer
from luban.tokenizer.train import train_bpe

TEXTS = [f"{word} 今天天气很好 film number {i}" for i, word in enumerate(("cat", "dog", "fox") * 20)]
SMALL = ("--set", "train.context=16", "--set", "train.batch_size=4")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    train_bpe(TEXTS, 320, template=True).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def make_shards(tmp_path: Path, tokenizer: Path, tests: list[str], validation: Sequence[str] = ()) -> Path:
    row = {"source": "s", "licence": "l", "language": "zh"}
    texts = [(t, "train") for t in TEXTS] + [(t, "test") for t in tests]
    texts += [(t, "validation") for t in validation]
    (tmp_path / "documents").mkdir()
    (tmp_path / "shards").mkdir()
    rows = [{**row, "id": str(i), "text": t, "split": s} for i, (t, s) in enumerate(texts)]
    write_documents(tmp_path / "documents", rows)
    inputs = {"documents": tmp_path / "documents", "tokenizer": tokenizer}
    shard(ShardSettings(), inputs, tmp_path / "shards", Log(quiet=True))
    return tmp_path / "shards"


def make_rows(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = [json.dumps({"text": t, "label": label, "split": split}) for t, label, split in rows]
    path.write_text("\n".join(lines))
    return path


def sound_rows() -> list[tuple[str, str, str]]:
    splits = ["train"] * 50 + ["validation"] * 5 + ["test"] * 5
    return [
        (t, ("bad", "good")[i % 2], split) for i, (t, split) in enumerate(zip(TEXTS, splits, strict=True))
    ]


def summary(out: str) -> dict:
    return json.loads(out.splitlines()[-1])


def test_the_tokens_shown_are_the_ones_trained_on(tmp_path: Path, tokenizer: Path, command: Command) -> None:
    shards = make_shards(tmp_path, tokenizer, ["something else"])
    answer = command("inspect", "batch", shards, "--step", 7, "--row", 2, *SMALL, "--json")
    assert answer.code == 0
    lines = [json.loads(line) for line in answer.out.splitlines()]
    real = PackedWindows(shards / "train", context=16, batch_size=4, seed=1).at(7)[0]
    tokens = [line for line in lines if "position" in line]
    assert [t["id"] for t in tokens] == real.tokens[2].tolist()
    assert [t["document"] for t in tokens] == real.documents[2].tolist()
    assert lines[-1] == {"step": 7, "row": 2, "label": None, "passed": True, "failed": []}
    people = command("inspect", "batch", shards, "--step", 7, "--row", 2, *SMALL).out
    assert "step 7, row 2 of 4" in people
    assert "✓ documents do not attend to each other" in people
    assert "supervised" in people


def test_rows_are_counted_over_the_micro_batches_of_a_step(
    tmp_path: Path, tokenizer: Path, command: Command
) -> None:
    shards = make_shards(tmp_path, tokenizer, ["something else"])
    micro = (*SMALL, "--set", "train.n_micro_batches=2")
    answer = command("inspect", "batch", shards, "--row", 5, *micro, "--json")
    real = PackedWindows(shards / "train", context=16, batch_size=4, seed=1, n_micro_batches=2).at(1)[1]
    tokens = [json.loads(line) for line in answer.out.splitlines() if '"position"' in line]
    assert [t["id"] for t in tokens] == real.tokens[1].tolist()
    assert "step 1 has 8 rows" in command("inspect", "batch", shards, "--row", 8, *micro).err


def test_a_test_document_in_train_ends_with_three(tmp_path: Path, tokenizer: Path, command: Command) -> None:
    shards = make_shards(tmp_path, tokenizer, [TEXTS[4]])
    answer = command("inspect", "batch", shards, *SMALL)
    assert answer.code == 3
    assert "✗ no train document is in test" in answer.out
    assert "checks failed" in answer.err


def test_rows_are_shown_with_their_label(tmp_path: Path, tokenizer: Path, command: Command) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", sound_rows())
    answer = command("inspect", "batch", rows, "--tokenizer", tokenizer)
    assert answer.code == 0, answer.out
    assert "label 'good'" in answer.out or "label 'bad'" in answer.out
    assert "<|cls|>" in answer.out
    tokens = [
        json.loads(x)
        for x in command("inspect", "batch", rows, "--tokenizer", tokenizer, "--json").out.splitlines()
    ]
    assert tokens[0]["role"] == "special"


def test_only_the_rows_that_training_draws_are_looked_at(
    tmp_path: Path, tokenizer: Path, command: Command
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", sound_rows())
    few = ("inspect", "batch", rows, "--tokenizer", tokenizer, "--set", "train.train_rows=20")
    assert "of 20 texts" in command(*few).out


def test_test_rows_in_train_end_with_three(tmp_path: Path, tokenizer: Path, command: Command) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", [*sound_rows(), (TEXTS[57], "good", "train")])
    answer = command("inspect", "batch", rows, "--tokenizer", tokenizer, "--json")
    assert answer.code == 3
    assert summary(answer.out)["failed"] == ["the file has no train row in test"]


def test_texts_cut_away_end_with_three_and_cut_texts_warn(
    tmp_path: Path, tokenizer: Path, command: Command
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", sound_rows())
    arguments = ("inspect", "batch", rows, "--tokenizer", tokenizer)
    answer = command(*arguments, "--set", "train.max_len=4")
    assert answer.code == 0
    assert "! texts are whole" in answer.out
    answer = command(*arguments, "--set", "train.max_len=2", "--json")
    assert answer.code == 3
    assert summary(answer.out)["failed"] == ["every row has text"]


def test_mistakes_say_what_to_do(tmp_path: Path, tokenizer: Path, command: Command) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", sound_rows())
    for arguments, problem in (
        ((rows,), "add --tokenizer FOLDER or --model FOLDER"),
        ((tmp_path / "none",), "does not exist"),
        ((tokenizer,), "holds no batches"),
        ((rows, "--tokenizer", tokenizer, "--row", 999), "use 0 to"),
        ((rows, "--tokenizer", tokenizer, "--set", "train.max_length=9"), "did you mean max_len?"),
    ):
        answer = command("inspect", "batch", *arguments)
        assert answer.code == 2, answer
        assert problem in answer.err


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_what_training_hides_is_what_it_shows(
    tmp_path: Path, tokenizer: Path, command: Command, family: str
) -> None:
    shards = make_shards(
        tmp_path, tokenizer, ["something else"], ["held out 今天 number 3", "held out film 9"]
    )
    sizes = {"family": family, "dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32}
    sets = [f"train.model.{key}={value}" for key, value in sizes.items()]
    sets += [
        "train.steps=2",
        "train.context=16",
        "train.batch_size=4",
        "train.corruption.n_sentinels=5",
        "train.threads=1",
    ]
    options = [word for item in sets for word in ("--set", item)]
    trained = command("train", "--task", "pretrain", "--data", shards, "--out", tmp_path / "run", *options)
    assert trained.code == 0
    objective = {"bert": "masked", "t5": "span_corruption"}[family]
    assert f"hidden tokens restored on validation ({objective})" in trained.out
    assert "bits per byte" not in trained.out
    answer = command("inspect", "batch", tmp_path / "run", "--step", 2, "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    real = PackedWindows(shards / "train", context=16, batch_size=4, seed=1).at(2)[0].tokens[0].tolist()
    tokens = [line for line in lines if "position" in line]
    said = [t["target_id"] for t in tokens if t["supervised"]]
    if family == "bert":
        assert [t["target_id"] if t["supervised"] else t["id"] for t in tokens] == real
        assert len(said) == 2
    else:
        source = [t["id"] for t in tokens if t["role"] == "source"]
        n_known = load_tokenizer(tokenizer).vocab_size
        assert n_known + 4 in source  # the first sentinel is the last id
        assert {i for i in source + said if i < n_known} >= set(real)
    refused = command("inspect", "batch", shards, "--set", f"train.objective={objective}", *SMALL)
    assert refused.code == 2
    assert "hides depends on the model" in refused.err
