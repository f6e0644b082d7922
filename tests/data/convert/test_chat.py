"""Conversations through every chat form and back, and those that are none."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.chat import read_chat, write_alpaca, write_openai, write_sharegpt, write_turns
from luban.data.encoding import Unreadable
from tests.data.convert.conftest import Convert, rejects_of, rows_of

SHARED = Path(__file__).parents[4] / "shared" / "data"
ASKED, ANSWERED = {"role": "user", "content": "北京天气?"}, {"role": "assistant", "content": "晴。"}
CALL = {"role": "tool_call", "content": '{"name": "weather", "arguments": {"城市": "北京"}}'}
TOOL = {"role": "tool", "content": '{"sky": "clear"}'}
TOOLS = '[{"name": "weather", "description": "天气", "parameters": {"type": "object"}}]'
CALLS = {"messages": [ASKED, CALL, TOOL, ANSWERED], "tools": TOOLS, "id": "r1"}


def test_a_call_becomes_openais_tool_calls_and_its_answer_names_it() -> None:
    row = write_openai(read_chat(CALLS))
    called, told = row["messages"][1:3]
    assert called == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"城市": "北京"}'},
            }
        ],
    }
    assert told == {**TOOL, "tool_call_id": "call_1"}
    assert row["tools"] == [{"type": "function", "function": json.loads(TOOLS)[0]}]
    assert row["id"] == "r1"


@pytest.mark.parametrize("write", [write_openai, write_sharegpt, write_turns])
@pytest.mark.parametrize(
    "row",
    [
        CALLS,
        {"messages": [ASKED, {"role": "assistant", "content": "I look."}, CALL, TOOL, ANSWERED]},
        {"messages": [{"role": "system", "content": "短。"}, ASKED, ANSWERED], "goal": "去 a"},
        {"messages": [ASKED], "chosen": "好", "rejected": '{"json": 1}'},
        {"messages": [ASKED, ANSWERED], "label": True},
        {
            "messages": [
                ASKED,
                {**CALL, "content": f"[{CALL['content']}, {CALL['content']}]"},
                TOOL,
                TOOL,
                ANSWERED,
            ]
        },
    ],
)
def test_turns_with_calls_come_back_from_every_form_that_has_calls(row: Any, write: Any) -> None:
    assert write_turns(read_chat(write(read_chat(row)))) == row


def test_questions_before_the_last_are_alpacas_history() -> None:
    row = {"messages": [{"role": "system", "content": "s"}, ASKED, ANSWERED, ASKED, ANSWERED]}
    alpaca = write_alpaca(read_chat(row))
    assert alpaca["history"] == [["北京天气?", "晴。"]]
    assert write_turns(read_chat(alpaca)) == row
    preferred = {"messages": [ASKED, ANSWERED, ASKED], "chosen": "a", "rejected": "b"}
    assert write_turns(read_chat(write_alpaca(read_chat(preferred)))) == preferred


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [ANSWERED, ASKED]}, "turn 1 is the assistant's"),
        ({"messages": [ASKED, {**ANSWERED, "content": " "}]}, "turn 2, the assistant's, is empty"),
        ({"messages": [ASKED]}, "the last turn is the user's, so nothing is answered"),
        (
            {"messages": [ASKED, ANSWERED], "chosen": "a", "rejected": "b"},
            "the last turn is the assistant's, which",
        ),
        ({"messages": [ASKED], "chosen": "a"}, "of chosen and rejected, one is missing"),
        ({"messages": [ASKED], "chosen": "a", "rejected": 3}, "rejected is no answer: 3"),
        ({"messages": [ASKED, {**CALL, "content": "call it"}, TOOL, ANSWERED]}, "a tool call is no JSON"),
        ({"messages": [ASKED, {**CALL, "content": "{}"}, TOOL, ANSWERED]}, "a tool call has no name"),
        (
            {"messages": [ASKED, {**CALL, "content": '{"name": "f", "arguments": "x"}'}, TOOL, ANSWERED]},
            "the arguments of f are no JSON object",
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "content": [{"type": "image_url"}]}]},
            "the content of a turn is no text: a list",
        ),
    ],
)
def test_a_row_that_is_no_conversation_is_refused_with_its_reason(row: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_chat(row)


def test_openai_takes_no_answer_of_a_tool_that_nobody_called() -> None:
    talk = read_chat({"messages": [ASKED, ANSWERED, TOOL, ANSWERED]})
    with pytest.raises(Unreadable, match="turn 3 is a tool's answer, but no call waits"):
        write_openai(talk)
    assert write_turns(read_chat(write_sharegpt(talk)))["messages"][2] == TOOL


def test_alpaca_takes_no_calls_and_no_column_is_written_over() -> None:
    with pytest.raises(Unreadable, match="holds no tool calls"):
        write_alpaca(read_chat(CALLS))
    with pytest.raises(Unreadable, match="its own column input would be written over"):
        write_alpaca(read_chat({"messages": [ASKED, ANSWERED], "input": "x"}))


def test_openais_older_and_richer_spellings_are_read() -> None:
    row = {
        "messages": [
            {"role": "developer", "content": "s"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                "name": "Ann",
            },
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "content": "1", "name": "f"},
            {"role": "assistant", "content": "c", "tool_calls": None, "weight": 0},
        ]
    }
    messages = read_chat(row).messages
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[1] == {"role": "user", "content": "a\nb", "name": "Ann"}
    assert messages[2]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert messages[4] == {"role": "assistant", "content": "c", "weight": 0}


@pytest.mark.parametrize(
    ("to", "suffix"), [("sharegpt", ".json"), ("openai", ".parquet"), ("openai", ".csv")]
)
def test_awkward_texts_come_back_through_files(to: str, suffix: str, go: Convert, texts: Any) -> None:
    rows = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}], "note": c}
        for a, b, c in zip(texts(30), texts(30), texts(30), strict=True)
    ]
    there = go([*rows, CALLS], to, suffix)
    back = rows_of(go(there, "messages", reads=to))
    home = [{k: v for k, v in row.items() if v not in (None, "")} for row in back]
    assert home == [*rows, CALLS]
    assert not rejects_of(there)


@pytest.mark.parametrize("name", ["sft_en_toolcall", "sft_zh_toolcall", "dpo_zh", "chat_zh_crosswoz"])
def test_real_conversations_come_back_from_sharegpt(name: str) -> None:
    path = SHARED / name / "data.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{name} is not in ../shared/data")
    with gzip.open(path, "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line, _ in zip(f, range(60), strict=False)]
    for row in rows:
        home = write_turns(read_chat(write_sharegpt(read_chat(row))))
        assert home == {k: v for k, v in row.items() if (k, v) != ("tools", "[]")}
