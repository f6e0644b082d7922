"""Every format that ships: the same text as the reference library, and the answers alone supervised."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import ConfigError, DataError
from luban.records import IGNORE
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat
from luban.tokenizer.chat_formats import FOLDER, FORMATS, with_format
from tests.tokenizer.test_chat import TALK, speaking, supervised

SYSTEM = {"role": "system", "content": "Be short. 简短。"}
CALL = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"城市": "北京"}'}}
TOOLS = [{"name": "clock", "description": "时间", "parameters": {"type": "object", "properties": {}}}]
CALLS = [
    {"role": "user", "content": "time?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "12:00", "tool_call_id": "c1"},
    {"role": "assistant", "content": "Noon, 中午."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Still noon."},
]
WITH_TOOLS = {
    "qwen2.5": '<tool_call>\n{"name": "clock", "arguments": {"城市": "北京"}}\n</tool_call><|im_end|>',
    "qwen3": '<tool_call>\n{"name": "clock", "arguments": {"城市": "北京"}}\n</tool_call><|im_end|>',
    "llama3": '{"name": "clock", "parameters": {"城市": "北京"}}<|eot_id|>',
    "mistral": '[TOOL_CALLS] [{"name": "clock", "arguments": {"城市": "北京"}, "id": "c1"}]</s>',
    "luban": '<|call|>{"name": "clock", "arguments": {"城市": "北京"}}<|end|>',
}
ENDS = {
    **dict.fromkeys(("chatml", "smollm2", "qwen2.5", "qwen3"), "<|im_end|>"),
    **dict.fromkeys(("llama2", "mistral"), "</s>"),
    "llama3": "<|eot_id|>", "gemma": "<end_of_turn>", "luban": "<|end|>",
}  # fmt: skip


def formatted(name: str) -> Tokenizer:
    return with_format(speaking(None), name)


def said(name: str, messages: Any, tools: Any = None) -> list[str]:
    return [run.strip() for run in supervised(formatted(name), messages, tools)]


def expected(name: str, *answers: str) -> list[str]:
    gap = " " if name == "llama2" else ""
    ended = [f"{answer}{gap}{ENDS[name]}" for answer in answers]
    return [*ended[:-1], f"<think>\n\n</think>\n\n{ended[-1]}"] if name == "qwen3" else ended


def test_a_template_ships_for_each_format_and_names_its_source() -> None:
    assert {path.stem for path in FOLDER.glob("*.jinja")} == set(FORMATS) == set(ENDS)
    for name in set(FORMATS) - {"luban"}:
        assert "Source:" in (FOLDER / f"{name}.jinja").read_text("utf-8"), name


@pytest.mark.parametrize("name", FORMATS)
def test_answers_with_their_ends_are_learnt_and_nothing_else(name: str) -> None:
    answers = expected(name, "Hi, 你好!", "Four.")
    assert said(name, TALK) == answers
    assert said(name, [SYSTEM, *TALK]) == answers
    one = [TALK[0], {"role": "assistant", "content": "hello"}]  # the very words of the question
    assert said(name, one) == expected(name, "hello")


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_begins_where_its_prompt_ends_and_the_system_prompt_is_read(name: str) -> None:
    with ChatTemplate(formatted(name)) as chat:
        for talk in (TALK[:2], [SYSTEM, *TALK[:2]]):
            ids, flags = encode_chat(chat, talk)
            prompt = chat.prompt_ids(talk[:-1])
            assert ids[: len(prompt)] == prompt
            assert flags.index(True) == len(prompt)
        assert SYSTEM["content"] in chat.render([SYSTEM, *TALK])


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_are_learnt_and_what_tools_answer_is_not(name: str) -> None:
    assert said(name, CALLS, TOOLS) == [WITH_TOOLS[name], *expected(name, "Noon, 中午.", "Still noon.")]
    with ChatTemplate(formatted(name)) as chat:
        text = chat.render(CALLS, tools=TOOLS)
    for part in ('"description": "时间"', "12:00"):
        assert part in text


@pytest.mark.parametrize("name", ["qwen2.5", "qwen3", "luban"])
def test_words_before_a_call_are_learnt_with_it(name: str) -> None:
    talk = [CALLS[0], {**CALLS[1], "content": "I look."}, *CALLS[2:4]]
    call, answer = said(name, talk, TOOLS)
    assert call.removeprefix("<think>\n\n</think>\n\n").startswith("I look.")
    assert call.endswith(WITH_TOOLS[name])
    assert answer == expected(name, "Noon, 中午.")[0]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(WITH_TOOLS)))
def test_a_format_without_tools_says_so(name: str) -> None:
    with ChatTemplate(formatted(name)) as chat:
        with pytest.raises(DataError, match="no tools"):
            chat.render(TALK, tools=TOOLS)
        with pytest.raises(DataError, match="no tool calls"):
            chat.render(CALLS)


def test_qwen3_leaves_old_thoughts_out_and_learns_the_last() -> None:
    thinking = [
        {**m, "content": f"<think>\nwhy {i}\n</think>\n\n{m['content']}"} if m["role"] == "assistant" else m
        for i, m in enumerate(TALK)
    ]
    assert said("qwen3", thinking) == ["Hi, 你好!<|im_end|>", "<think>\nwhy 3\n</think>\n\nFour.<|im_end|>"]
    apart = [TALK[0], {**TALK[1], "reasoning_content": "why"}]
    assert said("qwen3", apart) == ["<think>\nwhy\n</think>\n\nHi, 你好!<|im_end|>"]


@pytest.mark.parametrize("name", FORMATS)
def test_text_and_ids_are_those_of_the_reference_library(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    formatted(name).save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tools = [{"type": "function", "function": tool} for tool in TOOLS]
    arguments = json.loads(CALL["function"]["arguments"])  # type: ignore[index]
    calls = [{**CALL, "function": {"name": "clock", "arguments": arguments}}]
    talks = [(TALK, None), ([SYSTEM, *TALK[:3]], None)]
    if name in WITH_TOOLS:
        talks.append(([{**m, "tool_calls": calls} if "tool_calls" in m else m for m in CALLS], tools))
    with ChatTemplate(load_tokenizer(tmp_path)) as chat:
        for talk, given in talks:
            asked = {"tools": given, "add_generation_prompt": talk[-1]["role"] == "user"}
            text = theirs.apply_chat_template(talk, tokenize=False, **asked)
            assert chat.render(talk, tools=given, prompt=bool(asked["add_generation_prompt"])) == text
            ids = theirs.apply_chat_template(talk, return_dict=False, **asked)
            assert chat.encode(text).ids == list(ids)


def test_tokens_that_are_missing_are_added_behind_the_others_and_saved(tmp_path: Path) -> None:
    before = speaking(None)
    after = with_format(before, "luban")
    assert after.vocab_size == before.vocab_size + 6
    assert after.encode("hello 你好") == before.encode("hello 你好")
    assert after.token(after.eos_id or 0) == "<|end|>"
    assert after.token(after.pad_id or 0) == "</s>"
    after.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert (again.vocab_size, again.eos_id, again.chat_template) == (
        after.vocab_size,
        after.eos_id,
        after.chat_template,
    )
    assert supervised(again, TALK) == ["Hi, 你好!<|end|>", "Four.<|end|>"]
    assert with_format(again, "luban").vocab_size == after.vocab_size


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean chatml"):
        with_format(speaking(None), "chatlm")


@pytest.mark.parametrize("name", FORMATS)
def test_the_xray_of_a_tuned_model_shows_answers_alone_as_learnt(name: str, tmp_path: Path) -> None:
    from luban.data import xray
    from luban.data.packing import PackedRows

    tokenizer = formatted(name)
    with ChatTemplate(tokenizer) as chat:
        rows = [encode_chat(chat, talk) for talk in (TALK, TALK[:2], [SYSTEM, *TALK])]
    packed = PackedRows([r for r, _ in rows], [f for _, f in rows], tokens_per_batch=4096, seed=1)
    for batch in packed.in_order():
        for check in (xray.rows_have_targets, xray.targets_follow, xray.padding_is_silent):
            assert check(batch).ok
        assert xray.answers_end(batch, tokenizer.special_ids).ok
        learnt = [
            v.target
            for i in range(len(batch.tokens))
            for v in xray.view_row(batch, i, tokenizer)
            if v.supervised
        ]
        assert "Hi, " in "".join(str(piece) for piece in learnt)
        assert "hello" not in "".join(str(piece) for piece in learnt)
        broken = batch.targets.clone()
        broken[torch.isin(broken, torch.tensor(sorted(tokenizer.special_ids)))] = IGNORE
        assert not xray.answers_end(dataclasses.replace(batch, targets=broken), tokenizer.special_ids).ok
