"""Chat completions as OpenAI's own client reads them, of a tiny model with a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("openai")
import openai

from luban.generate import SamplingSettings
from luban.generate.speaker import Speaker
from luban.models.load import load_model, save_model
from luban.serve.schemas import Limits
from luban.serve.served import Served, Writer, open_folder
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat_formats import with_format
from tests.generate.test_speaker import model_for
from tests.serve.conftest import Parrot, Serving
from tests.tokenizer.test_chat import speaking
from tests.tokenizer.test_chat_formats import CALLS, TOOLS

TALK: list[Any] = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "你好, who?"}]
USUAL: dict[str, Any] = {"model": "small", "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = with_format(speaking(None), "qwen2.5")
    save_model(model_for(tokenizer, 1200), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def small(folder: Path) -> Served:
    return open_folder(folder, "small")


def said_here(folder: Path, messages: list[Any], **more: Any) -> str:
    with Speaker(load_model(folder), load_tokenizer(folder)) as speaker:
        settings = SamplingSettings(temperature=0, max_new_tokens=12)
        return "".join(p.text for p in speaker.answer(messages, settings, **more).pieces)


def test_the_official_client_gets_what_the_model_says(serving: Serving, small: Served, folder: Path) -> None:
    http = serving(small)
    with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="none") as client:
        whole = client.chat.completions.create(messages=TALK, **USUAL)
        (choice,) = whole.choices
        assert (choice.message.role, choice.message.content) == ("assistant", said_here(folder, TALK))
        assert choice.finish_reason in ("stop", "length")
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        assert whole.usage.completion_tokens == 12
        asked = {**USUAL, "stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(messages=TALK, **asked))
        pieces = [c.choices[0] for c in chunks if c.choices]
        assert "".join(p.delta.content or "" for p in pieces) == choice.message.content
        assert [p.delta.role for p in pieces] == ["assistant", *[None] * (len(pieces) - 1)]
        assert pieces[-1].finish_reason == choice.finish_reason
        assert chunks[-1].usage == whole.usage
        assert chunks[0].object == "chat.completion.chunk"


def test_tools_and_calls_reach_the_template(serving: Serving, small: Served, folder: Path) -> None:
    tools = [{"type": "function", "function": tool} for tool in TOOLS]
    asked = {**USUAL, "messages": CALLS[:3], "tools": tools, "tool_choice": "auto"}
    found = serving(small).post("/v1/chat/completions", json=asked).json()
    assert found["choices"][0]["message"]["content"] == said_here(folder, CALLS[:3], tools=TOOLS)
    assert isinstance(small, Writer)
    assert small.talker is not None
    assert found["usage"]["prompt_tokens"] == len(small.talker.prompt(CALLS[:3], tools))


def test_choices_differ_by_their_seeds_and_a_stop_text_ends_one(serving: Serving, small: Served) -> None:
    client = serving(small)
    asked = {**USUAL, "messages": TALK, "temperature": 1, "seed": 5, "n": 2}
    first, second = (client.post("/v1/chat/completions", json=asked).json()["choices"] for _ in "ab")
    assert first == second
    assert first[0]["message"]["content"] != first[1]["message"]["content"]
    text = first[0]["message"]["content"]
    stop = next(c for c in text if c != text[0])
    ended = client.post("/v1/chat/completions", json={**asked, "n": 1, "stop": [stop]}).json()["choices"][0]
    assert ended["message"]["content"] == text[: text.index(stop)]
    assert ended["finish_reason"] == "stop"


def test_parts_of_text_and_the_developers_role_are_read(serving: Serving, small: Served) -> None:
    client = serving(small)
    parts = [{"type": "text", "text": "你好,"}, {"type": "text", "text": "who?"}]
    given = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": parts}]
    plain = [TALK[0], {"role": "user", "content": "你好,\nwho?"}]
    texts = [
        client.post("/v1/chat/completions", json={**USUAL, "messages": messages}).json()["choices"]
        for messages in (given, plain)
    ]
    assert texts[0] == texts[1]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "there are none"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "narrator", "content": "x"}]}, "role should be one of"),
    ({"messages": [{"role": "user"}]}, "content should be a text"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "reads text alone"),
    ({"messages": [{"role": "assistant", "content": None, "tool_calls": ["f"]}]}, "tool_calls should be"),
    ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, "a mark of the chat template"),
    ({"messages": [{"role": "user", "content": "x" * 1500}]}, "reads at most"),
    ({"messages": TALK * 20}, "at most 9 are allowed"),
    ({"messages": TALK, "max_completion_tokens": 10**6}, "max_tokens"),
    ({"messages": TALK, "logprobs": True}, "logprobs"),
    ({"messages": TALK, "response_format": {"type": "json_object"}}, "response_format is not supported"),
    ({"messages": TALK, "massages": 1}, "did you mean messages"),
    ({}, "messages is required"),
]


def test_wrong_requests_are_refused_one_by_one(serving: Serving, small: Served) -> None:
    client = serving(small, limits=Limits(max_messages=9))
    for change, words in WRONG:
        response = client.post("/v1/chat/completions", content=json.dumps({"model": "small", **change}))
        assert response.status_code == 400, (change, response.text)
        assert words in response.json()["error"]["message"], change
    assert client.post("/v1/chat/completions", json={**USUAL, "messages": TALK}).status_code == 200


def test_a_model_without_a_template_is_asked_elsewhere(serving: Serving, small: Served) -> None:
    client = serving(small, Parrot().served())
    refused = client.post("/v1/chat/completions", json={"model": "parrot", "messages": TALK})
    assert refused.status_code == 400
    assert "/v1/completions" in refused.json()["error"]["message"]
    assert client.post("/v1/completions", json={"model": "small", "prompt": "a"}).status_code == 200
    alone = serving(Parrot().served())
    assert alone.post("/v1/chat/completions", json={"messages": TALK}).status_code == 404
