from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from luban.serve.engine import Answer, Engine
from luban.serve.schemas import Refusal

T = TypeVar("T")


def run(asked: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own; an answer that never comes is a failure, not a hang."""
    return asyncio.run(asyncio.wait_for(asked, 20))


async def read(answer: Answer[T]) -> list[T]:
    return [item async for item in answer]


def test_work_is_done_in_order_on_one_thread_that_is_not_the_loops() -> None:
    threads: list[int] = []

    def work(name: str) -> Iterator[str]:
        for i in range(3):
            threads.append(threading.get_ident())
            yield f"{name}{i}"

    async def ask(engine: Engine) -> list[list[str]]:
        answers = [engine.submit(lambda n=n: work(n)) for n in "ab"]
        return [await read(answer) for answer in answers]

    engine = Engine(4)
    assert run(ask(engine)) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    engine.close()


def test_a_failure_reaches_its_reader_and_the_worker_goes_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    async def ask(engine: Engine) -> list[int]:
        answer = engine.submit(broken)
        assert await answer.__anext__() == 1
        with pytest.raises(ValueError, match="broken"):
            await answer.__anext__()
        return [item async for item in engine.submit(lambda: [2])]

    engine = Engine(4)
    assert run(ask(engine)) == [2]
    engine.close()


def test_cancelled_work_stops_at_the_next_item_or_never_starts() -> None:
    gate, closed, started = threading.Event(), threading.Event(), []

    def endless() -> Iterator[int]:
        try:
            for i in range(10**9):
                gate.wait(0.01)
                yield i
        finally:
            closed.set()

    def later() -> Iterator[int]:
        started.append(1)
        yield 1

    async def ask(engine: Engine) -> None:
        first, second = engine.submit(endless), engine.submit(later)
        assert await first.__anext__() == 0
        second.cancel()
        first.cancel()
        assert [item async for item in engine.submit(lambda: [3])] == [3]

    engine = Engine(4)
    run(ask(engine))
    assert closed.is_set()
    assert not started
    engine.close()


def test_a_queue_holds_its_number_and_refuses_the_next() -> None:
    gate = threading.Event()

    def waiting() -> Iterator[int]:
        gate.wait(10)
        yield 1

    async def ask(engine: Engine) -> None:
        first = engine.submit(waiting)
        while engine.n_waiting:
            await asyncio.sleep(0.001)
        others = [engine.submit(waiting) for _ in range(2)]
        with pytest.raises(Refusal) as refused:
            engine.submit(waiting)
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
        gate.set()
        for answer in (first, *others):
            assert [item async for item in answer] == [1]

    engine = Engine(2)
    run(ask(engine))
    engine.close()


def test_work_left_when_the_loop_has_ended_does_not_kill_the_worker() -> None:
    gate, done = threading.Event(), threading.Event()

    def late() -> Iterator[int]:
        gate.wait(10)
        yield 1
        done.set()

    engine = Engine(2)

    async def submit() -> None:
        engine.submit(late)

    async def ask() -> list[int]:
        return [item async for item in engine.submit(lambda: [2])]

    run(submit())
    gate.set()
    assert done.wait(5)
    assert run(ask()) == [2]
    engine.close()
