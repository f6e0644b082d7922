"""Minimal pairs: does the model find the good one of two sentences likelier?

A row is {"sentence_good", "sentence_bad"}, and may have "phenomenon", "uid" or "id".
Source: BLiMP, arXiv:1912.00582, section 4: the whole sentence's probability decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luban.evaluate.likelihood import encode_pair, likelihoods, surroundings
from luban.models.model import Model
from luban.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences that differ in what one of them does wrong."""

    id: str
    phenomenon: str
    good: str
    bad: str


@dataclass(slots=True)
class Pairs:
    """Pairs to be judged, and rows that are none, each with its line and the reason."""

    pairs: list[Pair] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def read_pairs(rows: Iterable[Mapping[str, Any]]) -> Pairs:
    """Turn rows into pairs, setting aside those that are none."""
    found = Pairs()
    for number, row in enumerate(rows, start=1):
        line = row.get("line", number)
        good, bad = row.get("sentence_good"), row.get("sentence_bad")
        if not isinstance(good, str) or not isinstance(bad, str) or not good.strip() or not bad.strip():
            reason = "sentence_good or sentence_bad is no text"
        elif good.strip() == bad.strip():
            reason = "both sentences are the same"
        else:
            name = f"{row.get('id') or row.get('uid') or 'row'}:{line}"
            found.pairs.append(Pair(name, str(row.get("phenomenon") or ""), good.strip(), bad.strip()))
            continue
        found.rejects.append({"line": line, "reason": reason, "id": row.get("id")})
    return found


def judge_pairs(
    model: Model, tokenizer: Tokenizer, pairs: Sequence[Pair]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row for predictions.jsonl of each pair, and those too long to be judged."""
    kept, asked, rejects = [], [], []
    for pair in pairs:
        two = [encode_pair(model, tokenizer, "", text) for text in (pair.good, pair.bad)]
        if (longest := max(len(one.rest) for one in two)) > model.config.max_len - 2:
            reason = f"a sentence has {longest} tokens, and the model reads {model.config.max_len}"
            rejects.append({"line": None, "reason": reason, "id": pair.id})
            continue
        kept.append(pair)
        asked += two
    each = iter(likelihoods(model, asked, surroundings(tokenizer)))
    rows = []
    for pair in kept:
        good, bad = next(each), next(each)
        is_right = good.log_probability > bad.log_probability
        per_token = good.log_probability / good.n_tokens > bad.log_probability / bad.n_tokens
        rows.append(
            {
                "id": pair.id,
                "phenomenon": pair.phenomenon,
                "text": f"{pair.good} / {pair.bad}",
                "label": pair.good,
                "predicted": pair.good if is_right else pair.bad,
                "log_probabilities": [good.log_probability, bad.log_probability],
                "score": {"accuracy": float(is_right), "accuracy_per_token": float(per_token)},
            }
        )
    return rows, rejects
