from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from luban.serve.schemas import Limits
from luban.serve.served import Answerer, Piece
from tests.serve.conftest import MOODS, Parrot, eventually

if TYPE_CHECKING:
    from tests.serve.conftest import Serving


def complete(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/completions", json={"prompt": "abc", **body})


def test_a_completion_has_openais_form(serving: Serving) -> None:
    reply = complete(serving(), max_tokens=10).json()
    assert reply["choices"] == [{"index": 0, "text": "abc", "logprobs": None, "finish_reason": "stop"}]
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert (reply["object"], reply["model"]) == ("text_completion", "parrot")


def test_an_answer_cut_by_max_tokens_says_length(serving: Serving) -> None:
    client = serving()
    choice = complete(client, max_tokens=2).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    long = complete(client, prompt="x" * 60, max_tokens=1000).json()  # the context, 64, is the bound
    assert long["usage"]["total_tokens"] == 64


def test_several_prompts_and_answers_are_numbered_as_openai_does(serving: Serving) -> None:
    parrot = Parrot()
    reply = complete(serving(parrot.served()), prompt=["ab", "c"], n=2, seed=5).json()
    assert [(c["index"], c["text"]) for c in reply["choices"]] == [(0, "ab"), (1, "ab"), (2, "c"), (3, "c")]
    assert [s.seed for s in parrot.asked] == [5, 6, 5, 6]  # a prompt is answered as if it were alone
    assert reply["usage"]["completion_tokens"] == 6


def test_every_sampling_setting_reaches_the_model(serving: Serving) -> None:
    parrot = Parrot()
    given = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 3, "stop": ["x", "y"]}
    given |= {"presence_penalty": 0.5, "frequency_penalty": -0.25, "repetition_penalty": 1.5}
    assert complete(serving(parrot.served()), max_tokens=4, **given).status_code == 200
    asked = parrot.asked[0]
    assert {k: getattr(asked, k) for k in given} == {**given, "stop": ("x", "y")}
    assert asked.max_new_tokens == 4


def test_a_stream_carries_the_same_text_in_events_and_ends_with_done(serving: Serving) -> None:
    with serving().stream(
        "POST",
        "/v1/completions",
        json={"prompt": "abc", "stream": True, "stream_options": {"include_usage": True}},
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == "abc"
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None, None, None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 6


def test_texts_are_classified_in_order(serving: Serving) -> None:
    client = serving()
    texts = [f"text {i} {'good' if i % 3 else ''}" for i in range(70)]
    data = client.post("/v1/classify", json={"input": texts}).json()["data"]
    assert [row["index"] for row in data] == list(range(70))
    assert [row["label"] for row in data] == ["good" if i % 3 else "bad" for i in range(70)]
    one = client.post("/v1/classify", json={"input": "a good film"}).json()["data"]
    assert one == [
        {"index": 0, "label": "good", "probability": 0.75, "probabilities": {"bad": 0.25, "good": 0.75}}
    ]


def test_models_are_listed_and_chosen_by_name_or_by_being_the_only_fit(serving: Serving) -> None:
    client = serving(Parrot("a").served(), Parrot("b").served(), MOODS)
    assert [m["id"] for m in client.get("/v1/models").json()["data"]] == ["a", "b", "moods"]
    assert client.get("/v1/models/moods").json()["labels"] == ["bad", "good"]
    assert complete(client, model="b").json()["model"] == "b"
    assert client.post("/v1/classify", json={"input": "x"}).json()["model"] == "moods"
    for response, status, words in (
        (complete(client), 400, "name the model: one of a, b"),
        (complete(client, model="c"), 404, "served are: a, b, moods"),
        (complete(client, model="moods"), 400, "ask it at /v1/classify"),
        (client.get("/v1/models/zzz"), 404, "served are"),
    ):
        assert response.status_code == status
        assert words in response.json()["error"]["message"]
    assert complete(client, model="c").json()["error"]["code"] == "model_not_found"


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": 5}, "prompt", "a text or a list of texts"),
    ({"prompt": []}, "prompt", "a text or a list of texts"),
    ({"prompt": ["a", 5]}, "prompt", "a text or a list of texts"),
    ({"prompt": None}, "prompt", "a text or a list of texts"),
    ({"prompt": "x" * 65}, "prompt", "has 65 tokens, but parrot reads at most 63 (context 64)"),
    ({"prompt": ["a", "x" * 64]}, "prompt", "has 64 tokens"),
    ({"prompt": ["x"] * 17}, "prompt", "at most 16"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1, not 0"),
    ({"max_tokens": -1}, "max_tokens", "greater than or equal to 1"),
    ({"max_tokens": 4097}, "max_tokens", "at most 4096"),
    ({"max_tokens": 10**9}, "max_tokens", "at most 4096"),
    ({"max_tokens": 2**63}, "max_tokens", "at most 4096"),
    ({"max_tokens": "5"}, "max_tokens", "valid integer"),
    ({"max_tokens": 1.5}, "max_tokens", "valid integer"),
    ({"max_tokens": True}, "max_tokens", "valid integer"),
    ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
    ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
    ({"temperature": "hot"}, "temperature", "valid number"),
    ({"temperature": float("nan")}, "temperature", "finite"),
    ({"top_p": 0}, "top_p", "greater than 0"),
    ({"top_p": 1.01}, "top_p", "less than or equal to 1"),
    ({"top_k": -1}, "top_k", "greater than or equal to 0"),
    ({"min_p": float("inf")}, "min_p", "finite"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"n": 9}, "n", "at most 8"),
    ({"seed": 2**63}, "seed", "less than"),
    ({"stop": ["a"] * 5}, "stop", "at most 4"),
    ({"stop": "x" * 101}, "stop", "at most 100"),
    ({"stop": ""}, "stop", "empty"),
    ({"stop": 3}, "stop", "a text or a list of texts"),
    ({"stream": "yes"}, "stream", "valid boolean"),
    ({"logprobs": 0}, "logprobs", "not supported"),
    ({"echo": True}, "echo", "not supported"),
    ({"best_of": 2}, "best_of", "not supported"),
    ({"suffix": "end"}, "suffix", "not supported"),
    ({"presence_penalty": 2.1}, "presence_penalty", "less than or equal to 2"),
    ({"repetition_penalty": 0}, "repetition_penalty", "greater than 0"),
    ({"max_token": 5}, "max_token", "did you mean max_tokens?"),
]


def test_a_suffix_is_read_by_models_with_marks_alone(serving: Serving) -> None:
    code = replace(
        Parrot("code").served(),
        infill=lambda before, after, settings: iter([Piece(f"<{before}|{after}>", 3, "stop")]),
    )
    asks = Answerer("asks", "/v1/complete-code", MOODS.predictor, MOODS.example, replace(code, name="asks"))
    client = serving(code, asks, Parrot().served(), MOODS)
    for name in ("code", "asks"):
        reply = complete(client, model=name, suffix="尾巴", prompt=["a", "b"]).json()
        assert [c["text"] for c in reply["choices"]] == ["<a|尾巴>", "<b|尾巴>"]
        assert reply["usage"]["prompt_tokens"] == 2 * (1 + 2 + 4)
        assert complete(client, model=name, suffix="").json()["choices"][0]["text"] == "abc"
        assert (
            complete(client, model=name, suffix="x" * 63).json()["error"]["code"] == "context_length_exceeded"
        )
        assert complete(client, model=name, suffix=3).json()["error"]["param"] == "suffix"
    assert "no marks" in complete(client, model="parrot", suffix="x").json()["error"]["message"]
    assert complete(client, model="parrot", suffix=None).status_code == 200
    assert complete(client, model="moods").json()["error"]["code"] == "wrong_kind_of_model"


def test_wrong_fields_are_refused_one_by_one_and_the_next_request_is_answered(serving: Serving) -> None:
    client = serving()
    expected = complete(client, temperature=0).json()["choices"]
    for change, param, words in WRONG:
        response = client.post("/v1/completions", content=json.dumps({"prompt": "abc", **change}))
        assert response.status_code == 400, (change, response.text)
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["param"] == param, change
        assert words in error["message"], change
    assert complete(client, temperature=0).json()["choices"] == expected


def test_harmless_fields_and_neutral_values_are_accepted(serving: Serving) -> None:
    harmless = {"user": "me", "metadata": {}, "logprobs": None, "echo": False, "best_of": 1, "logit_bias": {}}
    response = complete(serving(), max_tokens=None, stop=None, presence_penalty=0, **harmless)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"prompt": "\xff"}', "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "prompt is required"),
    ],
)
def test_a_body_that_is_no_request_is_refused(serving: Serving, body: bytes, words: str) -> None:
    response = serving().post("/v1/completions", content=body)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]


def test_an_unknown_path_or_method_is_answered_in_openais_form(serving: Serving) -> None:
    client = serving()
    assert client.get("/v2").status_code == 404
    assert "/v1/completions" in client.get("/v2").json()["error"]["message"]
    assert client.get("/v1/completions").status_code == 405
    assert "error" in client.get("/v1/completions").json()


def test_too_many_texts_are_refused(serving: Serving) -> None:
    response = serving().post("/v1/classify", json={"input": ["x"] * 257})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "input")


def test_a_full_queue_says_when_to_come_back_and_health_still_answers(serving: Serving) -> None:
    gate = threading.Event()
    parrot = Parrot(gate=gate, context=None)
    client = serving(parrot.served(), limits=Limits(max_queue=1))
    url = str(client.base_url)
    body = {"prompt": "x" * 200, "max_tokens": 200}
    replies: list[int] = []

    def ask() -> None:
        replies.append(httpx.post(f"{url}/v1/completions", json=body, timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert eventually(lambda: parrot.n_written > 0)
    threads[1].start()
    assert eventually(lambda: client.get("/health").json()["waiting"] == 1)
    refused = complete(client)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    gate.set()
    for thread in threads:
        thread.join(20)
    assert replies == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_the_work(serving: Serving, stream: bool) -> None:
    parrot = Parrot(gate=threading.Event(), context=None)
    client = serving(parrot.served())
    body = {"prompt": "x" * 2000, "max_tokens": 2000, "stream": stream}
    leaving = httpx.Client(base_url=client.base_url, timeout=httpx.Timeout(20, read=0.3))
    if stream:
        with leaving.stream("POST", "/v1/completions", json=body) as reply:
            next(reply.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            leaving.post("/v1/completions", json=body)
    leaving.close()
    assert parrot.closed.wait(5)
    assert parrot.n_written < 1000
    parrot.gate.set()  # type: ignore[union-attr]
    assert complete(client).status_code == 200


def test_a_model_that_fails_is_a_500_without_the_text_of_the_request(
    serving: Serving, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serving()
    with caplog.at_level(logging.DEBUG):
        response = client.post("/v1/classify", json={"input": "crash now"})
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the model failed with RuntimeError"
    told = caplog.text + "".join(capfd.readouterr())
    assert "RuntimeError" in told
    assert "crash now" not in told
    assert client.post("/v1/classify", json={"input": "good"}).status_code == 200


def test_no_prompt_reaches_the_logs(
    serving: Serving, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serving()
    with caplog.at_level(logging.DEBUG, logger="luban"), caplog.at_level(logging.DEBUG, logger="uvicorn"):
        complete(client, prompt="canary-7391")
        complete(client, prompt="canary-7391", max_tokens=-5)
        client.post("/v1/classify", json={"input": 5, "canary-7391": 1})
    assert "canary-7391" not in caplog.text + "".join(capfd.readouterr())


def test_a_long_answer_does_not_hold_up_health(serving: Serving) -> None:
    parrot = Parrot(gate=threading.Event(), context=None)
    client = serving(parrot.served())
    body = {"prompt": "x" * 300, "max_tokens": 300, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as reply:
        next(reply.iter_lines())
        before = parrot.n_written
        for _ in range(5):
            assert httpx.get(f"{client.base_url}/health").status_code == 200
            time.sleep(0.02)
        assert before < parrot.n_written < 300
