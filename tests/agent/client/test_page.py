"""The page of levels: whole or not at all, fresh or not at all."""

import os
import threading

import pytest

from submeter.client.page import (
    FRESH_NS,
    HEADER,
    PAGE_BYTES,
    RECORD,
    Level,
    Page,
    check,
    copied,
    levels_in,
)
from submeter.units import NS_PER_S


def written(*levels: Level, at_ns: int, writes: int = 2) -> bytearray:
    page = bytearray(PAGE_BYTES)
    HEADER.pack_into(page, 0, writes, at_ns)
    for place, level in enumerate(levels):
        numbers = (level.gpu, level.energy_uj or -1, level.at_ns, level.power_mw or -1)
        offset = HEADER.size + place * RECORD.size
        RECORD.pack_into(page, offset, level.uuid.encode(), *numbers, check(*numbers))
    return page


ONE = Level("GPU-a", 0, 5_000_000, NS_PER_S, 250_000)
TWO = Level("GPU-b", 1, None, NS_PER_S, None)


def test_what_was_written_is_read() -> None:
    page = written(ONE, TWO, at_ns=NS_PER_S)
    assert levels_in(bytes(page), NS_PER_S) == [ONE, TWO]


def test_a_gpu_that_is_not_read_any_more_is_left_out() -> None:
    late_ns = NS_PER_S + FRESH_NS
    page = written(ONE, TWO._replace(at_ns=late_ns), at_ns=late_ns)
    assert [level.uuid for level in levels_in(bytes(page), late_ns)] == ["GPU-b"]


@pytest.mark.parametrize("field", range(1, 5))
def test_half_a_record_is_none(field: int) -> None:
    page = written(ONE, at_ns=NS_PER_S)
    values = list(RECORD.unpack_from(page, HEADER.size))
    values[field] += 7
    RECORD.pack_into(page, HEADER.size, *values)
    assert levels_in(bytes(page), NS_PER_S) == []


def test_a_write_that_goes_on_is_waited_for_briefly() -> None:
    assert copied(written(ONE, at_ns=NS_PER_S, writes=3)) is None
    assert copied(written(ONE, at_ns=NS_PER_S, writes=4)) is not None


def test_a_stale_page_is_looked_for_anew_now_and_then() -> None:
    pages = [written(ONE, at_ns=NS_PER_S), written(ONE, at_ns=60 * NS_PER_S)]
    asked: list[int] = []

    def ask() -> bytearray | None:
        asked.append(1)
        return pages.pop(0) if pages else None

    page = Page(ask, 5 * NS_PER_S)
    assert page.copy(NS_PER_S) is not None
    assert page.copy(2 * NS_PER_S) is not None
    assert len(asked) == 1
    assert page.copy(60 * NS_PER_S) is not None  # the agent was restarted
    assert page.copy(70 * NS_PER_S) is None  # it is gone
    assert page.copy(71 * NS_PER_S) is None
    assert len(asked) == 3


def test_reader_and_writer_at_once() -> None:
    """The energy is always 1,000 times the time: half a write would show."""
    page = bytearray(PAGE_BYTES)
    done = threading.Event()

    def write() -> None:
        writes = 0
        while not done.is_set():
            at_ns = writes + 1
            numbers = (0, at_ns * 1_000, at_ns, at_ns)
            HEADER.pack_into(page, 0, writes + 1, at_ns)
            RECORD.pack_into(page, HEADER.size, b"GPU-a", *numbers, check(*numbers))
            writes += 2
            HEADER.pack_into(page, 0, writes, at_ns)

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    for _ in range(3_000):
        copy = copied(page)
        for level in levels_in(copy, 0) if copy is not None else ():
            assert level.energy_uj == level.at_ns * 1_000
            seen += 1
        os.sched_yield()
    done.set()
    thread.join()
    assert seen
