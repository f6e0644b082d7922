"""Names and other spans in texts: from tags of tokens to spans and back, and their F1.

Tags are written B-TYPE, I-TYPE, E-TYPE, S-TYPE and O, as in IOB, IOB2 and IOBES. A span counts as right
if its type and both its ends are, which is how CoNLL-2000's conlleval and seqeval count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luban.evaluate.intervals import ratio

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Entity: TypeAlias = tuple[int, int, str]
"""(start, end, type): of tokens or characters; the end is the first after it."""
OUTSIDE = "O"


def split_tag(tag: str) -> tuple[str, str]:
    """Return place and type: "B-PER" -> ("B", "PER"); a type alone counts as one that goes on."""
    if tag == OUTSIDE or not tag:
        return OUTSIDE, ""
    place, dash, kind = tag.partition("-")
    if dash and place.upper() in ("B", "I", "E", "S", "L", "U", "M", "W"):
        return {"L": "E", "U": "S", "M": "I", "W": "S"}.get(place.upper(), place.upper()), kind
    return "I", tag


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """Return the spans that tags describe; a span may begin without its B, as conlleval has it.

    ["B-PER", "I-PER", "O", "I-LOC"] -> [(0, 2, "PER"), (3, 4, "LOC")]
    """
    found: list[Entity] = []
    start, kind, before = 0, "", OUTSIDE
    for i, tag in enumerate([*tags, OUTSIDE]):
        place, now = split_tag(tag)
        ends = bool(kind) and (place in ("O", "B", "S") or before in ("E", "S") or now != kind)
        if ends:
            found.append((start, i, kind))
            kind = ""
        if place != OUTSIDE and not kind:
            start, kind = i, now
        before = place
    return found


def entity_scores(
    truth: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
) -> Callable[[Ints], dict[str, Floats]]:
    """Return the function that intervals resample: row numbers (R, n) -> precision, recall and F1 (R,).

    f1 counts all spans alike; macro_f1 is the mean over the types that occur.
    """
    kinds = sorted({e[2] for row in (*truth, *predicted) for e in row})
    hits, there, guessed = (np.zeros((len(truth), max(1, len(kinds))), np.int64) for _ in range(3))
    number = {kind: k for k, kind in enumerate(kinds)}
    for i, (real, guess) in enumerate(zip(truth, predicted, strict=True)):
        for table, spans in ((hits, set(real) & set(guess)), (there, set(real)), (guessed, set(guess))):
            for *_, kind in spans:
                table[i, number[kind]] += 1

    def statistic(rows: Ints) -> dict[str, Floats]:
        tp, n, p = (np.stack([table[part].sum(0) for part in rows]) for table in (hits, there, guessed))
        occurs = (n + p) > 0
        return {
            "f1": ratio(2 * tp.sum(-1), (n + p).sum(-1)),
            "precision": ratio(tp.sum(-1), p.sum(-1)),
            "recall": ratio(tp.sum(-1), n.sum(-1)),
            "macro_f1": ratio((ratio(2 * tp, n + p) * occurs).sum(-1), occurs.sum(-1)),
        }

    return statistic


def per_type_table(
    truth: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]
) -> dict[str, dict[str, Any]]:
    """Return each type's precision, recall, f1 and support."""
    hits, there, guessed = Counter[str](), Counter[str](), Counter[str]()
    for real, guess in zip(truth, predicted, strict=True):
        hits.update(e[2] for e in set(real) & set(guess))
        there.update(e[2] for e in set(real))
        guessed.update(e[2] for e in set(guess))
    return {
        kind: {
            "precision": hits[kind] / guessed[kind] if guessed[kind] else 0.0,
            "recall": hits[kind] / there[kind] if there[kind] else 0.0,
            "f1": 2 * hits[kind] / (there[kind] + guessed[kind]),
            "support": there[kind],
        }
        for kind in sorted({*there, *guessed})
    }
