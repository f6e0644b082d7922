"""A model that answers conversations by its chat template.

with Speaker(model, tokenizer) as speaker:
    for piece in speaker.answer([{"role": "user", "content": "hello"}]).pieces:
        print(piece.text, end="")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luban.errors import DataError
from luban.generate.decode import Finish, check_writer
from luban.generate.memory import Memory
from luban.generate.reader import evaluating
from luban.generate.rules import adjusted
from luban.generate.sampling import choose, generators
from luban.generate.settings import SamplingSettings
from luban.generate.text import TextPieces
from luban.generate.writing import Written
from luban.models.model import Model
from luban.tokenizer import Tokenizer
from luban.tokenizer.chat import ChatTemplate, Message, encode_chat

LEAST_ROOM = 4
"""A prompt leaves the answer max_new_tokens, or this part of the context, whichever is less."""
PROBE: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer on its way."""

    n_prompt_tokens: int
    n_dropped: int
    """Messages, the oldest, that did not fit the context and are not read."""
    pieces: Iterator[Written]


class Speaker:
    """Answers conversations; what it has read stays in memory, so that each turn reads only what is new."""

    def __init__(self, model: Model, tokenizer: Tokenizer):
        check_writer(model)
        self.model, self.tokenizer = model, tokenizer
        self.template = ChatTemplate(tokenizer)
        self.memory = Memory(model)
        self.end_ids = self._ends()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process that renders the template, and forget what was read."""
        self.template.close()
        self.memory.forget()

    def answer(
        self,
        messages: Sequence[Message],
        settings: SamplingSettings | None = None,
        *,
        tools: Sequence[Any] = (),
        drop: bool = True,
    ) -> Answering:
        """Return what the model says next, piece by piece.

        Where the conversation is too long, the oldest turns but the system prompt are left out, or
        it is refused with `drop` False. The text holds no special token, spelt out or not.
        """
        settings = settings or SamplingSettings()
        ids, n_dropped = self.fit(messages, settings, tools, drop)
        room = min(settings.max_new_tokens, self.model.config.max_len - len(ids))
        return Answering(len(ids), n_dropped, self.write(ids, replace(settings, max_new_tokens=room)))

    def fit(
        self,
        messages: Sequence[Message],
        settings: SamplingSettings,
        tools: Sequence[Any] = (),
        drop: bool = True,
    ) -> tuple[list[int], int]:
        """Return the prompt's ids, and how many messages were left out for it to fit."""
        context = self.model.config.max_len
        most = context - max(1, min(settings.max_new_tokens, context // LEAST_ROOM))
        n_system = int(bool(messages) and messages[0]["role"] == "system")
        start, ids = n_system, self.prompt(messages, tools)
        while len(ids) > most:
            later = next((i for i in range(start + 1, len(messages)) if messages[i]["role"] == "user"), None)
            if not drop or later is None:
                what = "the last message" if drop else "the conversation"
                raise DataError(
                    f"{what} takes {len(ids)} tokens, and the model reads {most} beside an answer "
                    f"(context {context})",
                    fix="shorten it, or begin anew",
                )
            start = later
            ids = self.prompt([*messages[:n_system], *messages[start:]], tools)
        return ids, start - n_system

    def prompt(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> list[int]:
        """Return the ids of a conversation up to where the answer begins."""
        return self.template.prompt_ids(messages, tools=list(tools) or None)

    def write(self, ids: list[int], settings: SamplingSettings) -> Iterator[Written]:
        """Yield what the model says after a prompt's ids, piece by piece; the last has its finish."""
        marks = tuple(self.template.specials.values())  # spelt out in letters they end an answer, too
        text = TextPieces(self.tokenizer, (*settings.stop, *marks), ids)
        written: list[int] = []
        chance = generators(1, settings.seed)
        with evaluating(self.model):
            while True:
                logits = self.memory.read([*ids, *written]).float().cpu()
                scores = adjusted(logits, [ids], [written], settings, ())
                token = int(choose(scores, settings, chance))
                n_tokens = len(written) + 1
                if token in self.end_ids:
                    yield Written(0, text.finish(), n_tokens, "stop")
                    return
                written.append(token)
                piece = text.add(token)
                finish: Finish | None = "stop" if text.is_done else None
                if finish is None and n_tokens >= settings.max_new_tokens:
                    piece, finish = piece + text.finish(), "length"
                yield Written(0, piece, n_tokens, finish)
                if finish:
                    return

    def _ends(self) -> frozenset[int]:
        """Return the tokens that end an answer: the model's, the tokenizer's, and the template's."""
        ids, flags = encode_chat(self.template, PROBE)
        last = next((i for i, flag in zip(reversed(ids), reversed(flags), strict=True) if flag), None)
        own = (self.model.config.eos_id, self.tokenizer.eos_id)
        last = last if last in self.template.specials else None
        return frozenset(i for i in (*own, last) if i is not None)
