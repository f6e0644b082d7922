"""The routes: OpenAI's completions, chats and models, one for each task that is served, health."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from luban.errors import LubanError
from luban.generate.settings import SamplingSettings
from luban.serve.chat import ChatRequest, ChatResponse, read_messages
from luban.serve.engine import Answer, Engine
from luban.serve.schemas import (
    CompletionRequest,
    Limits,
    Refusal,
    Sampled,
    TaskRequest,
    check_completion,
    check_sampled,
    read_request,
    rows_asked,
)
from luban.serve.served import CHAT_ROUTE, Answerer, Piece, Served, Writer, path_of

T = TypeVar("T")
M = TypeVar("M", Writer, Answerer)
Part = tuple[int, Piece]
"""Which choice of the response a piece belongs to."""

USUAL_MAX_TOKENS = 16
ROWS_AT_ONCE = 32
N_MARKS = 4
"""Of infilling, with the one that pads."""
log = logging.getLogger("luban.serve")


def build_app(models: Sequence[Served], engine: Engine, limits: Limits) -> FastAPI:
    """Return the app that serves these models; wrap it in `security.Guard` before it meets a network."""
    app = FastAPI(title="Luban", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(Refusal, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_http_error)
    started = int(time.time())
    writers = [w for m in models if (w := m if isinstance(m, Writer) else m.writer)]

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "waiting": engine.n_waiting}

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_describe(m, started) for m in models]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        return _describe(_named(models, name), started)

    @app.post("/v1/completions")
    async def complete(request: Request) -> Any:
        asked = read_request(CompletionRequest, await request.body())
        check_completion(asked, limits)
        model = _choose(models, asked.model, writers)
        lengths = await asyncio.to_thread(_lengths, asked, model)
        sampling = _admit(asked, lengths, model, limits, USUAL_MAX_TOKENS)
        answer = engine.submit(lambda: _write(asked, model, sampling))
        return await _respond(asked, answer, _Response(model.name, sum(lengths)), request)

    talkers = [m for m in writers if m.talker]
    if talkers:
        app.post(CHAT_ROUTE)(_talk_with(talkers, models, engine, limits))

    for route in sorted({m.route for m in models if isinstance(m, Answerer)}):
        app.post(route)(_answer_at(route, models, engine, limits))
    return app


def _talk_with(
    talkers: Sequence[Writer], models: Sequence[Served], engine: Engine, limits: Limits
) -> Callable[[Request], Awaitable[Any]]:
    """Return what answers conversations."""

    async def talk(request: Request) -> Any:
        asked = read_request(ChatRequest, await request.body())
        check_sampled(asked, limits)
        model = _choose(models, asked.model, talkers)
        messages, talker = read_messages(asked, limits), model.talker
        assert talker is not None
        try:
            ids = await asyncio.to_thread(talker.prompt, messages, asked.tools or ())
        except LubanError as e:
            raise _explain(e) from None
        sampling = _admit(asked, [len(ids)], model, limits, limits.max_tokens)
        answer = engine.submit(
            lambda: (
                (i, piece)
                for i in range(asked.n or 1)
                for piece in talker.write(ids, replace(sampling, seed=sampling.seed + i))
            )
        )
        response = ChatResponse(model.name, len(ids), streams=bool(asked.stream))
        return await _respond(asked, answer, response, request)

    return talk


def _answer_at(
    route: str, models: Sequence[Served], engine: Engine, limits: Limits
) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    """Return what answers rows at a task's route."""
    fit = [m for m in models if isinstance(m, Answerer) and m.route == route]

    async def answer(request: Request) -> dict[str, Any]:
        asked = read_request(TaskRequest, await request.body())
        model = _choose(models, asked.model, fit)
        rows = rows_asked(asked, model.predictor.reads, limits)
        parts = [rows[i : i + ROWS_AT_ONCE] for i in range(0, len(rows), ROWS_AT_ONCE)]
        found = await _collect(
            engine.submit(lambda: (r for part in parts for r in model.predictor.predict(part))), request
        )
        data = [{"index": i, **row} for i, row in enumerate(found)]
        return {"object": "list", "model": model.name, "data": data}

    return answer


class _Response:
    """Builds OpenAI's text_completion objects, and counts tokens on the way."""

    def __init__(self, model: str, n_prompt_tokens: int):
        self.head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self.n_prompt_tokens, self.n_tokens = n_prompt_tokens, dict[int, int]()

    def chunk(self, part: Part) -> dict[str, Any]:
        index, piece = part
        self.n_tokens[index] = piece.n_tokens
        choice = {"index": index, "text": piece.text, "logprobs": None, "finish_reason": piece.finish}
        return {**self.head, "choices": [choice]}

    def whole(self, parts: list[Part]) -> dict[str, Any]:
        texts: dict[int, dict[str, Any]] = {}
        for part in parts:
            choice = self.chunk(part)["choices"][0]
            choice["text"] = texts.get(part[0], {"text": ""})["text"] + choice["text"]
            texts[part[0]] = choice
        return {**self.head, "choices": [texts[i] for i in sorted(texts)], "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        written = sum(self.n_tokens.values())
        return {
            "prompt_tokens": self.n_prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.n_prompt_tokens + written,
        }


def _choose(models: Sequence[Served], name: str | None, fit: Sequence[M]) -> M:
    """Return the model of that name, or the only one that fits."""
    if name is None:
        if len(fit) == 1:
            return fit[0]
        problem = (
            f"name the model: one of {', '.join(m.name for m in fit)}"
            if fit
            else "no language model is served here"
        )
        raise Refusal(400 if fit else 404, problem, "model", "model_required" if fit else "model_not_found")
    chosen = _named(models, name)
    for model in fit:
        if model.name == chosen.name:
            return model
    message = f"{chosen.name} does not answer here: ask it at {path_of(chosen)}"
    raise Refusal(400, message, "model", "wrong_kind_of_model")


def _named(models: Sequence[Served], name: str) -> Served:
    chosen = next((m for m in models if m.name == name), None)
    if chosen is None:
        raise _unknown(models, name)
    return chosen


def _unknown(models: Sequence[Served], name: str) -> Refusal:
    known = ", ".join(m.name for m in models)
    message = f"no model is named {name[:80]!r}; served are: {known}"
    return Refusal(404, message, "model", "model_not_found")


def _admit(
    asked: Sampled, lengths: Sequence[int], model: Writer, limits: Limits, usual_tokens: int
) -> SamplingSettings:
    """Return how to sample after prompts of so many tokens; one that leaves no room is refused."""
    context = model.context or limits.max_prompt_tokens
    room = min(context - 1, limits.max_prompt_tokens)
    for length in lengths:
        if length > room:
            message = (
                f"the prompt has {length} tokens, but {model.name} reads at most {room} (context {context})"
            )
            name = "messages" if isinstance(asked, ChatRequest) else "prompt"
            raise Refusal(400, message, name, "context_length_exceeded")
    penalties = ("presence_penalty", "frequency_penalty", "repetition_penalty")
    chosen = ("temperature", "top_k", "top_p", "min_p", *penalties)
    given: dict[str, Any] = {name: getattr(asked, name) for name in chosen}
    return SamplingSettings(
        max_new_tokens=min(asked.most_tokens or usual_tokens, context - max(lengths)),
        seed=secrets.randbits(31) if asked.seed is None else asked.seed & ((1 << 62) - 1),
        stop=tuple(asked.stop or ()),
        **{key: value for key, value in given.items() if value is not None},
    )


async def _respond(
    asked: Sampled, answer: Answer[Part], response: _Response | ChatResponse, request: Request
) -> Any:
    """Return the answer whole, or as a stream."""
    if asked.stream:
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        return StreamingResponse(_stream(answer, response, with_usage), media_type="text/event-stream")
    return response.whole(await _collect(answer, request))


def _lengths(asked: CompletionRequest, model: Writer) -> list[int]:
    """Return how many tokens the model reads for each prompt; refuse a suffix that it would not read."""
    around = 0
    if asked.suffix:
        if model.infill is None:
            message = f"{model.name} has no marks for infilling and would not read it: leave it out"
            raise Refusal(400, f"suffix is not supported here: {message}", "suffix", "unsupported_parameter")
        around = len(model.encode(asked.suffix)) + N_MARKS
    return [len(model.encode(prompt)) + around for prompt in asked.prompt]


def _write(asked: CompletionRequest, model: Writer, sampling: SamplingSettings) -> Iterator[Part]:
    """Yield the pieces of every choice; a choice depends on its own prompt and number only."""
    n = asked.n or 1
    for i, prompt in enumerate(asked.prompt):
        for j in range(n):
            own = replace(sampling, seed=sampling.seed + j)
            fills = model.infill if asked.suffix else None
            pieces = fills(prompt, asked.suffix or "", own) if fills else model.write(prompt, own)
            for piece in pieces:
                yield i * n + j, piece


async def _collect(answer: Answer[T], request: Request) -> list[T]:
    """Return all that the work yields; a client that leaves stops it."""

    async def read() -> list[T]:
        return [item async for item in answer]

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    reading, leaving = asyncio.ensure_future(read()), asyncio.ensure_future(leave())
    try:
        await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
        raise Refusal(499, "the client left", None, "client_left")
    except Exception as e:
        raise _explain(e) from None
    finally:
        answer.cancel()
        reading.cancel()
        leaving.cancel()


async def _stream(
    answer: Answer[Part], response: _Response | ChatResponse, with_usage: bool
) -> AsyncIterator[str]:
    try:
        async for part in answer:
            yield _event(response.chunk(part))
        if with_usage:
            yield _event({**response.head, "choices": [], "usage": response.usage()})
    except Exception as e:  # the status is sent already: tell it inside the stream
        yield _event(_explain(e).body())
    finally:
        answer.cancel()
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _explain(error: Exception) -> Refusal:
    """Return what to tell the client; a mistake of ours is logged by its place, without any text."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, LubanError):
        return Refusal(400, f"{error.problem}; {error.fix}", None, "invalid_request")
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s in %s:%s", type(error).__name__, place.filename, place.lineno)
    return Refusal(500, f"the model failed with {type(error).__name__}", None, "internal_error")


def _describe(model: Served, started: int) -> dict[str, Any]:
    more = model.predictor.about if isinstance(model, Answerer) else {"context": model.context}
    return {"id": model.name, "object": "model", "created": started, "owned_by": "luban", **more}


async def _answer_refusal(request: Request, error: Any) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


async def _answer_http_error(request: Request, error: Any) -> JSONResponse:
    paths = ", ".join(
        f"{method} {route.path}"
        for route in request.app.routes
        for method in sorted(getattr(route, "methods", None) or ())
        if method in ("GET", "POST") and "{" not in route.path
    )
    refusal = Refusal(error.status_code, f"{error.detail}; there are {paths}", None, "not_found")
    return JSONResponse(refusal.body(), refusal.status)
