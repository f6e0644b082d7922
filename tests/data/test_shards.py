"""Shards hold every document's tokens, whole and in order, and say what they hold."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from luban.data import shards
from luban.data.settings import ShardSettings
from luban.data.shards import ShardWriter, open_shard, shard
from luban.errors import CheckpointError, DataError
from luban.files import read_json
from luban.log import Log
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_bpe

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from luban.data.documents import write_documents

TEXTS = [f"text number {i}: 今天天气很好 <|endoftext|> end" for i in range(23)]
QUIET = Log(quiet=True)


def rows(n_test: int = 3) -> list[dict]:
    common = {"source": "s", "licence": "l"}
    return [
        {"id": f"d{i}", "text": text, "language": "zh" if i % 2 else "en", **common,
         "split": "test" if i < n_test else "train"}
        for i, text in enumerate(TEXTS)
    ]  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "documents").mkdir()
    write_documents(tmp_path / "documents", rows())
    train_bpe(TEXTS, 300, template=True).save(tmp_path / "tokenizer")
    return {"documents": tmp_path / "documents", "tokenizer": tmp_path / "tokenizer"}


def run(inputs: dict[str, Path], out: Path) -> dict:
    out.mkdir()
    return shard(ShardSettings(), inputs, out, QUIET)


def texts_of(prefix: Path, tokenizer: Tokenizer) -> list[str]:
    found = open_shard(prefix)
    ends = found.tokens[found.offsets[1:] - 1]
    assert set(ends.tolist()) == {tokenizer.eos_id}
    assert (found.tokens == tokenizer.eos_id).sum() == len(ends)  # an end token written in a text is text
    bounds = zip(found.offsets[:-1], found.offsets[1:] - 1, strict=True)
    return [tokenizer.decode(found.tokens[a:b].tolist()) for a, b in bounds]


def test_every_text_comes_back_from_its_split(inputs: dict[str, Path], tmp_path: Path) -> None:
    facts = run(inputs, tmp_path / "out")
    tokenizer = load_tokenizer(tmp_path / "out" / "tokenizer")
    assert texts_of(tmp_path / "out" / "test", tokenizer) == TEXTS[:3]
    assert texts_of(tmp_path / "out" / "train", tokenizer) == TEXTS[3:]
    assert open_shard(tmp_path / "out" / "test").document_ids() == ["d0", "d1", "d2"]
    assert facts["tokenizer"] == load_tokenizer(inputs["tokenizer"]).hash


def test_facts_and_summary_agree_with_the_files(inputs: dict[str, Path], tmp_path: Path) -> None:
    facts = run(inputs, tmp_path / "out")
    summary = read_json(tmp_path / "out" / "train.json")
    data = (tmp_path / "out" / "train.bin").read_bytes()
    assert summary["sha256"] == hashlib.sha256(data).hexdigest()
    assert (summary["dtype"], summary["n_tokens"]) == ("uint16", len(data) // 2)
    assert summary["vocab_size"] == load_tokenizer(inputs["tokenizer"]).vocab_size == facts["vocab_size"]
    assert facts["splits"]["train"] == {
        "tokens": summary["n_tokens"], "documents": 20, "bytes": sum(len(t.encode()) for t in TEXTS[3:]),
    }  # fmt: skip
    for key in ("tokens", "documents", "bytes"):
        assert facts["counts"][key] == sum(s[key] for s in facts["splits"].values())
    mean = sum(len(t.encode()) for t in TEXTS) / (facts["counts"]["tokens"] - 23)
    assert min(facts["bytes_per_token"].values()) <= mean <= max(facts["bytes_per_token"].values())


def test_small_groups_write_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "one")
    monkeypatch.setattr(shards, "BATCH_CHARS", 50)
    run(inputs, tmp_path / "many")
    for name in ("train.bin", "train.offsets.npy", "test.bin", "train.ids.txt", "train.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path: Path) -> None:
    for vocab_size, dtype in ((65_536, "uint16"), (65_537, "uint32")):
        with ShardWriter(tmp_path, dtype, vocab_size) as writer:
            writer.add("a", [1, vocab_size - 1], 2)
        np.save(tmp_path / shards.TOKEN_BYTES, np.zeros(vocab_size))
        assert read_json(tmp_path / f"{dtype}.json")["dtype"] == dtype
        assert open_shard(tmp_path / dtype).tokens.tolist() == [1, vocab_size - 1]


def test_token_bytes_add_up_to_the_text(inputs: dict[str, Path], tmp_path: Path) -> None:
    run(inputs, tmp_path / "out")
    found = open_shard(tmp_path / "out" / "train")
    assert found.token_bytes[found.tokens].sum() == found.n_bytes


def test_documents_without_a_split_all_train(inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "unsplit").mkdir()
    write_documents(tmp_path / "unsplit", [{k: v for k, v in r.items() if k != "split"} for r in rows()])
    facts = run({**inputs, "documents": tmp_path / "unsplit"}, tmp_path / "out")
    assert {k: v["documents"] for k, v in facts["splits"].items()} == {"train": 23}


def test_too_few_documents_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    write_documents(inputs["documents"], rows(n_test=23))
    with pytest.raises(DataError, match=r"has 0 training documents; shard.min_documents asks for 1"):
        run(inputs, tmp_path / "out")


def test_a_tokenizer_without_an_end_token_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (inputs["tokenizer"] / name).write_text("{}")
    with pytest.raises(CheckpointError, match="has no end token"):
        run(inputs, tmp_path / "out")


def test_a_missing_split_and_a_cut_file_are_named(inputs: dict[str, Path], tmp_path: Path) -> None:
    run(inputs, tmp_path / "out")
    with pytest.raises(DataError, match=r"has no validation split .*\n  fix: use one of: test, train"):
        open_shard(tmp_path / "out" / "validation")
    data = (tmp_path / "out" / "train.bin").read_bytes()
    (tmp_path / "out" / "train.bin").write_bytes(data[:-2])
    with pytest.raises(DataError, match=r"train.bin has \d+ bytes, train.json says \d+"):
        open_shard(tmp_path / "out" / "train")


def test_numbers_and_origins_of_documents_are_kept(inputs: dict[str, Path], tmp_path: Path) -> None:
    scored = [{**row, "quality": i / 7, "source": f"s{i % 3}"} for i, row in enumerate(rows())]
    write_documents(inputs["documents"], scored)
    (tmp_path / "out").mkdir()
    shard(ShardSettings(columns=("quality",)), inputs, tmp_path / "out", QUIET)
    found = open_shard(tmp_path / "out" / "train")
    assert found.column("quality").tolist() == [i / 7 for i in range(3, 23)]
    assert [scored[row]["id"] for row, _ in found.rows()] == found.document_ids()
    origins = found.origins()
    assert [origins[line][0] for _, line in found.rows()] == [row["source"] for row in scored[3:]]
    with pytest.raises(DataError, match=r"document d0 has source = 's0', which is no number"):
        shard(ShardSettings(columns=("source",)), inputs, tmp_path / "out", QUIET)


def test_an_error_in_reading_documents_ends_the_stage_with_nothing_written(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path):
        yield rows()[5]
        raise DataError("the folder is broken", fix="none")

    monkeypatch.setattr(shards, "read_documents", broken)
    monkeypatch.setattr(shards, "BATCH_CHARS", 1)
    with pytest.raises(DataError, match="the folder is broken"):
        run(inputs, tmp_path / "out")
    assert not (tmp_path / "out" / "train.json").exists()
