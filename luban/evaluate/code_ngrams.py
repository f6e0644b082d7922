"""The floor of code completion: n-grams of the training files, and of the file so far.

Interpolated absolute discounting (Ney, Essen and Kneser, 1994), the two models mixed as in Hellendoorn and
Devanbu, "Are deep neural networks the best choice for modeling source code?", 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

DISCOUNT = 0.75
Context = tuple[int, ...]


class Ngrams:
    """Counts of every run of up to `order` tokens."""

    def __init__(self, order: int, vocab_size: int):
        self.order, self.vocab_size = order, vocab_size
        self._followers: dict[Context, dict[int, int]] = {}
        self._totals: dict[Context, int] = {}

    def add(self, ids: Sequence[int], at: int) -> None:
        """Count the token at one place, after each of its contexts."""
        for n in range(min(self.order, at + 1)):
            context = tuple(ids[at - n : at])
            followers = self._followers.setdefault(context, {})
            followers[ids[at]] = followers.get(ids[at], 0) + 1
            self._totals[context] = self._totals.get(context, 0) + 1

    def probability(self, before: Sequence[int], token: int) -> float:
        """Return p(token | before), never 0."""
        p = 1 / self.vocab_size
        for n in range(min(self.order, len(before) + 1)):
            context = tuple(before[len(before) - n :])
            followers = self._followers.get(context)
            if followers is None:
                break
            left = DISCOUNT * len(followers)
            p = (max(followers.get(token, 0) - DISCOUNT, 0) + left * p) / self._totals[context]
        return p

    def candidates(self, before: Sequence[int], at_least: int = 20) -> set[int]:
        """Return tokens seen after the longest contexts, until there are some."""
        found: set[int] = set()
        for n in range(min(self.order - 1, len(before)), -1, -1):
            followers = self._followers.get(tuple(before[len(before) - n :]), {})
            found.update(sorted(followers, key=lambda t: -followers[t])[:at_least])
            if len(found) >= at_least:
                break
        return found


class Cached:
    """N-grams of other files and of this one, mixed."""

    def __init__(self, trained: Ngrams, cache_share: float):
        self.trained, self.cache_share = trained, cache_share
        self.cache = Ngrams(trained.order, trained.vocab_size)

    def probability(self, before: Sequence[int], token: int) -> float:
        """Return p(token | before) by both."""
        before = before[-self.trained.order :]
        ours = self.cache.probability(before, token)
        return self.cache_share * ours + (1 - self.cache_share) * self.trained.probability(before, token)

    def likeliest(self, before: Sequence[int], allowed: set[int] | None = None) -> int | None:
        """Return the likeliest next token, of `allowed` ones if so wanted; None where there is none."""
        before = before[-self.trained.order :]
        found = self.trained.candidates(before) | self.cache.candidates(before)
        found = allowed if allowed is not None else found
        return max(found, key=lambda token: (self.probability(before, token), -token), default=None)
