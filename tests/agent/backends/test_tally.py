"""A tally is read by the settlement while the GPU's threads count on."""

import sys
import threading
from collections.abc import Iterator

import pytest

from submeter.backends import Tally


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as the interpreter allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_adding_up_while_others_count(hasty_threads: None) -> None:
    counting = Tally()
    done = threading.Event()

    def count() -> None:
        for number in range(20_000):
            counting.failed("call", str(number % 5_000))
            counting.took(str(number % 5_000), 1)
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    while not done.is_set():
        Tally().add(counting)
    thread.join()
    total = Tally()
    total.add(counting)
    assert sum(total.errors.values()) == sum(total.call_ns.values()) == 20_000
