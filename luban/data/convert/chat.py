"""Conversations in the forms of OpenAI, ShareGPT, Alpaca, and turns whose calls have a role of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from luban.data.convert.records import Row, Talk, joined, rest
from luban.data.encoding import Unreadable
from luban.data.messages import CALL, check_order, parsed, read_messages, read_tools

TURNS = ("messages", "conversations", "conversation")
_BESIDE = ("tools", "system", "chosen", "rejected")
_ALPACA = ("instruction", "prompt", "input", "output", "response", "completion", "history")
SHAREGPT = {
    "system": "system",
    "user": "human",
    "assistant": "gpt",
    CALL: "function_call",
    "tool": "observation",
}


def read_chat(row: Row) -> Talk:
    """Return the conversation of a row in any of the forms."""
    chosen, rejected = (_answer(row, name) for name in ("chosen", "rejected"))
    if (chosen is None) != (rejected is None):
        raise Unreadable("of chosen and rejected, one is missing")
    prefers = chosen is not None
    form = next((name for name in TURNS if row.get(name) is not None), None)
    extra = rest(row, (*_BESIDE, *((form,) if form else _ALPACA)))
    if prefers and form is None:
        turns = parsed(row.get("prompt"))
        row = {**row, "messages": turns} if isinstance(turns, list) else _asked(row)
    messages = tuple(check_order(read_messages(row)))
    last = messages[-1]["role"]
    if prefers == (last == "assistant"):
        rule = "which chosen and rejected should answer" if prefers else "so nothing is answered"
        raise Unreadable(f"the last turn is the {last}'s, {rule}")
    return Talk(messages, read_tools(row), chosen, rejected, extra)


def _asked(row: Row) -> Row:
    """Return an Alpaca row of a preference, which has no output, as turns."""
    turns = read_messages({**row, "output": "-"})[:-1]
    return {**rest(row, ("system",)), "messages": turns}


def _answer(row: Row, name: str) -> str | None:
    given = row.get(name)
    answer = parsed(given)
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, dict) and answer.keys() & {"role", "from"}:
        answer = answer.get("content", answer.get("value"))
    elif isinstance(given, str):
        answer = given  # that the text of an answer is JSON says nothing
    if given is not None and (not isinstance(answer, str) or not answer.strip()):
        raise Unreadable(f"{name} is no answer: {given!r:.60}")
    return answer


def write_openai(talk: Talk) -> Row:
    """Return {"messages", "tools"}; calls without an id are numbered, and each answer names its call."""
    messages, waiting, n_calls = [], list[str](), 0
    for i, message in enumerate(talk.messages, start=1):
        if message["role"] == "tool":
            named = message.get("tool_call_id")
            if not waiting or named not in (None, *waiting):
                raise Unreadable(f"turn {i} is a tool's answer, but no call waits for {named or 'one'}")
            message = {**message, "tool_call_id": named or waiting[0]}
            waiting.remove(message["tool_call_id"])
        elif message.get("tool_calls"):
            calls = []
            for n, call in enumerate(message["tool_calls"], start=n_calls + 1):
                calls.append({"id": f"call_{n}", **call})
            n_calls += len(calls)
            waiting = [call["id"] for call in calls]
            message = {**message, "tool_calls": calls}
        messages.append(message)
    made: Row = {"messages": messages}
    if talk.tools:
        made["tools"] = [t if _is_wrapped(t) else {"type": "function", "function": t} for t in talk.tools]
    for name, answer in (("chosen", talk.chosen), ("rejected", talk.rejected)):
        if answer is not None:
            made[name] = [{"role": "assistant", "content": answer}]
    return joined(made, talk.extra)


def _is_wrapped(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("function"), dict)


def _plain_tools(talk: Talk) -> Row:
    tools = [tool["function"] if _is_wrapped(tool) else tool for tool in talk.tools]
    return {"tools": json.dumps(tools, ensure_ascii=False)} if tools else {}


def write_turns(talk: Talk) -> Row:
    """Return {"messages", "tools"} in which a call is a turn of the role tool_call, tools are JSON."""
    made: Row = {"messages": [{"role": role, "content": text, **more} for role, text, more in _turns(talk)]}
    made.update(_plain_tools(talk))
    if talk.chosen is not None:
        made.update(chosen=talk.chosen, rejected=talk.rejected)
    return joined(made, talk.extra)


def write_sharegpt(talk: Talk) -> Row:
    """Return {"conversations": [{"from", "value"}], "system", "tools"}."""
    turns = list(_turns(talk))
    made: Row = {}
    if turns[0][0] == "system" and not turns[0][2]:
        made["system"] = turns.pop(0)[1]
    turns_of = [{"from": SHAREGPT[role], "value": text, **more} for role, text, more in turns]
    made = {"conversations": turns_of, **made, **_plain_tools(talk)}
    for name, answer in (("chosen", talk.chosen), ("rejected", talk.rejected)):
        if answer is not None:
            made[name] = {"from": SHAREGPT["assistant"], "value": answer}
    return joined(made, talk.extra)


def _turns(talk: Talk) -> Iterator[tuple[str, str, Row]]:
    """Yield (role, text, other keys), the calls of a message as a turn after its text."""
    for message in talk.messages:
        more = rest(message, ("role", "content", "tool_calls", "tool_call_id"))
        calls = message.get("tool_calls", ())
        if message["content"] or not calls:
            yield message["role"], message["content"], more
        if calls:
            yield CALL, _spelt(calls), {}


def _spelt(calls: Sequence[Row]) -> str:
    plain = [
        {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
        for call in calls
    ]
    return json.dumps(plain[0] if len(plain) == 1 else plain, ensure_ascii=False)


def write_alpaca(talk: Talk) -> Row:
    """Return {"instruction", "input", "output"} of the last question, those before it as history."""
    messages = list(talk.messages)
    made: Row = {"instruction": "", "input": "", "output": ""}
    if messages[0]["role"] == "system":
        made["system"] = messages.pop(0)["content"]
    if any(m["role"] == "tool" or m.get("tool_calls") for m in messages):
        raise Unreadable("Alpaca's form holds no tool calls")
    if talk.tools:
        made["tools"] = json.dumps(list(talk.tools), ensure_ascii=False)
    if talk.chosen is not None:
        del made["output"]
        made.update(chosen=talk.chosen, rejected=talk.rejected)
    else:
        made["output"] = messages.pop()["content"]
    made["instruction"] = messages.pop()["content"]
    if messages:
        texts = [m["content"] for m in messages]
        made["history"] = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return joined(made, talk.extra)
