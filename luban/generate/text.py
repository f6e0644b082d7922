"""Token by token to text: whole characters only, and nothing past a stop text."""

from __future__ import annotations

from luban.tokenizer import Tokenizer

INCOMPLETE = "\ufffd"
"""What decoding puts for bytes that are no whole character, or not yet."""


class TextPieces:
    """Collects one row's tokens and gives text as soon as it is sure.

    Held back are a character whose bytes are not all there, and what may be the beginning of a stop
    text. After a stop text `is_done`.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = ()):
        self.tokenizer, self.stop = tokenizer, stop
        self.is_done = False
        self.ids: list[int] = []
        self._start, self._read = 0, 0
        """Tokens from _start to _read are out; they are decoded again as the context of the next."""
        self._pending = ""

    def add(self, token: int) -> str:
        """Take one more token; return the text that became sure, often none."""
        self.ids.append(token)
        text = self._fresh()
        if not text or text.endswith(INCOMPLETE):
            return ""
        self._start, self._read = self._read, len(self.ids)
        return self._until_stop(text)

    def finish(self) -> str:
        """Return what was held back, without an incomplete character."""
        if self.is_done:
            return ""
        text = self._until_stop(self._fresh().rstrip(INCOMPLETE)) + self._pending
        self.is_done, self._pending = True, ""
        return text

    def _fresh(self) -> str:
        before = self.tokenizer.decode(self.ids[self._start : self._read])
        return self.tokenizer.decode(self.ids[self._start :])[len(before) :]

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
