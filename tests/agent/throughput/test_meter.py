"""What was done since the last time, whatever the counters did in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.throughput.meter import MOST_A_SECOND, WorkMeter
from submeter.throughput.source import Heard, Source
from submeter.units import NS_PER_S

S = NS_PER_S
OLD = Source("old", started_ns=10 * S)
YOUNG = Source("young", started_ns=150 * S)
NAMELESS = Source("http://10.0.0.1/metrics", workload="chat")


def tokens(source: Source, at_s: int, amount: int, **more: int) -> Heard:
    return Heard(source, at_s * S, {"tokens:": amount, **more})


def test_a_server_that_began_under_our_eyes_counts_from_the_first_token() -> None:
    meter = WorkMeter(100 * S)
    assert meter.take(tokens(YOUNG, 160, 70)).done == {"tokens": 70}
    gain = meter.take(tokens(YOUNG, 175, 90))
    assert (gain.done, gain.uncounted_ns) == ({"tokens": 20}, 0)


def test_what_an_older_server_did_before_is_not_counted_and_said() -> None:
    meter = WorkMeter(100 * S)
    gain = meter.take(tokens(OLD, 115, 7_000_000))
    assert (gain.done, gain.while_down, gain.uncounted_ns) == ({}, {}, 15 * S)
    assert meter.take(tokens(OLD, 130, 7_000_100)).done == {"tokens": 100}


def test_what_was_done_while_no_agent_ran_is_of_that_time() -> None:
    first = WorkMeter(100 * S)
    first.take(tokens(OLD, 115, 1_000))
    marks = first.take(tokens(OLD, 130, 1_500)).marks
    again = WorkMeter(500 * S, {"old": marks})
    gain = again.take(tokens(OLD, 510, 4_500))
    assert (gain.done, gain.while_down, gain.uncounted_ns) == ({}, {"tokens": 3_000}, 0)
    assert again.take(tokens(OLD, 525, 4_600)).done == {"tokens": 100}


def test_a_counter_that_restarted_counts_anew_and_the_gap_is_said() -> None:
    meter = WorkMeter(100 * S)
    meter.take(tokens(NAMELESS, 110, 5_000))
    gain = meter.take(tokens(NAMELESS, 140, 40))
    assert (gain.done, gain.uncounted_ns) == ({"tokens": 40}, 30 * S)


def test_one_model_that_is_loaded_anew_leaves_the_others_alone() -> None:
    meter = WorkMeter(100 * S)
    meter.take(Heard(YOUNG, 160 * S, {"requests:a": 100, "requests:b": 1_000}))
    gone = meter.take(Heard(YOUNG, 175 * S, {"requests:b": 1_010}))
    assert (gone.done, gone.uncounted_ns) == ({"requests": 10}, 0)
    back = meter.take(Heard(YOUNG, 190 * S, {"requests:a": 3, "requests:b": 1_020}))
    assert (back.done, back.uncounted_ns) == ({"requests": 13}, 15 * S)


def test_a_server_that_was_silent_for_a_while_loses_nothing() -> None:
    meter = WorkMeter(100 * S)
    meter.take(tokens(YOUNG, 160, 70))
    assert meter.take(Heard(YOUNG, 175 * S, None, "slow")).done == {}
    assert meter.take(tokens(YOUNG, 190, 100)).done == {"tokens": 30}


def test_what_a_server_did_last_is_uncounted() -> None:
    meter = WorkMeter(100 * S)
    meter.take(tokens(YOUNG, 160, 70))
    gain = meter.take(Heard(YOUNG, 172 * S, gone=True))
    assert (gain.done, gain.uncounted_ns, gain.marks) == ({}, 12 * S, {})
    assert meter.take(Heard(YOUNG, 180 * S, gone=True)).uncounted_ns == 0


@pytest.mark.parametrize("first", [0, 1_000])
def test_what_no_machine_can_do_is_not_believed(first: int) -> None:
    meter = WorkMeter(100 * S)
    meter.take(tokens(YOUNG, 160, first))
    gain = meter.take(tokens(YOUNG, 161, first + 3 * MOST_A_SECOND))
    assert (gain.done, gain.uncounted_ns) == ({}, S)
    assert meter.take(tokens(YOUNG, 170, first + 3 * MOST_A_SECOND + 5)).done == {"tokens": 5}


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(["go on", "restart", "new agent"])),
        max_size=30,
    )
)
def test_every_token_is_counted_once_or_its_time_is_uncounted(steps: list[tuple[int, str]]) -> None:
    meter = WorkMeter(100 * S)
    marks: dict[str, int] = {}
    counter, expected, got, at_s = 0, 0, 0, 160
    source = YOUNG
    for amount, event in steps:
        at_s += 15
        if event == "restart":  # as of a process of its own: its identity is another one
            source = Source(f"young {at_s}", started_ns=at_s * S)
            counter = 0
        elif event == "new agent":
            meter = WorkMeter(at_s * S, {source.id: marks} if marks else {})
        counter += amount
        known = source.id in meter.before or source.started_ns >= meter.since_ns  # type: ignore[operator]
        gain = meter.take(tokens(source, at_s + 1, counter))
        marks = dict(gain.marks)
        got += sum(gain.done.values()) + sum(gain.while_down.values())
        expected += amount
        if not known and gain.uncounted_ns:
            expected = got  # what nobody saw begins here
    assert got == expected
