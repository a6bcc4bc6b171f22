"""Times as people write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import InputError
from submeter.reports.moments import UTC_ZONE, day_start, machine_zone, moment, zone

BERLIN = zone("Europe/Berlin")
NOW_S = int(datetime(2026, 3, 29, 12, 0, tzinfo=UTC).timestamp())


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-03-29T12:00Z"),
        ("today", "2026-03-28T23:00Z"),
        ("yesterday", "2026-03-27T23:00Z"),
        ("-24h", "2026-03-28T12:00Z"),
        ("24h", "2026-03-28T12:00Z"),
        ("7d", "2026-03-22T12:00Z"),
        ("90 min", "2026-03-29T10:30Z"),
        ("2w", "2026-03-15T12:00Z"),
        ("2026-03", "2026-02-28T23:00Z"),
        ("2026-03-30", "2026-03-29T22:00Z"),
        ("2026-03-29T03:00", "2026-03-29T01:00Z"),
        ("2026-03-29 03:00:05", "2026-03-29T01:00:05Z"),
        ("2026-03-29T03:00:00.9", "2026-03-29T01:00Z"),
        ("2026-03-29T02:30+01:00", "2026-03-29T01:30Z"),
        ("2026-03-29T02:30Z", "2026-03-29T02:30Z"),
        ("20260330", "2026-03-29T22:00Z"),
        ("2025-10-26T02:30", "2025-10-26T00:30Z"),  # comes twice: the first
    ],
)
def test_a_time_is_of_the_reports_zone(text: str, expected: str) -> None:
    assert moment(text, BERLIN, NOW_S, "--since") == at(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-30", "2026-13-01", "2025-02-29", "2026-03-29T25:00", "tomorrow", "", "-", "5"),
        *("1969-12-31", "100000d", "99999999999999999h", "2026-03-29T02:30", "0000-01-01", "24 H"),
        *("9999-12-31T23:59-12:00", "١d", "2026-03-29T03:00\x00"),
    ],
)
def test_an_impossible_time_is_an_error_that_says_what_is_accepted(text: str) -> None:
    with pytest.raises(InputError, match=r"^--until: .*expected a date \(2026-03-29\)"):
        moment(text, BERLIN, NOW_S, "--until")


@given(st.text(max_size=25) | st.from_regex(r"\A-?\d{1,12} ?[smhdw]\Z|\A\d{4}-\d\d-\d\dT\d\d:\d\d"))
def test_any_text_is_a_moment_or_an_input_error(text: str) -> None:
    try:
        found = moment(text, BERLIN, NOW_S, "--since")
    except InputError:
        return
    assert found >= 0


@pytest.mark.parametrize("name", ["Europe/Berln", "../../etc/passwd", "/etc", "Europe", "", "\0"])
def test_a_zone_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="time zone"):
        zone(name)


def test_the_machines_zone_is_what_tz_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Kathmandu")
    assert machine_zone().name == "Asia/Kathmandu"
    monkeypatch.setenv("TZ", "UTC0")  # POSIX's notation has no name
    assert machine_zone().name


def test_a_day_without_midnight_begins_when_it_begins() -> None:
    beirut = zone("Asia/Beirut")  # its clock goes from 00:00 to 01:00
    assert beirut.local(day_start(2026, 3, 29, beirut)).isoformat() == "2026-03-29T01:00:00+03:00"
    samoa = zone("Pacific/Apia")  # which had no 30 December 2011
    assert day_start(2011, 12, 30, samoa) == day_start(2011, 12, 31, samoa)
    toronto = zone("America/Toronto")  # skipped from 23:30 to 00:30, once
    assert toronto.local(day_start(1919, 3, 31, toronto)).isoformat()[:16] == "1919-03-31T00:30"
    assert day_start(2026, 1, 1, UTC_ZONE) == 1_767_225_600
