"""One worker thread does the model's work; the event loop only waits, and never computes.

Requests are answered one at a time, in the order they came, so a text gets the same answer alone
or beside others. A reader that leaves stops its own work at the next item.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from luban.serve.schemas import Refusal

T = TypeVar("T")
_END = object()


class Answer(Generic[T]):
    """What a piece of work yields, read with `async for` on the loop that asked for it."""

    def __init__(self, work: Callable[[], Iterable[T]]):
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._cancelled = threading.Event()

    def __aiter__(self) -> Answer[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._items.get()
        if item is _END:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self) -> None:
        """Stop the work at its next item, or before it starts; safe to call at any time."""
        self._cancelled.set()

    def run(self) -> None:
        """Do the work; called by the worker thread alone."""
        if self._cancelled.is_set():
            return
        try:
            for item in self._work():
                if self._cancelled.is_set():
                    return  # dropping a generator here also ends it
                self._hand_over(item)
            self._hand_over(_END)
        except Exception as e:  # belongs to the request, not to the worker, which must go on
            self._hand_over(e)

    def _hand_over(self, item: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to read
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)


class Engine:
    """The queue and its worker thread."""

    def __init__(self, max_queue: int):
        self._jobs: queue.Queue[Answer[Any] | None] = queue.Queue(max_queue)
        self._thread = threading.Thread(target=self._serve, name="luban-model", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Iterable[T]]) -> Answer[T]:
        """Queue `work`; a full queue is a Refusal that says when to come back."""
        answer = Answer(work)
        try:
            self._jobs.put_nowait(answer)
        except queue.Full:
            message = f"{self._jobs.maxsize} requests are waiting already; try again in a moment"
            raise Refusal(429, message, None, "queue_full", {"retry-after": "1"}) from None
        return answer

    @property
    def n_waiting(self) -> int:
        """Requests behind the one that runs."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Let the worker end after what it is doing; what waits is dropped."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        self._jobs.put(None)

    def _serve(self) -> None:
        while (answer := self._jobs.get()) is not None:
            answer.run()
