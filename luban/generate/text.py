"""Token by token to text: whole characters only, and nothing past a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from luban.tokenizer import Tokenizer

N_BEFORE = 4
"""Tokens of the prompt that are decoded with the first of the text."""
INCOMPLETE = "\ufffd"
"""What decoding puts for bytes that are no whole character, or not yet."""


class TextPieces:
    """Collects one row's tokens and gives text as soon as it is sure.

    Held back are a character whose bytes are not all there, and what may be the beginning of a stop
    text. After a stop text `is_done`. `before` are the ids of what the text goes on from: some
    tokenizers write no space at the start of a text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = (), before: Sequence[int] = ()):
        self.tokenizer, self.stop = tokenizer, stop
        self.is_done = False
        self.n_tokens = 0
        self._ids = list(before[-N_BEFORE:])
        self._start, self._read = 0, len(self._ids)
        """Tokens from _start to _read are out; they are decoded again as the context of the next."""
        self._pending = ""

    def add(self, token: int) -> str:
        """Take one more token; return the text that became sure, often none."""
        self._ids.append(token)
        self.n_tokens += 1
        text = self._fresh()
        if not text or text.endswith(INCOMPLETE):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return self._until_stop(text)

    def finish(self) -> str:
        """Return what was held back, without an incomplete character."""
        if self.is_done:
            return ""
        text = self._until_stop(self._fresh().rstrip(INCOMPLETE)) + self._pending
        self.is_done, self._pending = True, ""
        return text

    def _fresh(self) -> str:
        before = self.tokenizer.decode(self._ids[self._start : self._read])
        return self.tokenizer.decode(self._ids[self._start :])[len(before) :]

    def _until_stop(self, text: str) -> str:
        text = self._pending + text
        ends = [place for place in (text.find(s) for s in self.stop) if place >= 0]
        if ends:
            self.is_done, self._pending = True, ""
            return text[: min(ends)]
        n_held = max((_overlap(text, s) for s in self.stop), default=0)
        self._pending = text[len(text) - n_held :]
        return text[: len(text) - n_held]


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
