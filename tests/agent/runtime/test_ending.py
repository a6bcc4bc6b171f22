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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_even_if_it_comes_before_the_wait(number: signal.Signals) -> None:
    ending = Ending()
    before = signal.getsignal(number)
    with ending.by_signals():
        os.kill(os.getpid(), number)
        assert ending.wait(10)
    assert signal.getsignal(number) is before


def test_a_wish_to_reload_is_told_from_one_to_end_and_taken_back() -> None:
    ending = Ending()
    assert not ending.only_reload()
    with ending.by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        assert ending.wait(10)
        assert ending.only_reload()
        assert not ending.wait(0)


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGHUP])
def test_a_wish_to_end_outweighs_one_to_reload_and_stays(last: signal.Signals) -> None:
    ending = Ending()
    with ending.by_signals():
        for number in ({signal.SIGHUP, signal.SIGTERM} - {last}, {last}):
            os.kill(os.getpid(), number.pop())
            assert ending.wait(10)
        assert not ending.only_reload()
        assert ending.wait(0), "it stays set"
