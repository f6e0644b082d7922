"""Which vectors point the same way."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from luban.errors import DataError


def neighbours(
    words: Sequence[str], matrix: Tensor, plus: Sequence[str], minus: Sequence[str] = (), n: int = 10
) -> list[tuple[str, float]]:
    """Return the `n` words of highest cosine with the sum of some words less that of others.

    neighbours(words, matrix, ["king", "woman"], ["man"]). matrix (V, C). The words asked about are
    left out. Source of the sums: Mikolov and others (2013), Linguistic regularities, section 4.
    """
    places = {word: i for i, word in reversed(list(enumerate(words)))}
    asked = [*plus, *minus]
    for word in asked:
        if word not in places:
            raise DataError(f"{word!r} is not among the {len(words):,} words", fix=_near(word, words))
    units = F.normalize(matrix.detach().float(), dim=1)
    signs = torch.tensor([1.0] * len(plus) + [-1.0] * len(minus))
    cosines = units @ F.normalize(signs @ units[[places[w] for w in asked]], dim=0)
    best = cosines.topk(min(len(words), n + len(asked))).indices.tolist()
    return [(words[i], float(cosines[i])) for i in best if words[i] not in asked][:n]


def nearest_rows(matrix: Tensor, rows: Sequence[int], n: int) -> Tensor:
    """Return for each of `rows` the `n` others among them of highest cosine: matrix (V, C) -> (rows, n)."""
    chosen = torch.as_tensor(rows)
    units = F.normalize(matrix[chosen].detach().float(), dim=1)
    found = []
    for part in torch.split(torch.arange(len(chosen)), 1024):
        cosines = units[part] @ units.T
        cosines[torch.arange(len(part)), part] = -torch.inf  # no row is its own neighbour
        found.append(chosen[cosines.topk(n).indices])
    return torch.cat(found)


def _near(word: str, words: Sequence[str]) -> str:
    """Name the characters of a Chinese word, or words that are spelt alike and about as long."""
    if (small := word.lower()) != word and small in words:
        return f"did you mean {small!r}?"
    found = [] if word.isascii() else [c for c in dict.fromkeys(word) if c in words][:3]
    if not found:
        alike = [w for w in words if abs(len(w) - len(word)) <= 2]
        found = difflib.get_close_matches(word, alike, n=3)
    return f"did you mean {' or '.join(map(repr, found))}?" if found else "ask about a word of the vocabulary"
