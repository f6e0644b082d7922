"""`luban tokenizer` trains a folder and shows a text's tokens as a person reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Command

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from luban.cli.tokenizer import visible
from luban.data.documents import write_documents
from luban.tokenizer.train import train_bpe

TEXT = "今天天气很好 and all is fine "


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    row = {"source": "s", "licence": "l", "language": "zh", "split": "train"}
    (tmp_path / "documents").mkdir()
    write_documents(tmp_path / "documents", [{**row, "id": str(i), "text": f"{TEXT}{i}"} for i in range(9)])
    return tmp_path / "documents"


def test_train_writes_a_folder_and_reports_bytes_per_token(
    documents: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "tokenizer"
    arguments = ("tokenizer", "train", documents, "--out", out, "--set", "tokenizer.vocab_size=280", "--json")
    last = json.loads(command(*arguments).out.splitlines()[-1])
    assert (last["status"], last["counts"]["vocab_size"]) == ("run", 280)
    assert last["bytes_per_token"]["zh"] > 1
    assert (out / "tokenizer.json").is_file()
    assert json.loads(command(*arguments).out.splitlines()[-1])["status"] == "reused"
    assert "bytes per token" in command(*arguments[:-1]).out


def test_a_misspelt_setting_names_the_right_one(documents: Path, tmp_path: Path, command: Command) -> None:
    answer = command("tokenizer", "train", documents, "--out", tmp_path / "t", "--set", "tokenizer.vocab=9")
    assert answer.code == 2
    assert "vocab_size" in answer.err


def test_show_prints_text_pieces_not_the_byte_alphabet(tmp_path: Path, command: Command) -> None:
    tokenizer = train_bpe([TEXT] * 5, 320, template=True)
    tokenizer.save(tmp_path)
    answer = command("tokenizer", "show", tmp_path, "今天 fine 龘 [x] <|cls|>", "--special")
    assert answer.code == 0
    for shown in ("今", "␣fine", "\\xbe", "<|cls|>", "bytes a token"):
        assert shown in answer.out
    data = json.loads(command("tokenizer", "show", tmp_path, "今天 fine", "--json").out)
    assert data["ids"] == tokenizer.encode("今天 fine")
    assert "".join(data["pieces"]) == "今天 fine"


def test_spaces_can_be_seen() -> None:
    assert visible(" a\n\t") == "␣a⏎⇥"


def test_a_folder_without_a_tokenizer_is_a_users_mistake(tmp_path: Path, command: Command) -> None:
    answer = command("tokenizer", "show", tmp_path, "x")
    assert answer.code == 2
    assert "has no tokenizer.json" in answer.err
