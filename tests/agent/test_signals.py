"""Utilisation calls become SM time, power of just that time, and weights of holders."""

from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from submeter.attribution import Programs, split
from submeter.model import (
    Activity,
    Component,
    EnergySource,
    Floors,
    Holder,
    Interval,
    Method,
    Owner,
    Phase,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.sampling.watch import Batch, Held
from submeter.signals import GIVEN_UP, Signals
from submeter.units import NS_PER_S

A, B = (Held(Holder(pid), ProcessKey("boot", pid, 1)) for pid in (11, 12))
OWNERS = {A.key: Owner(Phase.TRAINING, "a"), B.key: Owner(Phase.INFERENCE, "b")}
FLOORS = Floors(70_000, 30_000)


def owner_of(key: ProcessKey | None) -> Owner:
    return OWNERS.get(key, Owner(Phase.UNATTRIBUTED, "(unresolved)"))


def reading(at_s: float, energy_uj: int | None, average_mw: int | None = None) -> Reading:
    return Reading(round(at_s * NS_PER_S), energy_uj, None, None, None, average_mw, None)


def batch(percents: dict[int, int], last: Reading | None) -> Batch:
    samples = tuple(UtilisationSample(pid, 1, percent) for pid, percent in percents.items())
    return Batch(NS_PER_S, samples, last)


def watch(*batches: Batch) -> Any:
    info = SimpleNamespace(uuid="GPU-1")
    return SimpleNamespace(held=(A, B), batches=deque(batches), info=info)


def interval(end_s: int, joules: int = 300) -> Interval:
    start_ns, end_ns = (end_s - 1) * NS_PER_S, end_s * NS_PER_S
    return Interval("GPU-1", 0, start_ns, end_ns, joules * 1_000_000, EnergySource.COUNTER)


@pytest.fixture
def signals() -> Signals:
    return Signals("H100", Programs())


def live(signals: Signals, seconds: int, *, counter: bool = True) -> None:
    """a draws 400 W per SM time, b 100 W, on a board whose floor is 100 W."""
    energy_uj = 0
    for second in range(1, seconds + 1):
        a = 60 if second // 9 % 2 else 5
        b = 35 if second // 13 % 2 else 5
        watts = 100 + 4 * a + b
        energy_uj += watts * 1_000_000
        last = reading(second, energy_uj) if counter else reading(second, None, watts * 1000)
        signals.take(watch(batch({11: a, 12: b}, last)), second * NS_PER_S, FLOORS, owner_of)
        signals.usage(interval(second, watts), (A, B), FLOORS, owner_of)


@pytest.mark.parametrize("counter", [True, False])
def test_weights_are_learnt_from_the_power_of_the_same_time(
    signals: Signals, counter: bool
) -> None:
    live(signals, 300, counter=counter)
    weights = signals.sharing.weights
    assert weights is not None
    assert weights.of(A.key) == pytest.approx(400, rel=0.03)
    assert weights.of(B.key) == pytest.approx(100, rel=0.1)
    usage = signals.usage(interval(301, 250), (A, B), FLOORS, owner_of)
    assert usage is not None
    assert usage.weights is not None
    assert usage.sm_time is not None
    assert usage.weights[0] * usage.sm_time[1] > 2 * usage.weights[1] * usage.sm_time[0]


def test_an_estimate_that_is_given_up_is_said(
    signals: Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nonsense(*_: object) -> Iterator[None]:
        yield
        raise OverflowError

    live(signals, 10)
    assert GIVEN_UP not in caplog.text
    monkeypatch.setattr("submeter.attribution.weights.solution", nonsense)
    live(signals, 60)
    assert 1 <= caplog.text.count(GIVEN_UP) == signals.sharing.failures
    assert "GPU-1" in caplog.text


def test_the_driver_s_own_timestamps_count(signals: Signals) -> None:
    for second in range(1, 100):
        last = reading(second, 0)._replace(
            energy_uj=sum(
                100 + (200 if s // 9 % 2 else 20) + (40 if s // 13 % 2 else 5)
                for s in range(1, second + 1)
            )
            * 2_000_000,
            energy_at_us=second * 2_000_000,  # twice the time, twice the energy: the same power
        )
        percents = {11: 50 if second // 9 % 2 else 5, 12: 40 if second // 13 % 2 else 5}
        signals.take(watch(batch(percents, last)), second * NS_PER_S, FLOORS, owner_of)
    weights = signals.sharing.weights
    assert weights is not None
    assert weights.of(A.key) == pytest.approx(400, rel=0.05)


def test_before_anything_is_learnt_sm_time_alone(signals: Signals) -> None:
    signals.take(watch(batch({11: 30, 12: 10, 99: 5}, None)), NS_PER_S, None, owner_of)
    usage = signals.usage(interval(1), (A, B), Floors(), owner_of)
    assert usage is not None
    assert usage.weights is None
    assert usage.sm_time == {0: 30 * NS_PER_S, 1: 10 * NS_PER_S}
    assert usage.foreign_sm_time == 5 * NS_PER_S


@pytest.mark.fault("F16")
def test_a_signal_is_good_for_ten_seconds(signals: Signals) -> None:
    signals.take(watch(batch({11: 30}, None)), 0, None, owner_of)
    for now_s, there in ((10, True), (11, False)):
        signals.take(watch(), now_s * NS_PER_S, None, owner_of)
        usage = signals.usage(interval(now_s), (A, B), Floors(), owner_of)
        assert usage is not None
        assert (usage.sm_time is not None) is there


def test_a_counter_that_restarts_or_a_long_pause_teaches_nothing(signals: Signals) -> None:
    for second in range(1, 200):
        energy_uj = 1_000_000_000 - second * 1_000_000  # backwards
        signals.take(
            watch(batch({11: 30, 12: 20}, reading(second, energy_uj))), second, FLOORS, owner_of
        )
    for second in range(1, 200):
        last = reading(1000 + 60 * second, second * 1_000_000)
        signals.take(watch(batch({11: 30, 12: 20}, last)), second, FLOORS, owner_of)
    assert signals.sharing.weights is None


def test_mig_instances_are_named(signals: Signals) -> None:
    one = A._replace(holder=A.holder._replace(mig="3g.40gb/1", gpu_instance=1))
    other = B._replace(holder=B.holder._replace(mig="1g.10gb/9", gpu_instance=9))
    usage = signals.usage(interval(1), (one, other), FLOORS, owner_of)
    assert usage is not None
    assert usage.mig == ("3g.40gb/1", "1g.10gb/9")


def test_nobody_known_and_nobody_there(signals: Signals) -> None:
    assert signals.usage(interval(1), None, FLOORS, owner_of) is None
    usage = signals.usage(interval(1), (), FLOORS, owner_of)
    assert usage is not None
    assert usage.holders == ()


def test_time_alone_teaches_where_the_floor_is_known(signals: Signals) -> None:
    signals.take(watch(), 0, FLOORS, owner_of)
    for second in range(1, 60):
        signals.alone(interval(second, 300), (A,), 50, FLOORS)
    live(signals, 40)
    weights = signals.sharing.weights
    assert weights is not None
    assert weights.learnt
    assert weights.of(A.key) == pytest.approx(400, rel=0.05)


def video(seconds: int, signals: Signals) -> dict[ProcessKey | None, int]:
    """a computes by turns and draws 400 W per SM time, b encodes by turns of its own and draws
    60 W per encoder time; the floor is 100 W. µJ of work booked."""
    energy_uj = 0
    booked = {A.key: 0, B.key: 0}
    for second in range(1, seconds + 1):
        sm = 60 if second // 9 % 2 else 0
        encoder = 80 if second // 13 % 2 else 20
        watts = 100 + 4 * sm + 60 * encoder // 100
        energy_uj += watts * 1_000_000
        samples = (UtilisationSample(11, 1, sm), UtilisationSample(12, 1, 0, 0, encoder))
        last = Batch(NS_PER_S, samples, reading(second, energy_uj))
        signals.take(watch(last), second * NS_PER_S, FLOORS, owner_of)
        usage = signals.usage(interval(second, watts), (A, B), FLOORS, owner_of)
        postings = split(interval(second, watts), usage, FLOORS)
        assert sum(posting.energy_uj for posting in postings) == watts * 1_000_000
        for posting in postings:
            if posting.account.component is Component.DYNAMIC:
                assert posting.method is Method.WEIGHTED
                key = next(k for k, o in OWNERS.items() if o == posting.account.owner)
                booked[key] += posting.energy_uj
    return booked


def test_who_only_encodes_has_its_energy(signals: Signals) -> None:
    before = video(600, signals)
    after = video(1200, signals)
    assert before[B.key] > 0
    assert after[B.key] / 1200 == pytest.approx(60e6 / 2, rel=0.15)
    assert after[A.key] / 1200 == pytest.approx(4e6 * 60 / 2, rel=0.05)


@pytest.mark.parametrize(("encoder", "decoder"), [(80, 0), (0, 80), (50, 30)])
def test_time_of_video_engines_is_a_tenth_of_sm_time(
    signals: Signals, encoder: int, decoder: int
) -> None:
    samples = (UtilisationSample(11, 1, 30), UtilisationSample(12, 1, 10, 0, encoder, decoder))
    signals.take(watch(Batch(NS_PER_S, samples, None)), NS_PER_S, FLOORS, owner_of)
    usage = signals.usage(interval(1), (A, B), FLOORS, owner_of)
    assert usage is not None
    assert usage.sm_time == {0: 30 * NS_PER_S, 1: 18 * NS_PER_S}


def test_an_encoder_that_works_alone_is_work_and_no_floor(signals: Signals) -> None:
    samples = (UtilisationSample(11, 1, 0), UtilisationSample(12, 1, 0, 0, 0, 50))
    there = watch(Batch(NS_PER_S, samples, reading(1, 0)))
    there.activity = Activity(NS_PER_S, 0)
    signals.take(there, NS_PER_S, FLOORS, owner_of)
    usage = signals.usage(interval(1, 110), (A, B), FLOORS, owner_of)
    assert usage is not None
    assert usage.sm_time == {1: 5 * NS_PER_S}  # a tenth
    work = [p for p in split(interval(1, 110), usage, FLOORS)
            if p.account.component is Component.DYNAMIC]  # fmt: skip
    assert [(p.account.owner, p.energy_uj) for p in work] == [(OWNERS[B.key], 10_000_000)]
    activity = signals.activity(there)
    assert activity is not None
    assert activity.utilization_percent
    signals.take(watch(batch({11: 0, 12: 0}, reading(2, 0))), 2 * NS_PER_S, FLOORS, owner_of)
    assert signals.activity(there) == Activity(NS_PER_S, 0)


def test_learning_waits_for_the_reading_of_the_call(signals: Signals) -> None:
    """Readings are taken in rounds: how the counter stood at a call is known a second later, and
    the newest reading at the call is of a second ago. Alternating by the second, that would give
    each the power of the other."""
    energy_uj = 0
    stood: deque[tuple[int, Reading]] = deque()
    last = reading(0, 0)
    for second in range(1, 400):
        a, b = (60, 5) if second % 2 else (5, 35)
        stale = batch({11: a, 12: b}, last)._replace(at_ns=second * NS_PER_S)
        there = watch(stale)
        there.stood = stood
        signals.take(there, second * NS_PER_S, FLOORS, owner_of)
        energy_uj += (100 + 4 * a + b) * 1_000_000
        last = reading(second, energy_uj)
        stood.append((second * NS_PER_S, last))
    weights = signals.sharing.weights
    assert weights is not None
    assert weights.of(A.key) > 3 * weights.of(B.key)


def test_a_device_that_is_gone_is_not_waited_for(signals: Signals) -> None:
    for second in range(1, 50):
        there = watch(batch({11: 30, 12: 20}, None)._replace(at_ns=second * NS_PER_S))
        there.stood = deque()
        signals.take(there, second * NS_PER_S, FLOORS, owner_of)
    assert len(signals._waiting) <= 9
