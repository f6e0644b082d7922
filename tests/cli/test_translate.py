"""luban translate: a line for each line, from a file, standard input or the command line."""

import json

import pytest
from typer.testing import CliRunner

from luban.cli.main import build_app
from luban.errors import DataError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.tokenizer.train import train_joint_bpe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained translator: what it says does not matter here."""
    out = tmp_path_factory.mktemp("model")
    tokenizer = train_joint_bpe(["Tom came.", "汤姆来了。"] * 3, 270)
    config = FAMILIES["original"].config(
        "tiny", vocab_size=tokenizer.vocab_size, dim=8, n_layers=1, n_heads=2, ffn_dim=8, max_len=16,
        pad_id=tokenizer.pad_id, eos_id=tokenizer.eos_id, start_id=tokenizer.pad_id,
    )  # fmt: skip
    save_model(build_model(config, seed=1), out)
    tokenizer.save(out)
    return out


def ask(folder, *more, stdin=None):
    args = ["translate", str(folder), *map(str, more)]
    found = CliRunner().invoke(build_app(("translate", "doctor")), args, input=stdin)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


def test_a_file_gives_a_line_for_each_line_and_blank_ones_stay(folder, tmp_path):
    lines = ["Tom came.", "", "汤姆来了。" * 5, "x" * 60, "  "]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", "utf-8")
    assert ask(folder, tmp_path / "in.txt", "--out", tmp_path / "out.txt", "--beam", "2") == ""
    written = (tmp_path / "out.txt").read_text("utf-8").split("\n")
    assert len(written) == len(lines) + 1
    assert (written[1], written[4]) == ("", "")


def test_standard_input_and_texts_give_what_a_file_gives(folder):
    one = ask(folder, "--text", "Tom came.", "--beam", "1")
    assert ask(folder, "-", "--beam", "1", stdin="Tom came.\n") == one
    row = json.loads(ask(folder, "--text", "Tom came.", "--json", "--beam", "2"))
    assert row["source"] == "Tom came."
    assert set(row) == {"source", "translation", "score", "n_pieces"}


def test_nothing_and_missing_files_and_binary_ones_are_said(folder, tmp_path):
    with pytest.raises(DataError, match="nothing to translate"):
        ask(folder)
    with pytest.raises(DataError, match="does not exist"):
        ask(folder, tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(DataError, match="cannot be read"):
        ask(folder, tmp_path / "binary")
