"""Greedy answers of a chat model to many conversations, some at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luban.data.encoding import Unreadable
from luban.data.messages import check_order, read_messages, read_tools
from luban.errors import DataError
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.settings import SamplingSettings
from luban.generate.speaker import Speaker
from luban.tasks.opened import open_tuned
from luban.tasks.task import Predictor

AT_ONCE = 8
MAX_NEW_TOKENS = 256
Row = Mapping[str, Any]
Asked = tuple[Sequence[dict[str, Any]], Sequence[Any]]
"""Messages that end before an answer, and tools."""


def open_answerer(folder: Path) -> Predictor:
    """Open a chat model to answer rows: their `messages`, or a text as the only question."""
    speaker = open_speaker(folder)

    def predict(rows: Sequence[Row]) -> list[dict[str, Any]]:
        asked = [read_question(row, f"row {i}") for i, row in enumerate(rows, start=1)]
        return [{"answer": text} for text in answers(speaker, asked, MAX_NEW_TOKENS)]

    return Predictor(reads=("messages",), predict=predict, shows=("answer",))


def open_speaker(folder: Path) -> Speaker:
    """Open a model folder as one that answers conversations."""
    model, tokenizer = open_tuned(folder)
    if tokenizer.chat_template is None:
        raise DataError(
            f"the tokenizer of {folder} has no chat template",
            fix="tune it with a format, such as --set train.template=chatml, or name one made for chat",
        )
    return Speaker(model, tokenizer)


def read_question(row: Row, where: str) -> Asked:
    """Return what a row asks; an answer that it ends in is left out."""
    text = row["messages"]
    try:
        plain = isinstance(text, str) and not text.lstrip().startswith("[")
        turns = [{"role": "user", "content": text}] if plain else text
        messages = list(check_order(read_messages({**row, "messages": turns})))
        tools = read_tools(dict(row))
    except Unreadable as e:
        raise DataError(f"{where}: {e}", fix='give a text, or [{"role": "user", "content": "..."}]') from None
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise DataError(f"{where} asks nothing", fix="give a question before the answer")
    return messages, tools


def answers(speaker: Speaker, asked: Sequence[Asked], max_new_tokens: int) -> list[str]:
    """Return the likeliest answer to each, as `luban chat` gives it at temperature 0."""
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    prompts = [speaker.fit(messages, settings, tools)[0] for messages, tools in asked]
    texts = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), AT_ONCE):
        places = order[start : start + AT_ONCE]
        chosen = Prompts([prompts[i] for i in places])
        for i, ids in zip(
            places, decode(speaker.model, chosen, settings, end_ids=speaker.end_ids), strict=True
        ):
            texts[i] = said(speaker, ids)
    return texts


def said(speaker: Speaker, ids: Sequence[int]) -> str:
    """Return the text of an answer's ids up to the first mark of the template, which may be spelt out."""
    text = speaker.tokenizer.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")
    places = [
        place for place in (text.find(mark) for mark in speaker.template.specials.values()) if place >= 0
    ]
    return text[: min(places, default=len(text))]


def spelt(message: Mapping[str, Any]) -> str:
    """Return what a message says, its calls as JSON."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return "\n".join([message["content"], *(json.dumps(c, ensure_ascii=False) for c in calls)]).strip()
