"""A wish to end is heard whenever it comes: before the wait, during it, from a signal."""

import os
import signal
import threading

import pytest

from submeter.runtime.ending import Ending


def test_a_wish_before_the_wait_is_not_lost() -> None:
    ending = Ending()
    assert not ending.wait(0)
    ending.set()
    assert ending.wait(0)
    assert ending.wait(None), "it stays set"


def test_more_wishes_than_a_pipe_holds_do_no_harm() -> None:
    ending = Ending()
    for _ in range(100_000):
        ending.set()
    assert ending.wait(0)


def test_another_thread_is_heard_during_the_wait() -> None:
    ending = Ending()
    threading.Timer(0.05, ending.set).start()
    assert ending.wait(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_even_if_it_comes_before_the_wait(number: signal.Signals) -> None:
    ending = Ending()
    before = signal.getsignal(number)
    with ending.by_signals():
        os.kill(os.getpid(), number)
        assert ending.wait(10)
    assert signal.getsignal(number) is before
