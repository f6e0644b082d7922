"""Proof: which samples a step sees is a pure function of its number, and an epoch has each one once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from luban.records import Batch
from luban.train.prefetch import Batches
from luban.train.proofs.subject import Finding, Subject, same, targets_are_tokens

ASKED = (1, 2, 3, 5, 8, 13, 21)
WALK_SECONDS = 8.0
"""Epochs are walked as far as this allows."""
N_REPEATS = 12
"""Epochs that must be alike to be called the same: small data may be drawn alike by chance."""
MIXED_STEPS = 20
"""Steps of a mixture that are walked at least: every part that takes turns has had one by then."""
MOST_LEFT = 0.05
"""Rows that are cut anew each epoch may begin the next one by new numbers; so many at most."""


def sampled(subject: Subject) -> Finding:
    """Show that steps do not depend on what was asked before, by whom, or in how many parts.

    A difference is the number of steps, or of samples, that are not as they should be.
    """
    wrong = _impure(subject.batches) or _divided_otherwise(subject)
    if wrong:
        return Finding(words=wrong, difference=1.0)
    if getattr(subject.batches, "by_model", False):
        return Finding(
            words="while weights stay, steps are the same in any order, from any thread, made anew; "
            "what each epoch holds is written by the model, so it is not walked"
        )
    return _epochs(subject.batches)


def _impure(batches: Batches) -> str:
    """Say which step changes with the order in which it is asked for; nothing if none does."""
    first = {step: batches.at(step) for step in ASKED}
    for step in reversed(ASKED):
        if not _same_steps(first[step], batches.at(step)):
            return f"step {step} holds other rows when it is asked for in another order"
    with ThreadPoolExecutor(1) as thread:
        for step in ASKED:
            if not _same_steps(first[step], thread.submit(batches.at, step).result()):
                return f"step {step} holds other rows when another thread asks for it"
    return ""


def _divided_otherwise(subject: Subject) -> str:
    """Say which step depends on the object that is asked, or on the number of its micro-batches."""
    other = subject.again()
    for step in reversed(ASKED):
        if _rows(subject.batches.at(step)) != _rows(other.at(step)):
            return f"step {step} holds other rows when asked anew, or divided into other micro-batches"
    return ""


def _same_steps(a: Sequence[Batch], b: Sequence[Batch]) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def _rows(step: Sequence[Batch]) -> list[tuple[int, bytes]]:
    """Return the rows of a step, padding cut off, in an order of their own."""
    found = []
    for batch in step:
        for i in range(len(batch.tokens)):
            its = batch.documents[i] != 0
            targets = batch.targets[i][its] if targets_are_tokens(batch) else batch.targets[i]
            parts = [batch.tokens[i][its], batch.documents[i][its], targets]
            if batch.source is not None:
                read = batch.source_documents[i] != 0 if batch.source_documents is not None else slice(None)
                parts.append(batch.source[i][read] if batch.source.ndim == 2 else batch.source[i])
            content = b"|".join(p.numpy().tobytes() for p in parts)
            found.append((0, content))
        found += [(1 + i, b"") for i in batch.ids]
    return sorted(found)


def _epochs(batches: Batches) -> Finding:
    """Walk over the boundary of the first epoch and count samples that come twice, or not at all."""
    source_of = getattr(batches, "source_of", None)
    if source_of is not None:
        return _mixed(batches, source_of)
    ids, repeat, is_over = _walk(batches)
    if not ids:
        return Finding(words="steps are a pure function of their number; their samples carry no ids")
    pure = "steps are the same in any order, from any thread, made anew, divided otherwise"
    if repeat is None:
        return Finding(words=f"{pure}; no sample comes twice among the first {len(ids):,} of the epoch")
    n = _epoch_size(ids[:repeat])
    if repeat - n > MOST_LEFT * repeat:
        missing = len(set(range(max(ids[:repeat]) + 1)) - set(ids[:repeat]))
        words = f"a sample comes again after {repeat:,}, when {missing:,} of the epoch's had not come yet"
        return Finding(words=words, difference=float(max(1, missing)))
    second = ids[n:]
    twice = len(second) - len(set(second))
    if is_over and twice:
        return Finding(words=f"{twice:,} samples come twice in the second epoch", difference=float(twice))
    if is_over and _is_same_each_epoch(batches, ids, n):
        return Finding(words=f"every epoch has its {n:,} samples in the same order", difference=float(n))
    return Finding(
        words=f"{pure}; each of {n:,} samples comes once an epoch, and so {len(second):,} of the next"
    )


def _mixed(batches: Batches, source_of: Callable[[int], tuple[int, int]]) -> Finding:
    """Walk over the epochs of every part of a mixture, which has epochs of its own, one by one."""
    numbers: dict[int, list[int]] = defaultdict(list)
    step, until = 0, time.monotonic() + WALK_SECONDS / 2
    while time.monotonic() < until:
        step += 1
        for part, number in map(source_of, _ids(batches, step)):
            numbers[part].append(number)
        if all(len(its) > 2 * (max(its) + 1) for its in numbers.values()) and step >= MIXED_STEPS:
            break
    n_wrong = n_epochs = 0
    for its in numbers.values():
        n = max(its) + 1
        epochs = [its[i : i + n] for i in range(0, len(its), n)]
        n_wrong += sum(len(epoch) - len(set(epoch)) for epoch in epochs)
        n_epochs += sum(len(epoch) == n for epoch in epochs)
        if n >= N_REPEATS and len(epochs) > 2 and epochs[0] == epochs[1]:
            return Finding(
                words=f"every epoch of a part has its {n:,} samples in the same order", difference=n
            )
    n_parts = len(numbers)
    if n_wrong:
        words = f"{n_wrong:,} samples come twice in an epoch of their own part of the mixture"
        return Finding(words=words, difference=float(n_wrong))
    return Finding(
        words="steps are the same in any order, from any thread, made anew, divided otherwise; in each of "
        f"{n_parts} parts mixed, no sample comes again before all the others have ({n_epochs} epochs walked)"
    )


def _is_same_each_epoch(batches: Batches, ids: Sequence[int], n: int) -> bool:
    """Whether the samples go on coming in the order of the first epoch, which has `n`.

    An epoch of one step has no order: how the rows of a step lie says nothing.
    """
    if not 0 < len(_ids(batches, 1)) < n or any(ids[i] != ids[i - n] for i in range(n, len(ids))):
        return False
    step, place, until = 0, 0, time.monotonic() + WALK_SECONDS
    while place < N_REPEATS * n and time.monotonic() < until:
        step += 1
        for i in _ids(batches, step):
            if i != ids[place % n]:
                return False
            place += 1
    return True


def _ids(batches: Batches, step: int) -> list[int]:
    return [i for batch in batches.at(step) for i in batch.ids]


def _walk(batches: Batches) -> tuple[list[int], int | None, bool]:
    """Return ids in the order of steps, the first place where one comes again, and whether the walk
    reached two thirds of the next epoch."""
    ids: list[int] = []
    seen: set[int] = set()
    repeat: int | None = None
    step, until = 0, time.monotonic() + WALK_SECONDS
    while time.monotonic() < until:
        step += 1
        new = _ids(batches, step)
        if not new:
            return [], None, False
        for i in new:
            if repeat is None and i in seen:
                repeat = len(ids)
            seen.add(i)
            ids.append(i)
        if repeat is not None and len(ids) > repeat * 5 // 3:
            return ids, repeat, True
    return ids, repeat, repeat is not None


def _epoch_size(ids: Sequence[int]) -> int:
    """Return the length of the longest beginning that has each number from 0 once."""
    most, size = -1, 0
    for place, i in enumerate(ids, start=1):
        most = max(most, i)
        if most == place - 1:
            size = place
    return size
