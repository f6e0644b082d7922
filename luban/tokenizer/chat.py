"""Conversations as token ids, by the model's own chat template, and which of them an answer is made of."""

from __future__ import annotations

import contextlib
import json
import os.path
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from luban.errors import DataError
from luban.tokenizer.load import Tokenizer

Message = dict[str, Any]
"""{"role": "user", "content": "..."}, and whatever else the template reads."""
PROGRAM = Path(__file__).with_name("template_process.py")
WAIT_SECONDS = 60.0
"""For an answer of the other process, which ends itself much sooner unless the machine stands still."""
STAND_INS = ("X", "Y", "Z", "\ue000", "\ue001", "\ue002")
"""Answers in another's place; the last are characters that nobody writes."""
SAID = ("content", "tool_calls", "reasoning_content")
"""Parts of a message that say something."""


class ChatTemplate:
    """The chat template of a tokenizer. It runs in a process of its own; `close`, or `with`, ends that."""

    def __init__(self, tokenizer: Tokenizer):
        template = tokenizer.chat_template
        if template is None:
            raise DataError(
                "the model's tokenizer has no chat template",
                fix="give it a format (train.template=chatml), or take a model that was made for chat",
            )
        self._template, self._tokenizer = template, tokenizer
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> ChatTemplate:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next rendering starts another."""
        process = getattr(self, "_process", None)
        if process is not None:
            self._process = None
            process.kill()
            process.communicate()

    def render(
        self, messages: Sequence[Message], *, tools: Sequence[Any] | None = None, prompt: bool = False
    ) -> str:
        """Return the conversation as text; `prompt` adds what comes before an answer."""
        asked = {
            "messages": [_as_templates_read(m) for m in messages],
            "tools": [_wrapped(t) for t in tools] if tools else None,
            "add_generation_prompt": prompt,
        }
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", str(PROGRAM)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={},
                )
                self._ask({"template": self._template, "constants": self._constants})
            return self._ask(asked)

    def encode(self, text: str) -> tokenizers.Encoding:
        """Return ids and offsets of a rendered text, in which special tokens are special."""
        return self._backend.encode(text, add_special_tokens=False)

    def prompt_ids(self, messages: Sequence[Message], *, tools: Sequence[Any] | None = None) -> list[int]:
        """Return the ids that an answer to the conversation begins after."""
        self._refuse_special(messages)
        return self.encode(self.render(messages, tools=tools, prompt=True)).ids

    @property
    def _constants(self) -> dict[str, str]:
        return self._tokenizer.special_tokens

    @cached_property
    def _backend(self) -> tokenizers.Tokenizer:
        return self._tokenizer.reading_specials()

    @cached_property
    def specials(self) -> dict[int, str]:
        """The tokens that stand for no text, by id."""
        return {id: self._tokenizer.token(id) for id in self._tokenizer.special_ids}

    def _refuse_special(self, messages: Sequence[Message]) -> None:
        """Keep anybody who writes a message from writing the template's own marks."""
        for message in messages:
            content = message.get("content")
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            text += json.dumps(message.get("tool_calls") or "", ensure_ascii=False)
            found = next((token for token in self.specials.values() if token in text), None)
            if found:
                raise DataError(
                    f"a message of the {message.get('role')} holds {found}, a mark of the chat template",
                    fix="take it out of the text, or write it otherwise",
                )

    def _ask(self, question: dict[str, Any]) -> str:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            if select.select([process.stdout], [], [], WAIT_SECONDS)[0]:
                line = process.stdout.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise DataError(
                "the chat template took too long or too much memory, and was stopped",
                fix="use another template: one line of text should take no time",
            )
        answer = json.loads(line)
        if "error" in answer:
            if "template" in question:
                self.close()
            raise DataError(
                f"the chat template refuses: {answer['error']}",
                fix="look at the roles and their order, or at chat_template in tokenizer_config.json",
            )
        return str(answer["text"])


def encode_chat(
    chat: ChatTemplate, messages: Sequence[Message], *, tools: Sequence[Any] | None = None
) -> tuple[list[int], list[bool]]:
    """Return the ids of a conversation, and for each whether it belongs to what the assistant says.

    An answer reaches from where a prompt ends to the token that ends the turn, which is part of it.
    Both are found by rendering the conversation again, cut off or with another answer, and by where
    the texts part; so no mark of any template needs to be known.
    """
    chat._refuse_special(messages)
    text = chat.render(messages, tools=tools)
    found = chat.encode(text)
    supervised = [False] * len(found.ids)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start, end = _answer(chat, messages, i, text, tools)
        for place in _tokens_of(chat, found, text, start, end):
            supervised[place] = True
    return list(found.ids), supervised


def _answer(
    chat: ChatTemplate, messages: Sequence[Message], i: int, text: str, tools: Sequence[Any] | None
) -> tuple[int, int]:
    """Return where message i is in the text: from the end of the prompt to the end of what it says."""
    message = messages[i]
    said = json.dumps([message.get(part) for part in SAID], ensure_ascii=False)
    stand_in = next((c for c in STAND_INS if c not in said), STAND_INS[-1])
    other = {**{k: v for k, v in message.items() if k not in SAID}, "content": stand_in}
    try:
        changed = chat.render([*messages[:i], other, *messages[i + 1 :]], tools=tools)
        whole = text
    except DataError:  # answers of tools may need the call before them: look at what comes before these
        changed = chat.render([*messages[:i], other], tools=tools)
        whole = chat.render(messages[: i + 1], tools=tools)
    start = len(os.path.commonprefix([whole, changed]))
    n_after = len(os.path.commonprefix([whole[start:][::-1], changed[start:][::-1]]))
    end = len(whole) - n_after
    if start >= end or not text.startswith(whole[:end]):
        raise DataError(
            "the chat template does not show what the assistant says",
            fix="look at the row, or at chat_template in tokenizer_config.json",
        )
    return _after_prompt(chat, [*messages[: i + 1], other], text, start, tools), end


def _after_prompt(
    chat: ChatTemplate, asked: Sequence[Message], text: str, start: int, tools: Sequence[Any] | None
) -> int:
    """Move `start` back over what an answer begins with though nobody says it, such as a space.

    `asked` ends in the answer and the one in its place. Some templates write the turns before differently
    once more follows: then the answer as the last turn shows what it begins with.
    """
    *before, answer, other = asked
    prompt = chat.render(before, tools=tools, prompt=True) if before else ""
    if not prompt:
        return start
    if text.startswith(prompt):
        return min(start, len(prompt))
    as_last = [chat.render([*before, last], tools=tools) for last in (answer, other)]
    first = len(os.path.commonprefix(as_last))
    lead = as_last[0][len(prompt) : first] if as_last[0].startswith(prompt) else ""
    return start - len(lead) if text[:start].endswith(lead) else start


def _as_templates_read(message: Message) -> Message:
    """Return a message whose content is a text, and whose calls hold their arguments as data, not as JSON."""
    calls = message.get("tool_calls")
    plain = {**message, "content": message.get("content") if message.get("content") is not None else ""}
    return {**plain, "tool_calls": [_with_data(call) for call in calls]} if calls else plain


def _with_data(call: Any) -> Any:
    function = call.get("function", call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(json.JSONDecodeError):
            arguments = json.loads(arguments)
    made = {**function, "arguments": arguments}
    return {**call, "function": made} if "function" in call else {"type": "function", "function": made}


def _wrapped(tool: Any) -> Any:
    """Return a tool as OpenAI describes one: {"type": "function", "function": {"name", ...}}."""
    is_bare = isinstance(tool, dict) and "function" not in tool and "name" in tool
    return {"type": "function", "function": tool} if is_bare else tool


def _tokens_of(
    chat: ChatTemplate, found: tokenizers.Encoding, text: str, start: int, end: int
) -> Iterator[int]:
    """Yield the places of the tokens of text[start:end], and of the special token that ends the turn."""
    for place, (first, last) in enumerate(found.offsets):
        if last <= start or first == last:
            continue
        if first < end:
            yield place
        elif found.ids[place] in chat.specials:
            if not text[end:first].strip():
                yield from (p for p, (f, _) in enumerate(found.offsets[: place + 1]) if f >= end)
            return
