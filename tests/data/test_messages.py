"""Conversations from every form of row, and rows that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.messages import read_conversations
from luban.errors import DataError
from luban.files import write_jsonl

ASKED, ANSWERED = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}


def read(tmp_path: Path, *rows: Any) -> Any:
    write_jsonl(tmp_path / "rows.jsonl.gz", rows)
    return read_conversations(tmp_path / "rows.jsonl.gz")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASKED, ANSWERED]},
        {"messages": json.dumps([ASKED, ANSWERED])},
        {"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]},
        {"conversations": [ASKED, ANSWERED]},
        {"instruction": "1+1?", "input": "", "output": "2"},
        {"instruction": "1+1?", "output": "2"},
        {"prompt": "1+1?", "response": "2"},
    ],
)
def test_every_form_is_the_same_conversation(row: Any, tmp_path: Path) -> None:
    found = read(tmp_path, row)
    assert [c.messages for c in found.kept] == [(ASKED, ANSWERED)]
    assert not found.rejects


def test_an_input_follows_its_instruction_and_history_comes_first(tmp_path: Path) -> None:
    row = {
        "instruction": "Add.",
        "input": "1 1",
        "output": "2",
        "system": "Be short.",
        "history": [["a", "b"]],
    }
    (talk,) = read(tmp_path, row).kept
    assert [(m["role"], m["content"]) for m in talk.messages] == [
        ("system", "Be short."), ("user", "a"), ("assistant", "b"), ("user", "Add.\n\n1 1"), ("assistant", "2"),
    ]  # fmt: skip


def test_tools_and_a_system_prompt_beside_the_turns_are_kept(tmp_path: Path) -> None:
    tools = [{"name": "f"}]
    row = {
        "conversations": [
            {"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
            {"from": "observation", "value": "c"}, {"from": "gpt", "value": "d"},
        ],
        "system": "s", "tools": json.dumps(tools),
    }  # fmt: skip
    (talk,) = read(tmp_path, row).kept
    assert [m["role"] for m in talk.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert talk.tools == ({"name": "f"},)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"messages": [ANSWERED, ASKED]},
            "turn 1 is the assistant's, at the start; expected: system or user",
        ),
        (
            {"messages": [ASKED, ASKED, ANSWERED]},
            "turn 2 is the user's, after the user's; expected: assistant",
        ),
        ({"messages": [ASKED]}, "the last turn is the user's"),
        ({"messages": [ASKED, {"role": "assistant", "content": " \n"}]}, "turn 2, the assistant's, is empty"),
        ({"messages": [{"role": "user", "content": ""}, ANSWERED]}, "turn 1, the user's, is empty"),
        ({"messages": [ASKED, {"role": "narrator", "content": "x"}]}, "role = 'narrator' is no role"),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "the content of a turn is no text"),
        ({"messages": []}, "messages is no list of turns"),
        ({"messages": "hello"}, "messages is no list of turns"),
        ({"instruction": "x", "output": ""}, "turn 2, the assistant's, is empty"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, "history is no list of pairs"),
        ({"text": "x"}, "no conversation; known are: messages"),
        ({"messages": [ASKED, ANSWERED], "tools": {"a": 1}}, "tools is no list"),
        ({"messages": [ASKED, ANSWERED], "split": "dreams"}, "split = 'dreams' is no split"),
        ([1], "not an object: a list"),
    ],
)
def test_a_row_that_is_no_conversation_is_set_aside_with_its_reason(
    row: Any, reason: str, tmp_path: Path
) -> None:
    found = read(tmp_path, {"messages": [ASKED, ANSWERED]}, row)
    assert len(found.kept) == 1
    (reject,) = found.rejects
    assert reject["reason"].startswith(reason)
    assert (reject["file"], reject["line"]) == ("rows.jsonl.gz", 2)


def test_a_file_without_any_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no usable conversation \(1 rejected; the first: line 1: no conversation"
    ):
        read(tmp_path, {"text": "x"})
    with pytest.raises(DataError, match="is not a table of conversations"):
        read_conversations(tmp_path)


def test_the_same_talk_has_the_same_key_wherever_it_stands(tmp_path: Path) -> None:
    a, b, c = read(
        tmp_path, {"messages": [ASKED, ANSWERED]}, {"instruction": "1+1?", "output": "2"}, {"prompt": "x", "response": "y"}
    ).kept  # fmt: skip
    assert a.key == b.key != c.key


CALL = '{"name": "clock", "arguments": {"城市": "北京"}}'
TOOL = {"role": "tool", "content": "12:00"}


def called(name: str) -> list[dict[str, str]]:
    return [{"role": "tool_call", "content": json.dumps({"name": name, "arguments": {}})}]


@pytest.mark.parametrize(
    ("turns", "tools", "reason"),
    [
        (called("g"), [{"name": "f"}, {"name": "时钟"}], "turn 2 calls 'g', which is not among the row's tools: f, 时钟"),
        ([*called("f"), {"role": "tool", "content": "12:00"}, *called("h")], [{"function": {"name": "f"}}], "turn 4 calls 'h'"),
        ([ANSWERED, {"role": "tool", "content": "12:00"}], None, "turn 3 is a tool's, and nothing was called"),
        (called("f"), [{"description": "x"}], "a tool has no name"),
        (called("f"), ["f"], "a tool has no name"),
        ([{"role": "tool_call", "content": "f()"}], None, "a tool call is no JSON"),
    ],
)  # fmt: skip
def test_a_call_that_nobody_could_make_is_set_aside(
    turns: Any, tools: Any, reason: str, tmp_path: Path
) -> None:
    row = {
        "messages": [ASKED, *turns, TOOL, ANSWERED][: 99 if turns[-1]["role"] != "tool" else -2],
        "tools": tools,
    }
    row["messages"] += [] if row["messages"][-1]["role"] == "assistant" else [ANSWERED]
    (reject,) = read(tmp_path, {"messages": [ASKED, ANSWERED]}, row).rejects
    assert reject["reason"].startswith(reason)


def test_a_row_that_lists_no_tools_may_call_any(tmp_path: Path) -> None:
    row = {"messages": [ASKED, *called("f"), TOOL, TOOL, ANSWERED]}
    assert not read(tmp_path, row).rejects


@pytest.mark.parametrize(
    "called",
    [
        [{"role": "tool_call", "content": CALL}],
        [{"role": "function_call", "content": f"[{CALL}]"}],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": json.loads(CALL)}]}],
        [{"role": "assistant", "content": None, "function_call": json.loads(CALL)}],
    ],
)
def test_every_way_to_call_a_tool_is_the_assistants_message_with_the_call(
    called: Any, tmp_path: Path
) -> None:
    (talk,) = read(tmp_path, {"messages": [ASKED, *called, TOOL, ANSWERED]}).kept
    assert talk.messages[1]["role"] == "assistant"
    assert talk.messages[1]["content"] == ""
    (call,) = talk.messages[1]["tool_calls"]
    assert call["function"] == {"name": "clock", "arguments": '{"城市": "北京"}'}


def test_a_call_after_words_is_part_of_the_same_message(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "I look."}
    (talk,) = read(
        tmp_path, {"messages": [ASKED, said, {"role": "tool_call", "content": CALL}, TOOL, ANSWERED]}
    ).kept
    assert [m["role"] for m in talk.messages] == ["user", "assistant", "tool", "assistant"]
    assert talk.messages[1]["content"] == "I look."
    assert len(talk.messages[1]["tool_calls"]) == 1


def test_a_history_that_holds_no_texts_is_set_aside(tmp_path: Path) -> None:
    row = {"instruction": "a", "output": "b", "history": [[1, 2]]}
    found = read(tmp_path, {"messages": [ASKED, ANSWERED]}, row)
    assert found.rejects[0]["reason"] == "history is no list of pairs"
