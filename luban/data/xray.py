"""The X-ray of a batch: every token a model is really trained on, and checks for silent mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from luban.data.shards import Shard, open_shard
from luban.errors import GateError
from luban.files import hash_bytes
from luban.records import IGNORE, Batch
from luban.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. One that `blocks` stops whoever asked; another only warns."""

    check: str
    ok: bool
    detail: str
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token as the model meets it."""

    position: int
    document: int
    id: int
    piece: str
    role: Literal["text", "special", "padding", "source"]
    supervised: bool
    target_id: int | None
    target: str | None


def view_row(batch: Batch, row: int, tokenizer: Tokenizer) -> list[TokenView]:
    """Return every token of a row with its role, and what the model has to say there; the source first."""
    targets = batch.targets[row].tolist() if batch.targets.dim() == 2 else [IGNORE] * batch.tokens.shape[1]
    columns = zip(batch.tokens[row].tolist(), batch.documents[row].tolist(), targets, strict=True)
    return _view_source(batch, row, tokenizer) + [_view(i, *c, tokenizer) for i, c in enumerate(columns)]


def _view_source(batch: Batch, row: int, tokenizer: Tokenizer) -> list[TokenView]:
    if batch.source is None or batch.source_documents is None:
        return []
    columns = zip(batch.source[row].tolist(), batch.source_documents[row].tolist(), strict=True)
    views = [_view(i, token, document, IGNORE, tokenizer) for i, (token, document) in enumerate(columns)]
    return [view if view.role == "padding" else replace(view, role="source") for view in views]


def _view(position: int, token: int, document: int, target: int, tokenizer: Tokenizer) -> TokenView:
    role: Literal["text", "special", "padding"] = "special" if token in tokenizer.special_ids else "text"
    known = None if target == IGNORE else target
    return TokenView(
        position,
        document,
        token,
        tokenizer.piece(token),
        "padding" if document == 0 else role,
        known is not None,
        known,
        None if known is None else tokenizer.piece(known),
    )


def check_windows(batch: Batch, tokenizer: Tokenizer, end_id: int) -> list[Finding]:
    """Run every check of a next-token batch."""
    return [
        rows_have_targets(batch),
        targets_follow(batch),
        padding_is_silent(batch),
        ends_are_supervised(batch, end_id),
        ends_are_not_padding(batch, tokenizer.pad_id, end_id),
        documents_begin_once(batch, {tokenizer.bos_id, tokenizer.cls_id}),
        documents_keep_apart(batch, end_id),
    ]


def check_rows(batch: Batch, tokenizer: Tokenizer, n_labels: int) -> list[Finding]:
    """Run every check of a classification batch."""
    return [
        rows_have_labels(batch, n_labels),
        padding_is_unseen(batch, tokenizer.pad_id, tokenizer.eos_id),
        documents_begin_once(batch, {tokenizer.bos_id, tokenizer.cls_id}),
        rows_hold_one_text(batch),
        texts_survive(batch, tokenizer.special_ids),
    ]


def merge(findings: Iterable[Sequence[Finding]]) -> list[Finding]:
    """Return one finding a check from those of several batches: the first that failed, else the first."""
    by_check: dict[str, list[Finding]] = {}
    for finding in (f for batch in findings for f in batch):
        by_check.setdefault(finding.check, []).append(finding)
    merged = []
    for found in by_check.values():
        worst = next((f for f in found if not f.ok), found[0])
        passed = worst.ok and len(found) > 1
        more = f"; so in all {len(found)} batches" if passed else ""
        merged.append(replace(worst, detail=worst.detail + more))
    return merged


def require(findings: Sequence[Finding]) -> None:
    """Raise GateError if a check that blocks has failed."""
    failed = [f for f in findings if f.blocks and not f.ok]
    if failed:
        raise GateError(
            f"{len(failed)} of {len(findings)} checks failed: {'; '.join(f.check for f in failed)}",
            fix=f"{failed[0].detail}; {FIXES[failed[0].check]}",
        )


FIXES = {
    "every row has targets": "give text there, or a longer window",
    "every row has a label": "check the label column",
    "targets are the next tokens": "let the targets be the tokens one place later, once",
    "padding is ignored": "set the targets of padding to IGNORE",
    "padding is unseen": "give padding document 0",
    "end tokens are supervised": "end every document with the end token, and keep it as a target",
    "answers end": "let the chat template write eos_token after an answer, or set train.template",
    "end tokens are not masked as padding": "mask by position, not by id, or give padding a token of its own",
    "no beginning token is doubled": "encode with special=False where a template adds the beginning",
    "documents do not attend to each other": "number the documents of a row anew after every end token",
    "a row is one text": "give each text a row of its own, padded at the end",
    "every row has text": "raise max_len, or drop the empty texts",
    "no train row is in test": "drop these rows from train",
    "the file has no train row in test": "drop them from the file's train part",
    "no train document is in test": "run `luban data dedup` before `luban data split`",
    "no train document is in validation": "run `luban data dedup` before `luban data split`",
}
"""What to do when a check that blocks says no."""


def rows_have_targets(batch: Batch) -> Finding:
    """Every row teaches something."""
    empty = (batch.targets == IGNORE).all(1).nonzero().flatten().tolist()
    detail = f"{len(batch.targets)} rows, {int((batch.targets != IGNORE).sum())} targets"
    return _finding("every row has targets", not empty, detail, f"row {_first(empty)} has none")


def rows_have_labels(batch: Batch, n_labels: int) -> Finding:
    """Every row has a label that the head knows."""
    wrong = ((batch.targets < 0) | (batch.targets >= n_labels)).nonzero().flatten().tolist()
    detail = (
        f"{len(batch.targets)} rows, {len(set(batch.targets.tolist()))} of {n_labels} labels in this batch"
    )
    return _finding("every row has a label", not wrong, detail, f"row {_first(wrong)} has none of {n_labels}")


def targets_follow(batch: Batch) -> Finding:
    """A target is the next token of the row: shifted once, not twice and not at all."""
    next_token, target = batch.tokens[:, 1:], batch.targets[:, :-1]
    wrong = ((target != IGNORE) & (target != next_token)).nonzero().tolist()
    bad = "row {}, position {}: the target is not the token after it (shifted twice, or not at all?)"
    return _finding(
        "targets are the next tokens", not wrong, "shifted by one", bad.format(*(wrong or [(0, 0)])[0])
    )


def padding_is_silent(batch: Batch) -> Finding:
    """Padding is never a place to learn from."""
    n = int(((batch.documents == 0) & (batch.targets != IGNORE)).sum())
    return _finding(
        "padding is ignored", not n, f"{batch.n_padding} padding", f"{n} padding positions are supervised"
    )


def padding_is_unseen(batch: Batch, pad_id: int | None, end_id: int | None) -> Finding:
    """No token attends to padding. (Where PAD is the end token, a text may rightly hold one, not two.)"""
    name, share = "padding is unseen", batch.n_padding / batch.tokens.numel()
    if pad_id is None:
        return Finding(name, True, "the tokenizer has no padding token")
    counts = (batch.tokens == pad_id) & (batch.documents > 0)
    where = (counts.sum(1) > (1 if pad_id == end_id else 0)).nonzero().flatten().tolist()
    bad = f"row {_first(where)}: padding counts as text, and tokens attend to it"
    return _finding(name, not where, f"{share:.1%} is padding", bad)


def ends_are_supervised(batch: Batch, end_id: int) -> Finding:
    """Where documents end, an end token stands, and the model learns to say it."""
    before, after = batch.documents[:, :-1], batch.documents[:, 1:]
    ends = (before > 0) & (before != after)
    bare = int((ends & (batch.tokens[:, :-1] != end_id)).sum())
    could_teach = ends[:, 1:] & (before[:, :-1] == before[:, 1:])  # the row holds the token before, too
    n_ends, n_taught = int(ends.sum()), int((batch.targets == end_id).sum())
    bad = (
        f"{bare} of {n_ends} documents end without the end token {end_id}"
        if bare
        else f"{n_ends} documents end here and no end token is a target: the model would never stop"
    )
    detail = f"{n_ends} documents end in the batch, {n_taught} end tokens are targets"
    is_taught = n_taught > 0 or not could_teach.any()
    return _finding("end tokens are supervised", not bare and is_taught, detail, bad)


def answers_end(batch: Batch, special_ids: frozenset[int]) -> Finding:
    """Every stretch that is learnt ends in a special token: the model learns where its turn is over."""
    taught = batch.targets != IGNORE
    same = torch.zeros_like(taught)
    same[:, :-1] = taught[:, 1:] & (batch.documents[:, 1:] == batch.documents[:, :-1])
    last = taught & ~same
    special = torch.tensor(sorted(special_ids), dtype=batch.targets.dtype)
    bare = (last & ~torch.isin(batch.targets, special)).nonzero().tolist()
    bad = f"row {_first([r for r, _ in bare])}: an answer ends without a special token"
    return _finding(
        "answers end", not bare, f"{int(last.sum())} answers, each with the token that ends it", bad
    )


def ends_are_not_padding(batch: Batch, pad_id: int | None, end_id: int) -> Finding:
    """Masking padding has not masked the ends: the trap of a tokenizer whose PAD is its EOS."""
    name = "end tokens are not masked as padding"
    if pad_id != end_id:
        return Finding(name, True, f"padding is {pad_id}, the end token {end_id}")
    padded = (batch.documents == 0).any(1)
    taught = (batch.targets == end_id).any(1)
    stands = ((batch.tokens == end_id) & (batch.documents > 0)).any(1)
    masked = ((padded & ~taught) | (stands & ~taught)).nonzero().flatten().tolist()
    bad = f"row {_first(masked)}: padding and end token are both {end_id}, and no end is a target"
    return _finding(name, not masked, "the same id, but ends are supervised", bad)


def documents_begin_once(batch: Batch, begin_ids: set[int | None]) -> Finding:
    """No document has its beginning token twice (template and text both added one)."""
    tokens, documents = batch.tokens, batch.documents
    is_begin = torch.isin(tokens, torch.tensor([i for i in begin_ids if i is not None], dtype=tokens.dtype))
    twice = is_begin[:, :-1] & is_begin[:, 1:]
    twice &= (documents[:, :-1] == documents[:, 1:]) & (documents[:, 1:] > 0)
    where = twice.nonzero().tolist()
    bad = f"row {_first([r for r, _ in where])} has two in a row: a template and the text both gave one"
    return _finding("no beginning token is doubled", not where, f"{int(is_begin.sum())} beginnings", bad)


def documents_keep_apart(batch: Batch, end_id: int) -> Finding:
    """No token attends to a token of another document, judged by where end tokens stand."""
    name = "documents do not attend to each other"
    n_pairs = 0
    for row, (tokens, documents) in enumerate(zip(batch.tokens, batch.documents, strict=True)):
        ended = (tokens == end_id) & (documents > 0)
        truth = ended.cumsum(0) - ended.long()  # how many documents ended before this token
        attends = attention_of(documents, causal=True)
        leaks = (attends & (truth[:, None] != truth[None, :])).nonzero()
        if len(leaks):
            reader, read = leaks[0].tolist()
            bad = f"row {row}: position {reader} reads position {read}, before an end token"
            return Finding(name, False, bad)
        n_pairs += int(attends.sum())
    return Finding(name, True, f"{n_pairs} pairs of tokens attend, none across an end token")


def attention_of(documents: Tensor, *, causal: bool) -> Tensor:
    """Return who reads whom under the rule of `Batch.documents`: (T,) -> (T, T) bool."""
    allowed = (documents[:, None] == documents[None, :]) & (documents[:, None] > 0)
    return allowed.tril() if causal else allowed


def rows_hold_one_text(batch: Batch) -> Finding:
    """A classified row is one document, without holes."""
    real = batch.documents > 0
    holes = (~real[:, :-1] & real[:, 1:]).any(1) | (batch.documents > 1).any(1) | ~real[:, 0]
    where = holes.nonzero().flatten().tolist()
    bad = f"row {_first(where)} has a hole, or several documents under one label"
    return _finding("a row is one text", not where, f"{len(real)} texts", bad)


def texts_survive(batch: Batch, special_ids: frozenset[int]) -> Finding:
    """Some text is left in every row after cutting and framing."""
    special = torch.tensor(sorted(special_ids), dtype=batch.tokens.dtype)
    is_text = (batch.documents > 0) & ~torch.isin(batch.tokens, special)
    where = (~is_text.any(1)).nonzero().flatten().tolist()
    bad = f"row {_first(where)} has a label but no text left: empty, or cut away by max_len"
    return _finding("every row has text", not where, f"{int(is_text.sum())} tokens of text", bad)


def texts_are_whole(n_cut: int, n_texts: int, max_len: int) -> Finding:
    """How many texts were cut; a warning, since cutting long texts can be meant."""
    share = n_cut / max(n_texts, 1)
    detail = f"{n_cut} of {n_texts} texts ({share:.1%}) are cut at max_len = {max_len}"
    return Finding("texts are whole", n_cut == 0, detail, blocks=False)


def splits_share_no_text(train: Sequence[str], test: Sequence[str]) -> Finding:
    """No test text is among the training texts, upper case and spaces aside."""
    known = {_same(text) for text in train}
    shared = [text for text in test if _same(text) in known]
    bad = f"{len(shared)} of {len(test)} test rows are training rows too, such as {_first(shared)!r:.80}"
    return _finding("no train row is in test", not shared, f"{len(test)} test rows compared", bad)


def shards_share_no_document(folder: Path, other: str = "test") -> Finding:
    """No document of the train split is in another one, by its id or by its very text."""
    name = f"no train document is in {other}"
    if not (folder / f"{other}.json").is_file():
        return Finding(name, True, f"there is no {other} split")
    train, held = open_shard(folder / "train"), open_shard(folder / other)
    by_id = sorted(set(train.document_ids()) & set(held.document_ids()))
    known = set(_text_hashes(held))
    n_same = sum(digest in known for digest in _text_hashes(train))
    bad = f"{n_same} train documents have the text of one in {other}; {len(by_id)} share an id"
    bad += f", such as {by_id[0]}" if by_id else ""
    detail = f"{len(held.offsets) - 1} documents compared by id and text"
    return _finding(name, not by_id and not n_same, detail, bad)


def leaks_were_removed(rejects: Sequence[Mapping[str, object]]) -> Finding:
    """The file itself keeps test texts out of train, though reading it would set them aside."""
    name, leaked = "the file has no train row in test", [r for r in rejects if "in test" in str(r["reason"])]
    bad = (
        f"{len(leaked)} rows of the file are in test too, such as line {leaked[0]['line']}" if leaked else ""
    )
    return _finding(name, not leaked, "none had to be removed", bad)


def _text_hashes(shard: Shard) -> Iterator[str]:
    offsets = shard.offsets.tolist()
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        yield hash_bytes(shard.tokens[start:end].tobytes())


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def _finding(check: str, ok: bool, detail: str, bad: str) -> Finding:
    return Finding(check, ok, detail if ok else bad)


def _first(items: Sequence[object]) -> object:
    return items[0] if items else None
