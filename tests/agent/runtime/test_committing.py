"""The thread that writes: a slow disk holds nobody up, and what fails is tried again."""

import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from submeter.clock import FakeClock
from submeter.ledger.records import Commit
from submeter.ledger.store import NotWritten, Store
from submeter.runtime.committing import Committer
from submeter.units import NS_PER_S


class Disk:
    """What a committer needs of a store."""

    def __init__(self) -> None:
        self.damage = ""
        self.written: list[int] = []
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()
        self.finished = False

    def write(self, commit: Commit) -> None:
        self.begun.set()
        assert self.free.wait(10)
        if self.error is not None:
            raise self.error
        self.written.append(commit.number)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def crashes() -> list[BaseException]:
    return []


@pytest.fixture
def committer(disk: Disk, clock: FakeClock, crashes: list[BaseException]) -> Iterator[Committer]:
    made = Committer(cast("Store", disk), clock, crashes.append)
    made.start()
    yield made
    disk.free.set()
    made.stop(10)


def until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(2_000):
        if condition():
            return
        waited.wait(0.005)
    raise AssertionError("not within 10 s")


def write(committer: Committer, number: int) -> None:
    committer.submit(Commit(number, 0))
    committer.catch_up()


def test_who_looks_sees_the_commit_that_was_handed_over(committer: Committer, disk: Disk) -> None:
    disk.free.clear()
    committer.submit(Commit(1, 0))
    assert committer.written == 0
    assert disk.begun.wait(10)
    disk.free.set()
    committer.catch_up()
    assert committer.written == 1
    assert disk.written == [1]
    assert committer.up


@pytest.mark.fault("F72")
def test_a_slow_disk_holds_nobody_up_and_only_the_newest_waits(
    committer: Committer, disk: Disk, clock: FakeClock
) -> None:
    disk.free.clear()
    committer.submit(Commit(1, 0))
    assert disk.begun.wait(10)
    for number in (2, 3, 4):
        committer.submit(Commit(number, 0))
    assert committer.written == 0
    assert committer.up
    clock.advance(6 * NS_PER_S)
    until(lambda: not committer.up)
    disk.free.set()
    until(lambda: committer.written == 4)
    assert disk.written == [1, 4]
    assert committer.up


def test_a_disk_that_hangs_is_waited_for_once(committer: Committer, disk: Disk) -> None:
    disk.free.clear()
    committer.submit(Commit(1, 0))
    committer.catch_up()  # in vain, for a moment

    def look() -> None:
        for _ in range(1_000):  # four minutes, were each of them to wait
            committer.catch_up()

    watched = threading.Thread(target=look)
    watched.start()
    watched.join(10)
    assert not watched.is_alive()
    assert committer.written == 0


@pytest.mark.fault("F62", "F92")
def test_what_fails_is_said_once_and_made_good(
    committer: Committer, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = NotWritten("No space left on device")
    for number in (1, 2, 3):
        write(committer, number)
    assert committer.problem == "No space left on device"
    assert not committer.up
    assert committer.written == 0
    disk.error = None
    with caplog.at_level("INFO"):
        write(committer, 4)
    assert (committer.written, committer.problem) == (4, "")
    assert caplog.text.count("No space left") == 1
    assert "nothing was lost" in caplog.text


def test_a_damaged_history_is_said_once_and_stops_nothing(
    committer: Committer, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.damage = "tens 7 of GPU 1: missing"
    for number in (1, 2):
        write(committer, number)
    assert committer.written == 2
    assert not committer.up
    assert caplog.text.count("the history is damaged") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_ends_the_agent(
    committer: Committer, disk: Disk, crashes: list[BaseException]
) -> None:
    disk.error = ZeroDivisionError()
    committer.submit(Commit(1, 0))
    until(lambda: bool(crashes))
    assert crashes == [disk.error]


def test_at_the_end_what_waits_is_written(committer: Committer, disk: Disk) -> None:
    disk.free.clear()
    committer.submit(Commit(1, 0))
    assert disk.begun.wait(10)
    committer.submit(Commit(2, 0))
    assert not committer.stop(0.01)
    assert not disk.finished
    disk.free.set()
    assert committer.stop(10)
    assert disk.written == [1, 2]
    assert disk.finished
