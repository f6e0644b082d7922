import json
from pathlib import Path

import pytest

from luban.data.describe import describe_folder
from luban.data.documents import write_documents
from luban.data.settings import ShardSettings
from luban.data.shards import shard
from luban.errors import DataError
from luban.log import Log
from luban.tokenizer.train import train_bpe
from tests.data.shard_folders import write_folder

TEXTS = ("The keeper wrote the weather in a ledger.", "灯塔看守人把天气写进了账本。")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"id": f"d{i}", "text": f"{TEXTS[i % 2]} {i}", "source": f"{i % 2}.txt", "licence": "MIT",
         "language": ("en", "zh")[i % 2], "split": "test" if i == 9 else "train"}
        for i in range(30)
    ]  # fmt: skip
    write_documents(tmp_path, rows)
    return tmp_path


def test_documents_that_no_stage_wrote_are_described_and_the_facts_are_json(folder: Path) -> None:
    facts = describe_folder(folder, samples=2)
    assert facts["lengths"]["shortest"] == 16
    assert facts["lengths"]["longest"] == 44
    assert facts["census"]["tables"]["split"]["train"]["documents"] == 29
    assert [len(kept) for kept in facts["census"]["samples"].values()] == [2, 2]
    assert json.loads(json.dumps(facts)) == facts


def test_shards_are_described_by_their_tokens(folder: Path) -> None:
    tokenizer = folder / "tokenizer"
    train_bpe(list(TEXTS), 300, template=True).save(tokenizer)
    out = folder / "shards"
    out.mkdir()
    made = shard(
        ShardSettings(min_documents=1), {"documents": folder, "tokenizer": tokenizer}, out, Log(quiet=True)
    )
    (out / "manifest.json").write_text(
        json.dumps(dict.fromkeys(("name", "key", "started"), "x")
                   | {"stage": "shard", "settings": {}, "inputs": {}, "facts": made, "files": {}, "seconds": 1})
    )  # fmt: skip
    facts = describe_folder(out, samples=1)
    found = facts["shards"]
    assert sum(v["tokens"] for v in found["tables"]["language"].values()) == facts["counts"]["tokens"]
    assert found["tables"]["source"]["1.txt"]["documents"] == 15
    assert found["lengths"]["train"]["n"] == 29
    assert found["samples"]["test"][0]["text"] == f"{TEXTS[1]} 9"
    assert 0 < found["vocabulary"]["half"] < found["vocabulary"]["used"] <= found["vocabulary"]["size"]
    top = found["vocabulary"]["top"]
    assert top == sorted(top, key=lambda pair: -pair[1])
    assert found["problem"] == ""


def test_shards_with_a_broken_tokenizer_are_described_without_texts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", 20)
    (folder / "manifest.json").write_text(
        json.dumps(dict.fromkeys(("name", "key", "started"), "x")
                   | {"stage": "shard", "settings": {}, "inputs": {}, "facts": {}, "files": {}, "seconds": 1})
    )  # fmt: skip
    found = describe_folder(folder)["shards"]
    assert found["problem"].startswith("no texts are shown: ")
    assert found["samples"] == {}
    assert found["lengths"]["train"]["n"] == 20


def test_an_empty_folder_of_documents_is_described_and_another_folder_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was not written by a stage"):
        describe_folder(tmp_path)
    write_documents(tmp_path, [])
    facts = describe_folder(tmp_path)
    assert facts["census"]["documents"] == 0
    assert facts["lengths"] == {}
