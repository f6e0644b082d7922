"""The commands around shards: verify them, train on several, and ask what a step saw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from luban.data.documents import write_documents
from luban.tokenizer.train import train_bpe

Command = Callable[..., Any]
TEXTS = [f"story {i}: the cat {i * 7} met the dog. 第{i}天，老猫看见小狗{i * 3}。" for i in range(30)]
TRAIN = ("model={family: llama, dim: 32, n_layers: 1, n_heads: 2, n_kv_heads: 1, max_len: 64}", "context=16",
         "batch_size=4", "steps=2", "threads=1", "device=cpu")  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path, command: Command) -> list[Path]:
    train_bpe(TEXTS, 300, template=False).save(tmp_path / "tokenizer")
    made = []
    for name, texts in (("web", TEXTS), ("书", TEXTS[::-1])):
        (tmp_path / f"{name}-documents").mkdir()
        rows = [
            {"id": f"{name} {i}", "text": text, "source": name, "licence": "CC0", "language": "en",
             "split": "train" if i % 4 else "validation"}
            for i, text in enumerate(texts)
        ]  # fmt: skip
        write_documents(tmp_path / f"{name}-documents", rows)
        made.append(tmp_path / name)
        given = ("--tokenizer", tmp_path / "tokenizer", "--out", made[-1], "--json")
        assert command("data", "shard", tmp_path / f"{name}-documents", *given).code == 0
    return made


def test_train_on_a_mixture_and_ask_what_a_step_saw(
    folders: list[Path], tmp_path: Path, command: Command
) -> None:
    sets = [f"--set=train.{s}" for s in (*TRAIN, "mixture.weights={web: 1, 书: 3}")]
    data = [part for folder in folders for part in ("--data", folder)]
    answer = command("train", "--task", "pretrain", *data, "--out", tmp_path / "run", *sets, "--json")
    assert answer.code == 0, answer.err
    answer = command("why", tmp_path / "run", "--step", "2", "--json")
    assert answer.code == 0, answer.err
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert sorted(line["part"] for line in lines) == ["web", "书", "书", "书"]
    for line in lines:
        assert all(p["source"] == line["part"] and p["text"] in TEXTS for p in line["pieces"])
    answer = command("why", tmp_path / "run", "--step", "3")
    assert answer.code == 2
    assert "has the steps 1 to 2" in answer.err
    answer = command("inspect", "batch", tmp_path / "run", "--step", "2", "--json")
    assert json.loads(answer.out.splitlines()[-1])["step"] == 2


def test_a_weight_for_no_part_is_refused_with_the_names(
    folders: list[Path], tmp_path: Path, command: Command
) -> None:
    sets = [f"--set=train.{s}" for s in (*TRAIN, "mixture.weights={wob: 1}")]
    answer = command("train", "--task", "pretrain", "--data", folders[0], "--out", tmp_path / "run", *sets)
    assert answer.code == 2
    assert "no part is named 'wob'" in answer.err
    assert "did you mean web?" in answer.err


def test_shards_are_verified_on_demand(folders: list[Path], command: Command) -> None:
    answer = command("data", "describe", folders[0], "--verify", "--json")
    assert answer.code == 0, answer.err
    assert set(json.loads(answer.out.splitlines()[-1])["verified"]) == {"train", "validation"}
    path = folders[0] / "train.bin"
    data = bytearray(path.read_bytes())
    data[10] ^= 4
    path.write_bytes(data)
    assert command("data", "describe", folders[0]).code == 0  # its size is as it was
    answer = command("data", "describe", folders[0], "--verify")
    assert answer.code == 2
    assert "train.bin is not what was written" in answer.err
