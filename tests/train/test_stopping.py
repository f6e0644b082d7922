"""Signals ask a run to stop; a second one kills; nothing stays behind."""

import os
import signal
import threading

import pytest

from luban.train.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_once_and_the_next_would_kill(number):
    before = [signal.getsignal(s) for s in StopRequest.SIGNALS]
    with StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        assert all(signal.getsignal(s) is signal.SIG_DFL for s in StopRequest.SIGNALS)
    assert [signal.getsignal(s) for s in StopRequest.SIGNALS] == before


def test_outside_the_main_thread_no_handler_is_set():
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append((stop.asked, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
