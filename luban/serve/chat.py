"""OpenAI's chat completions: what a request may hold, and what is answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from luban.serve.schemas import Limits, Refusal, Sampled
from luban.serve.served import Piece

ROLES = ("system", "developer", "user", "assistant", "tool")
Message = dict[str, Any]


class ChatRequest(Sampled):
    """The body of POST /v1/chat/completions."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    """Given to the chat template as they are."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """OpenAI's newer name of max_tokens."""
    logprobs: Literal[False] | None = None

    @property
    def most_tokens(self) -> int | None:
        """Tokens that an answer may have."""
        return self.max_completion_tokens or self.max_tokens


def read_messages(asked: ChatRequest, limits: Limits) -> list[Message]:
    """Return the messages as chat templates read them; a wrong one is a Refusal that names it."""
    if not asked.messages:
        raise Refusal(400, "messages: there are none", "messages", "invalid_value")
    if len(asked.messages) > limits.max_messages:
        message = f"messages: {len(asked.messages)}, at most {limits.max_messages} are allowed"
        raise Refusal(400, message, "messages", "too_large")
    return [_message(i, given) for i, given in enumerate(asked.messages)]


def _message(i: int, given: Message) -> Message:
    role, content = given.get("role"), given.get("content")
    if role not in ROLES:
        raise _wrong(f"messages.{i}: role should be one of {', '.join(ROLES)}")
    if isinstance(content, list):
        texts = [p.get("text") if isinstance(p, dict) and p.get("type") == "text" else None for p in content]
        if not all(isinstance(text, str) for text in texts):
            raise _wrong(f"messages.{i}: this model reads text alone")
        content = "\n".join(str(text) for text in texts)
    calls = given.get("tool_calls")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise _wrong(f"messages.{i}: content should be a text")
    if calls and not (role == "assistant" and isinstance(calls, list) and all(map(_is_call, calls))):
        raise _wrong(f"messages.{i}: tool_calls should be a list of functions with name and arguments")
    return {**given, "role": "system" if role == "developer" else role, "content": content}


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _wrong(message: str) -> Refusal:
    return Refusal(400, message, "messages", "invalid_value")


class ChatResponse:
    """Builds OpenAI's chat.completion objects, and counts tokens on the way."""

    def __init__(self, model: str, n_prompt_tokens: int, *, streams: bool):
        self.head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk" if streams else "chat.completion",
            "created": int(time.time()),
            "model": model,
        }
        self.n_prompt_tokens, self.n_tokens = n_prompt_tokens, dict[int, int]()

    def chunk(self, part: tuple[int, Piece]) -> dict[str, Any]:
        """Return a piece of one choice; the first says whose turn it is."""
        index, piece = part
        begins = index not in self.n_tokens
        self.n_tokens[index] = piece.n_tokens
        delta = {**({"role": "assistant"} if begins else {}), "content": piece.text}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": piece.finish}
        return {**self.head, "choices": [choice]}

    def whole(self, parts: Sequence[tuple[int, Piece]]) -> dict[str, Any]:
        """Return all choices, each in one piece."""
        texts, finish = dict[int, str](), dict[int, str | None]()
        for index, piece in parts:
            texts[index] = texts.get(index, "") + piece.text
            finish[index], self.n_tokens[index] = piece.finish, piece.n_tokens
        choices = [
            {
                "index": i,
                "message": {"role": "assistant", "content": texts[i], "refusal": None},
                "logprobs": None,
                "finish_reason": finish[i],
            }
            for i in sorted(texts)
        ]
        return {**self.head, "choices": choices, "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Return how many tokens were read and written."""
        written = sum(self.n_tokens.values())
        return {
            "prompt_tokens": self.n_prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.n_prompt_tokens + written,
        }
