"""From a training step back to the documents in it, through the whole chain of stages."""

import json
import shutil
from pathlib import Path

import pytest

from luban.config import Tree
from luban.errors import ConfigError, DataError
from luban.files import write_jsonl
from luban.log import Log
from luban.recipe import build_recipe
from luban.runner import run_recipe
from luban.tasks.provenance import Sample, samples_of
from tests.tasks.test_classify import rows

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from luban.data.documents import read_documents

QUIET = Log(quiet=True)
MODEL = {"family": "llama", "dim": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "max_len": 64}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provenance")
    raw = folder / "raw"
    raw.mkdir()
    for i in range(24):
        english = (
            f"Story {i}: the old cat number {i * 7} sat on the mat, and the dog {i * 3} went away at noon.\n"
        )
        chinese = (
            f"第{i}个故事：老猫{i * 7}坐在垫子上，小狗{i * 3}中午就走了，然后大家一起回家吃晚饭看月亮。\n"
        )
        (raw / f"en-{i}.txt").write_text(english * 1 + f"It was the {i * 11}th day of that long summer.")
        (raw / f"zh-{i}.txt").write_text(chinese)
    train = {"use": "pretrain", "model": MODEL, "context": 24, "batch_size": 3, "n_micro_batches": 2, "steps": 3,
             "threads": 1, "device": "cpu"}  # fmt: skip
    mixture = {"by": "language", "weights": {"en": 1, "zh": 1}}
    stages = {
        "clean": {"use": "clean", "from": {"raw": str(raw)}, "licence": "CC0-1.0"},
        "split": {"use": "split", "from": {"documents": "clean"}, "validation": 0.2, "test": 0.0},
        "tokenizer": {"use": "tokenizer", "from": {"documents": "split"}, "vocab_size": 300},
        "shard": {"use": "shard", "from": {"documents": "split", "tokenizer": "tokenizer"}},
        "plain": {**train, "from": {"shards": "shard"}},
        "mixed": {**train, "from": {"shards": "shard"}, "mixture": mixture},
    }
    run_recipe(build_recipe("chain", folder / "out", Tree({"stages": stages}).branch("stages")), QUIET)
    return folder / "out"


@pytest.mark.parametrize("run", ["plain", "mixed"])
@pytest.mark.parametrize("step", [1, 3])
def test_each_sample_names_its_documents_and_how_they_begin(out: Path, run: str, step: int) -> None:
    samples = samples_of(out / run, step)
    assert [(s.micro_batch, s.row) for s in samples] == [(n, row) for n in range(2) for row in range(3)]
    documents = {row["id"]: row for row in read_documents(out / "split")}
    for sample in samples:
        assert sum(last - first for first, last in (p.tokens for p in sample.pieces)) in (24, 25)
        assert sample.part in (("",) if run == "plain" else ("en", "zh"))
        for piece in sample.pieces:
            row = documents[piece.id]
            assert (piece.source, piece.licence, piece.language) == (
                row["source"],
                "CC0-1.0",
                row["language"],
            )
            assert piece.text == row["text"][:200]
            assert sample.part in ("", piece.language)
        first = sample.pieces[0]
        if first.tokens[0] == 0:
            assert sample.reads.startswith(documents[first.id]["text"][:5])


def test_a_mixture_gives_each_part_its_share_of_the_samples(out: Path) -> None:
    parts = [s.part for step in (1, 2, 3) for s in samples_of(out / "mixed", step, texts=False)]
    assert abs(parts.count("en") - parts.count("zh")) <= 1


def test_without_the_documents_folder_the_rest_is_still_known(out: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(out / "split", moved)
    try:
        [first, *_] = samples_of(out / "plain", 1)
    finally:
        shutil.move(moved, out / "split")
    assert first.pieces[0].text is None
    assert first.pieces[0].licence == "CC0-1.0"
    assert first.reads


def test_shards_that_changed_since_are_refused(out: Path) -> None:
    path = out / "shard" / "train.ids.txt"
    data = path.read_bytes()
    path.write_bytes(data + b"more\n")
    try:
        with pytest.raises(DataError, match="is not as its manifest.json says"):
            samples_of(out / "plain", 1)
    finally:
        path.write_bytes(data)


def test_steps_that_never_were_and_folders_without_steps_are_refused(out: Path) -> None:
    with pytest.raises(ConfigError, match="--step 4: .* has the steps 1 to 3"):
        samples_of(out / "plain", 4)
    with pytest.raises(DataError, match="made by the stage shard"):
        samples_of(out / "shard", 1)
    with pytest.raises(DataError, match="no finished run"):
        samples_of(out, 1)


def test_the_command_prints_documents_and_json(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from luban.cli.why_step import print_step

    print_step(out / "mixed", 2, as_json=False)
    printed = capsys.readouterr().out
    assert "micro-batch 1, row 2" in printed
    assert "CC0-1.0, zh" in printed
    assert "老猫" in printed
    print_step(out / "mixed", 2, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 6
    assert {p["language"] for line in lines for p in line["pieces"]} == {"en", "zh"}


def test_rows_of_a_classifier_are_shown_as_the_model_reads_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows())
    settings = {
        "model": {"family": "recurrent", "dim": 16},
        "vocab_size": 300,
        "steps": 3,
        "threads": 1,
        "device": "cpu",
    }
    stages = {"train": {"use": "classify", "from": {"data": str(tmp_path / "rows.jsonl")}, **settings}}
    run_recipe(build_recipe("rows", tmp_path / "out", Tree({"stages": stages}).branch("stages")), QUIET)
    samples = samples_of(tmp_path / "out" / "train", 2)
    texts = {" ".join(row["text"].split()) for row in rows()}
    assert samples
    assert all(isinstance(s, Sample) and len(s.ids) == 1 for s in samples)
    assert any(
        " ".join(s.reads.split()) in texts or any(t.startswith(s.reads[:8]) for t in texts) for s in samples
    )
