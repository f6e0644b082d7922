"""Rows of words: what is in them, and that (seed, step) alone decides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import luban.data.passages
from luban.data.contexts import WordRows, keep_chances
from luban.data.passages import MAX_WORDS, Passages, encode_passages, read_texts
from luban.errors import DataError
from luban.files import write_jsonl
from luban.records import IGNORE, Batch
from luban.tokenizer.words import train_words

PASSAGES = Passages(
    np.arange(2, 102, dtype=np.int32), np.repeat(np.arange(10, dtype=np.int32), 10)
)  # words 2..101, ten a passage


def rows(keep: Any = None, **changes: Any) -> WordRows:
    usual = {"context": 8, "batch_size": 3, "seed": 1}
    return WordRows(PASSAGES, np.ones(102, np.float32) if keep is None else keep, **(usual | changes))


def words_in(batches: list[Batch]) -> list[int]:
    return sorted(int(t) for b in batches for t in b.tokens[b.documents > 0])


@pytest.mark.parametrize("n_micro_batches", [1, 2])
def test_an_epoch_has_every_word_once(n_micro_batches: int) -> None:
    source = rows(n_micro_batches=n_micro_batches)
    for epoch in range(2):
        first = epoch * source.steps_per_epoch + 1
        steps = [source.at(step) for step in range(first, first + source.steps_per_epoch)]
        assert words_in([b for batches in steps for b in batches]) == list(range(2, 102))


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    straight, back = rows(), rows()
    n = 2 * straight.steps_per_epoch
    forwards = [straight.at(step)[0] for step in range(1, n + 1)]
    backwards = [back.at(step)[0] for step in range(n, 0, -1)][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert torch.equal(a.tokens, b.tokens)
        assert torch.equal(a.documents, b.documents)
        assert a.ids == b.ids
    assert not torch.equal(forwards[0].tokens, rows(seed=2).at(1)[0].tokens)


def test_a_row_keeps_the_order_of_the_text_and_tells_its_passages_apart() -> None:
    for batch in rows().in_order():
        for tokens, documents in zip(batch.tokens.tolist(), batch.documents.tolist(), strict=True):
            found = [(t, d) for t, d in zip(tokens, documents, strict=True) if d]
            assert found[0][1] == 1
            for (t, d), (next_t, next_d) in zip(found, found[1:], strict=False):
                assert next_t == t + 1
                assert next_d - d == (next_t - 2) // 10 - (t - 2) // 10


def test_rows_are_cut_at_other_places_in_the_next_epoch() -> None:
    source = rows()
    starts = [
        {int(row[0]) for step in range(1, 5) for row in source.at(epoch * 4 + step)[0].tokens}
        for epoch in range(3)
    ]
    assert source.steps_per_epoch == 4
    assert not starts[0] & starts[1] & starts[2] - {0}


def test_padding_is_no_target() -> None:
    for batch in rows().at(1):
        assert torch.equal(batch.targets == IGNORE, batch.documents == 0)
        assert torch.equal(batch.targets[batch.documents > 0], batch.tokens[batch.documents > 0])


def test_frequent_words_are_dropped_as_the_paper_says() -> None:
    counts = np.array([0, 90, 9, 1])
    assert keep_chances(counts, 0.01).tolist() == pytest.approx(
        [1, (0.01 / 0.9) ** 0.5, (0.01 / 0.09) ** 0.5, 1]
    )
    assert keep_chances(counts, 0).tolist() == [1, 1, 1, 1]


def test_dropped_words_bring_the_others_together_and_differ_by_epoch() -> None:
    keep = np.ones(102, np.float32)
    keep[2:102:2] = 0.5
    source = rows(keep)
    kept = []
    for epoch in range(2):
        first = epoch * source.steps_per_epoch + 1
        batches = [b for s in range(first, first + source.steps_per_epoch) for b in source.at(s)]
        kept.append(words_in(batches))
        assert set(range(3, 102, 2)) <= set(kept[-1])
        assert 55 < len(kept[-1]) < 95
    assert kept[0] != kept[1]


def test_text_that_loses_every_word_is_refused() -> None:
    with pytest.raises(DataError, match="of 100 words, epoch 1 keeps none"):
        rows(np.zeros(102, np.float32)).at(1)


def test_held_out_passages_are_whole_and_spread_evenly() -> None:
    train, held = PASSAGES.hold_out(0.3)
    assert sorted(set(held.numbers.tolist())) == [0, 4, 9]
    assert len(held.words) == 30
    assert not set(train.numbers.tolist()) & set(held.numbers.tolist())
    assert len(PASSAGES.hold_out(1e-9)[1].words) == 10
    empty = encode_passages([], train_words(["a"], "word"))
    assert [len(part.words) for part in empty.hold_out(0.1)] == [0, 0]


@pytest.mark.parametrize("group", [1, 2, 9])
def test_lines_are_passages_without_their_unknown_words(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luban.data.passages, "GROUP_LINES", group)
    tokenizer = train_words(["a b c"], "word")
    found = encode_passages(["a x b\n\n  \nx\nc"], tokenizer)
    assert [tokenizer.token(i) for i in found.words] == ["a", "b", "c"]
    assert found.numbers.tolist() == [0, 0, 1]


def test_a_long_line_becomes_several_passages() -> None:
    found = encode_passages(["a " * (MAX_WORDS + 5)], train_words(["a"], "word"))
    assert np.bincount(found.numbers).tolist() == [MAX_WORDS, 5]


def test_texts_are_read_from_files_and_what_is_none_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo", encoding="utf-8")
    write_jsonl(tmp_path / "b.jsonl.gz", [{"text": "三"}, {"text": 4}])
    (tmp_path / "c.html").write_text("<p>page</p>")
    (tmp_path / "d.bin").write_bytes(b"\0\1")
    rejected: list[tuple[str, int | None]] = []
    texts = list(read_texts([tmp_path], lambda source, row, reason: rejected.append((source, row))))
    assert texts == ["one\ntwo", "三"]
    assert rejected == [("b.jsonl.gz", 2), ("c.html", None), ("d.bin", None)]
