"""Sums: every partition of a report is its total, to the microjoule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.pieces import Piece
from submeter.ledger.records import Gpu, Series
from submeter.model import Account, Component, Method, Owner, Phase
from submeter.reports.calendar import UNITS, buckets
from submeter.reports.moments import zone
from submeter.reports.question import KEYS, Question
from submeter.reports.record import Origin, Report
from submeter.reports.tally import NO_TIME, Tally

BEGIN_S = 1_774_700_000
GPUS = [Gpu(number, f"GPU-{number}", "nvml", "Board", number) for number in range(3)]
NAMES = st.sampled_from(["", "train.py", "serve", "=1+1", "\n"])

series = st.builds(
    lambda gpu, component, phase, names, method: (
        *(gpu, Account(GPUS[gpu].uuid, "", component, Owner(phase, *names))),
        method,
    ),
    st.integers(0, 2),
    st.sampled_from(Component),
    st.sampled_from(Phase),
    st.tuples(*[NAMES] * 6),
    st.sampled_from(Method),
)


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    kinds = draw(st.lists(series, min_size=1, max_size=6, unique=True))
    known = [Series(number, *kind) for number, kind in enumerate(kinds)]
    made = []
    for gpu in GPUS:
        own = [each for each in known if each.gpu == gpu.id]
        for start_s in draw(st.lists(st.integers(-5, 10 * 24 * 360), max_size=5)):
            amounts = draw(st.lists(st.integers(-(10**6), 10**15), max_size=len(own)))
            energy = tuple(zip(own, amounts, strict=False))
            at_s = BEGIN_S + 10 * start_s
            made.append(Piece(gpu, at_s, at_s + 10, energy, 10**10, {"unmetered.gap": 5}))
    return made


def answer(asked: Question, given_pieces: list[Piece]) -> Report:
    end_s = BEGIN_S + 10 * 86_400
    unit = asked.unit or ("day" if asked.timeline else None)
    tally = Tally(asked, buckets(unit, BEGIN_S, end_s, asked.zone) if unit else [])
    for piece in given_pieces:
        tally.add(piece)
    return tally.report(Origin("ledger"), tally.quality(), end_s, BEGIN_S, end_s)


zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
asked_by = st.lists(st.sampled_from(KEYS), unique=True).map(tuple)


@given(pieces(), asked_by, zones)
def test_every_partition_sums_to_the_total(
    made: list[Piece], by: tuple[str, ...], name: str
) -> None:
    total_uj = sum(piece.sum_uj for piece in made)
    report = answer(Question(by, zone=zone(name), timeline=True), made)
    assert report.total_uj == total_uj
    assert sum(row.energy_uj for row in report.rows) == total_uj
    assert sum(gpu.energy_uj for gpu in report.gpus) == total_uj
    assert sum(report.phase_uj.values()) == total_uj
    assert sum(report.layers_uj.values()) == total_uj
    assert sum((report.quality.method_uj or {}).values()) == total_uj
    assert sum(sum(bar.energy_uj.values()) for bar in report.timeline) == total_uj
    idle_uj = report.phase_uj[Phase.IDLE]
    assert sum(use.sum_uj for use in report.workloads) == total_uj - idle_uj
    assert len({row.values for row in report.rows}) == len(report.rows)
    assert all(len(row.values) == len(by) for row in report.rows)


@pytest.mark.fault("F54")
@given(pieces(), asked_by)
def test_local_days_sum_to_what_utc_days_sum_to(made: list[Piece], by: tuple[str, ...]) -> None:
    def sums(name: str) -> dict[tuple[str, ...], int]:
        report = answer(Question((*by, "day") if "day" not in by else by, zone=zone(name)), made)
        found: dict[tuple[str, ...], int] = {}
        keys = report.question.by
        for row in report.rows:
            kept = tuple(
                value for key, value in zip(keys, row.values, strict=True) if key not in UNITS
            )
            found[kept] = found.get(kept, 0) + row.energy_uj
        return found

    assert sums("UTC") == sums("Asia/Kathmandu")


def test_rows_are_in_the_order_of_time_then_of_energy() -> None:
    owners = [Owner(Phase.TRAINING, workload=name) for name in ("a", "b")]
    one, two = (
        Series(at, 0, Account("GPU-0", "", Component.DYNAMIC, owner), Method.EXCLUSIVE)
        for at, owner in enumerate(owners)
    )
    made = [
        Piece(GPUS[0], BEGIN_S + 86_400, BEGIN_S + 86_410, ((one, 9), (two, 1))),
        Piece(GPUS[0], BEGIN_S, BEGIN_S + 10, ((one, 1), (two, 5))),
    ]
    rows = answer(Question(("workload", "day")), made).rows
    assert [row.values[0] for row in rows] == ["b", "a", "a", "b"]
    assert [row.energy_uj for row in rows] == [5, 1, 9, 1]


def test_a_time_that_is_not_known_is_said_and_counted() -> None:
    alone = Series(0, 0, Account("GPU-0", "", Component.IDLE, Owner(Phase.IDLE)), Method.IDLE)
    rows = answer(Question(("day",)), [Piece(GPUS[0], 50, 60, ((alone, 7),))]).rows
    assert [(row.values, row.energy_uj) for row in rows] == [((NO_TIME,), 7)]
    # a clock set back by seconds only is no reason to not know the day
    rows = answer(Question(("day",)), [Piece(GPUS[0], BEGIN_S - 20, BEGIN_S, ((alone, 7),))]).rows
    assert [row.values for row in rows] == [("2026-03-28",)]


def test_without_keys_there_is_one_row() -> None:
    report = answer(Question(()), [])
    assert [row.energy_uj for row in report.rows] == [0]
    assert report.share(0) is None
