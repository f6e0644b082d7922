"""What a completer reads of both sides, and that it answers rows."""

from __future__ import annotations

import pytest

from luban.errors import CheckpointError, DataError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.tasks.code_complete import load_completer, open_completer
from luban.tasks.infill import find_marks, with_marks
from luban.tokenizer.train import train_bpe

SOURCE = ["def add(a, b):\n    return a + b\n# 求和\n"] * 20


def save(folder, *, marks: bool, family: str = "llama"):
    tokenizer = train_bpe(SOURCE, 300, template=False)
    tokenizer = with_marks(tokenizer) if marks else tokenizer
    shape = {"dim": 16, "n_layers": 1, "n_heads": 2, "ffn_dim": 32, "max_len": 64}
    more = {"n_kv_heads": 2} if family == "llama" else {}
    save_model(
        build_model(FAMILIES[family].config("tiny", vocab_size=tokenizer.vocab_size, **shape, **more)), folder
    )
    tokenizer.save(folder)
    return tokenizer


def test_both_sides_are_read_between_marks_in_either_order(tmp_path) -> None:
    tokenizer = save(tmp_path, marks=True)
    pre, suf, mid = find_marks(tokenizer)
    before, after = tokenizer.encode("def f("), tokenizer.encode("):\n")
    assert load_completer(tmp_path).ids("def f(", "):\n", 40) == [pre, *before, suf, *after, mid]
    assert load_completer(tmp_path, "spm").ids("def f(", "):\n", 40) == [pre, suf, *after, mid, *before]
    assert load_completer(tmp_path).ids("def f(", "", 40) == before


def test_of_long_sides_what_is_nearest_is_read(tmp_path) -> None:
    tokenizer = save(tmp_path, marks=True)
    pre, suf, mid = find_marks(tokenizer)
    before, after = tokenizer.encode("x = 1\n" * 50), tokenizer.encode("y = 2\n" * 50)
    ids = load_completer(tmp_path).ids("x = 1\n" * 50, "y = 2\n" * 50, 40)
    assert ids == [pre, *before[-30:], suf, *after[:10], mid]
    assert len(load_completer(tmp_path).ids("x", "y = 2\n" * 50, 40)) == 43


def test_a_model_without_marks_reads_what_stands_before(tmp_path) -> None:
    tokenizer = save(tmp_path, marks=False)
    assert load_completer(tmp_path).ids("def f(", "):", 40) == tokenizer.encode("def f(")


def test_rows_are_answered(tmp_path) -> None:
    save(tmp_path, marks=True)
    predictor = open_completer(tmp_path)
    rows = [{"prefix": "def add(a", "suffix": "):\n"}, {"prefix": "# 求"}, {"prefix": "", "suffix": "x"}]
    answers = predictor.predict(rows)
    assert [list(a) for a in answers] == [["completion"]] * 3
    assert predictor.predict(rows[:1]) == answers[:1]
    with pytest.raises(DataError, match="row 2: suffix = 3 is no text"):
        predictor.predict([{"prefix": "a"}, {"prefix": "b", "suffix": 3}])


def test_a_model_that_writes_nothing_is_refused(tmp_path) -> None:
    save(tmp_path, marks=True, family="bert")
    with pytest.raises(CheckpointError, match="writes no texts"):
        load_completer(tmp_path)
