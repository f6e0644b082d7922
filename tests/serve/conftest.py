"""`serving` runs the app on a real port of this machine, with models whose answers are plain to see."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
import httpx
import uvicorn

from luban.serve.app import build_app
from luban.serve.engine import Engine
from luban.serve.schemas import Limits
from luban.serve.security import Guard
from luban.serve.served import Answerer, Piece, Served, Writer
from luban.serve.server import bind
from luban.tasks.task import Predictor

if TYPE_CHECKING:
    from luban.generate.settings import SamplingSettings


@dataclass
class Parrot:
    """A language model that repeats its prompt, a character a token; `gate` makes it wait."""

    name: str = "parrot"
    context: int | None = 64
    gate: threading.Event | None = None
    n_written: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    asked: list[SamplingSettings] = field(default_factory=list)

    def write(self, prompt: str, settings: SamplingSettings) -> Iterator[Piece]:
        self.asked.append(settings)
        try:
            for i in range(settings.max_new_tokens):
                if self.gate:
                    self.gate.wait(0.02)
                if i == len(prompt):
                    yield Piece("", i, "stop")
                    return
                self.n_written += 1
                yield Piece(prompt[i], i + 1, "length" if i + 1 == settings.max_new_tokens else None)
        finally:
            self.closed.set()

    def served(self) -> Writer:
        return Writer(self.name, self.context, lambda text: list(range(len(text))), self.write)


def moods(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Calls a text good when it says so."""
    if any("crash" in text for text in texts):
        raise RuntimeError(f"secret words: {texts}")
    rows = []
    for text in texts:
        good = 0.75 if "good" in text else 0.25
        label = "good" if good > 0.5 else "bad"
        rows.append(
            {
                "label": label,
                "probability": max(good, 1 - good),
                "probabilities": {"bad": 1 - good, "good": good},
            }
        )
    return rows


MOODS = Answerer(
    "moods",
    "/v1/classify",
    Predictor(
        ("text",), lambda rows: moods([r["text"] for r in rows]), ("label",), {"labels": ["bad", "good"]}
    ),
    {"text": "a fine film"},
)
Serving = Callable[..., httpx.Client]


@contextmanager
def running(models: Sequence[Served], limits: Limits, host: str, key: str | None) -> Iterator[str]:
    engine = Engine(limits.max_queue)
    app = Guard(build_app(models, engine, limits), host=host, key=key, max_body_bytes=limits.max_body_bytes)
    with bind("127.0.0.1", 0) as bound:
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            engine.close()
            thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def serving() -> Iterator[Serving]:
    with ExitStack() as stack:

        def start(
            *models: Served, limits: Limits | None = None, host: str = "127.0.0.1", key: str | None = None
        ) -> httpx.Client:
            url = stack.enter_context(
                running(models or (Parrot().served(), MOODS), limits or Limits(), host, key)
            )
            return stack.enter_context(httpx.Client(base_url=url, timeout=20))

        yield start


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `holds` comes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return False
