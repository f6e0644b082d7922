"""Each check passes on a sound batch and catches the mistake planted for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from luban.data import xray
from luban.data.batches import Bucketed, PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.data.xray import Finding
from luban.errors import GateError
from luban.records import IGNORE, Batch
from luban.tokenizer import Tokenizer
from luban.tokenizer.train import train_bpe

PAD, END, CLS, SEP = 0, 1, 2, 3
TEXTS = [f"{word} 今天天气很好 number {i}" for i, word in enumerate(("cat", "dog", "fox", "owl", "ant") * 4)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 300, template=True)


def write(folder: Path, split: str, documents: dict[str, list[int]]) -> None:
    with ShardWriter(folder, split, 300) as writer:
        for id, tokens in documents.items():
            writer.add(id, [*tokens, END], 4)
    np.save(folder / TOKEN_BYTES, np.ones(300))


@pytest.fixture
def windows(tmp_path: Path, tokenizer: Tokenizer) -> Batch:
    write(tmp_path, "train", {str(i): tokenizer.encode(text * 2) for i, text in enumerate(TEXTS)})
    return PackedWindows(tmp_path / "train", context=32, batch_size=4, seed=1).at(1)[0]


@pytest.fixture
def rows(tokenizer: Tokenizer) -> Batch:
    ids = [tokenizer.encode(t * (1 + i % 3), special=True) for i, t in enumerate(TEXTS[:6])]
    return next(Bucketed(ids, [0, 1] * 3, tokens_per_batch=999, seed=1, pad_id=PAD).in_order())


def failed(findings: list[Finding]) -> set[str]:
    return {f.check for f in findings if not f.ok}


def with_targets(batch: Batch, where: torch.Tensor, value: int) -> Batch:
    return replace(batch, targets=torch.where(where, value, batch.targets))


def test_a_sound_batch_passes_every_check(windows: Batch, rows: Batch, tokenizer: Tokenizer) -> None:
    findings = [*xray.check_windows(windows, tokenizer, END), *xray.check_rows(rows, tokenizer, 2)]
    assert failed(findings) == set()
    xray.require(findings)


def test_a_row_without_targets_is_caught(windows: Batch) -> None:
    bad = with_targets(windows, torch.arange(4)[:, None] == 2, IGNORE)
    assert xray.rows_have_targets(bad).detail == "row 2 has none"
    assert not xray.rows_have_targets(bad).ok


def test_a_row_with_an_unknown_label_is_caught(rows: Batch) -> None:
    assert not xray.rows_have_labels(rows, 1).ok
    assert not xray.rows_have_labels(replace(rows, targets=rows.targets - 1), 2).ok


@pytest.mark.parametrize("shift", [-1, 1])
def test_targets_shifted_twice_or_not_at_all_are_caught(windows: Batch, shift: int) -> None:
    assert not xray.targets_follow(replace(windows, targets=windows.targets.roll(shift, 1))).ok


def test_supervised_padding_is_caught(windows: Batch) -> None:
    documents = windows.documents.clone()
    documents[1, 20:] = 0
    bad = replace(windows, documents=documents, targets=windows.tokens)
    assert xray.padding_is_silent(bad).detail == "12 padding positions are supervised"
    assert not xray.padding_is_silent(bad).ok


def test_padding_that_counts_as_text_is_caught(rows: Batch) -> None:
    assert rows.n_padding
    bad = replace(rows, documents=torch.ones_like(rows.documents))
    assert not xray.padding_is_unseen(bad, PAD, END).ok
    assert not xray.padding_is_unseen(bad, PAD, PAD).ok
    assert xray.padding_is_unseen(rows, PAD, END).ok
    ended = Batch(torch.tensor([[9, PAD, PAD]]), torch.tensor([[1, 1, 0]]), torch.tensor([0]))
    assert xray.padding_is_unseen(ended, PAD, PAD).ok
    assert not xray.padding_is_unseen(ended, PAD, END).ok


def test_end_tokens_never_supervised_are_caught(windows: Batch) -> None:
    finding = xray.ends_are_supervised(with_targets(windows, windows.targets == END, IGNORE), END)
    assert not finding.ok
    assert "no end token is a target" in finding.detail


def test_an_end_token_that_opens_a_row_asks_for_nothing() -> None:
    tokens, documents = torch.tensor([[END, 8, 9]]), torch.tensor([[1, 2, 2]])
    assert xray.ends_are_supervised(Batch(tokens, documents, torch.tensor([[IGNORE, 9, 7]])), END).ok


def test_documents_without_end_tokens_are_caught(windows: Batch) -> None:
    finding = xray.ends_are_supervised(replace(windows, tokens=windows.tokens.clamp(min=5)), END)
    assert not finding.ok
    assert "end without the end token 1" in finding.detail


@pytest.mark.parametrize("attended", [True, False])
def test_ends_masked_because_pad_is_eos_are_caught(attended: bool) -> None:
    """The usual collator: labels are IGNORE wherever the token is PAD, which here is also EOS."""
    tokens = torch.tensor([[7, 8, 9, END, END, END]])
    targets = torch.tensor([[8, 9, END, IGNORE, IGNORE, IGNORE]])
    documents = torch.tensor([[1, 1, 1, int(attended), 0, 0]])
    good = Batch(tokens, documents, targets)
    assert xray.ends_are_not_padding(good, END, END).ok
    bad = with_targets(good, targets == END, IGNORE)
    assert not xray.ends_are_not_padding(bad, END, END).ok
    assert xray.ends_are_not_padding(bad, PAD, END).ok


def test_a_doubled_beginning_token_is_caught(rows: Batch, tokenizer: Tokenizer) -> None:
    tokens = rows.tokens.clone()
    tokens[3, 1] = CLS
    finding = xray.documents_begin_once(replace(rows, tokens=tokens), {CLS, END})
    assert not finding.ok
    assert finding.detail.startswith("row 3 has two in a row")


def test_neighbouring_documents_may_each_begin_with_the_same_token() -> None:
    tokens, documents = torch.tensor([[END, END, 9]]), torch.tensor([[1, 2, 2]])
    assert xray.documents_begin_once(Batch(tokens, documents, tokens), {END}).ok


def test_documents_that_attend_to_each_other_are_caught(windows: Batch) -> None:
    assert windows.documents.max() > 1
    finding = xray.documents_keep_apart(replace(windows, documents=torch.ones_like(windows.documents)), END)
    assert not finding.ok
    assert "before an end token" in finding.detail
    late = windows.documents.roll(1, 1)  # a boundary one token late
    late[:, 0] = windows.documents[:, 0]
    assert not xray.documents_keep_apart(replace(windows, documents=late), END).ok


def test_attention_is_causal_inside_a_document_and_never_reaches_padding() -> None:
    attends = xray.attention_of(torch.tensor([1, 1, 2, 0, 0]), causal=True)
    assert attends.nonzero().tolist() == [[0, 0], [1, 0], [1, 1], [2, 2]]
    assert xray.attention_of(torch.tensor([1, 1, 0]), causal=False).sum() == 4


def test_holes_and_several_texts_in_a_row_are_caught(rows: Batch) -> None:
    for change in ({"column": 1, "value": 0}, {"column": 2, "value": 2}, {"column": 0, "value": 0}):
        documents = rows.documents.clone()
        documents[1, change["column"]] = change["value"]
        assert not xray.rows_hold_one_text(replace(rows, documents=documents)).ok


def test_a_text_that_is_cut_away_is_caught(rows: Batch, tokenizer: Tokenizer) -> None:
    cut = Batch(torch.tensor([[CLS, SEP], [CLS, 9]]), torch.ones(2, 2).long(), torch.tensor([0, 1]))
    finding = xray.texts_survive(cut, tokenizer.special_ids)
    assert not finding.ok
    assert finding.detail.startswith("row 0 has a label but no text left")


def test_cut_texts_are_counted_but_do_not_block() -> None:
    finding = xray.texts_are_whole(3, 12, 64)
    assert (finding.ok, finding.blocks) == (False, False)
    assert finding.detail == "3 of 12 texts (25.0%) are cut at max_len = 64"
    xray.require([finding])


def test_train_rows_in_test_are_caught() -> None:
    assert xray.splits_share_no_text(["a", "b"], ["c"]).ok
    finding = xray.splits_share_no_text(["a", "A  fine Film"], ["c", "a fine film"])
    assert not finding.ok
    assert "1 of 2 test rows" in finding.detail
    rejects = [{"file": "x", "line": 7, "reason": "the same text is in test"}, {"line": 1, "reason": "empty"}]
    assert "such as line 7" in xray.leaks_were_removed(rejects).detail
    assert not xray.leaks_were_removed(rejects).ok
    assert xray.leaks_were_removed(rejects[1:]).ok


def test_train_documents_in_test_are_caught_by_text_and_by_id(tmp_path: Path) -> None:
    write(tmp_path, "train", {"a": [9, 8], "b": [7, 6]})
    assert xray.shards_share_no_document(tmp_path).detail == "there is no test split"
    write(tmp_path, "test", {"c": [9, 8, 7]})
    assert xray.shards_share_no_document(tmp_path).ok
    write(tmp_path, "test", {"c": [9, 8, 7], "d": [7, 6]})
    assert (
        "1 train documents have the text of one in test; 0 share"
        in xray.shards_share_no_document(tmp_path).detail
    )
    write(tmp_path, "test", {"b": [5]})
    assert not xray.shards_share_no_document(tmp_path).ok


def test_failed_checks_raise_a_gate_error() -> None:
    bad = Finding("every row has text", False, "row 3 has none")
    message = "1 of 2 checks failed: every row has text\n  fix: row 3 has none; raise max_len, or drop"
    with pytest.raises(GateError, match=message):
        xray.require([Finding("a", True, ""), bad])


def test_every_check_that_blocks_has_a_fix(
    windows: Batch, rows: Batch, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    findings = [*xray.check_windows(windows, tokenizer, END), *xray.check_rows(rows, tokenizer, 2)]
    findings += [xray.splits_share_no_text([], []), xray.leaks_were_removed([])]
    findings += [xray.shards_share_no_document(tmp_path, split) for split in ("test", "validation")]
    # "answers end" is asked of conversations alone
    assert {f.check for f in findings} | {"answers end"} == set(xray.FIXES)


def test_merging_keeps_the_failure_and_counts_what_passed() -> None:
    good, bad = Finding("a", True, "fine"), Finding("a", False, "row 1")
    assert xray.merge([[good], [bad], [good]]) == [bad]
    assert xray.merge([[good], [good], [good]]) == [Finding("a", True, "fine; so in all 3 batches")]


def test_every_token_is_shown_with_its_role_and_target(
    windows: Batch, rows: Batch, tokenizer: Tokenizer
) -> None:
    view = xray.view_row(windows, 0, tokenizer)
    assert [v.position for v in view] == list(range(32))
    for v in view:
        assert v.supervised == (v.target_id is not None) == (windows.targets[0, v.position] != IGNORE)
        assert v.target == (tokenizer.piece(v.target_id) if v.target_id is not None else None)
        assert (v.role == "special") == (v.id == END)
    last = len(rows.tokens) - 1
    roles = [v.role for v in xray.view_row(rows, last, tokenizer)]
    n = int(rows.documents[last].sum())
    assert roles == ["special", *["text"] * (n - 2), "special", *["padding"] * (len(roles) - n)]
    assert not any(v.supervised for v in xray.view_row(rows, last, tokenizer))
