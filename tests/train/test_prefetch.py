"""Batches arrive in order, one ahead, and errors with them."""

import threading

import pytest

from luban.train.prefetch import ahead


class Source:
    def __init__(self, fail_at: int = 0):
        self.asked: list[int] = []
        self.threads: set[str] = set()
        self.fail_at = fail_at

    def at(self, step: int) -> list:
        self.asked.append(step)
        self.threads.add(threading.current_thread().name)
        if step == self.fail_at:
            raise ValueError("no rows")
        return [step]


def test_steps_come_in_order_with_their_own_batches() -> None:
    assert list(ahead(Source(), range(3, 7))) == [(s, [s]) for s in range(3, 7)]


def test_the_next_step_is_prepared_while_the_current_one_is_used() -> None:
    source, began = Source(), threading.Event()
    plain = source.at

    def at(step: int) -> list:
        if step == 2:
            began.set()
        return plain(step)

    source.at = at  # type: ignore[method-assign]
    steps = ahead(source, range(1, 4))
    next(steps)
    assert began.wait(10)
    steps.close()
    assert threading.main_thread().name not in source.threads


def test_nothing_is_asked_for_beyond_the_last_step() -> None:
    source = Source()
    list(ahead(source, range(1, 4)))
    assert source.asked == [1, 2, 3]
    assert list(ahead(source, range(4, 4))) == []


def test_a_failure_is_raised_in_the_caller() -> None:
    with pytest.raises(ValueError, match="no rows"):
        list(ahead(Source(fail_at=2), range(1, 4)))


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    steps = ahead(Source(), range(1, 9))
    next(steps)
    steps.close()
    assert threading.active_count() == before
