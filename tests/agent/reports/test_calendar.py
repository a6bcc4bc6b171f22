"""Local hours, days and months: a partition of time in every zone, at every change of a clock."""

import itertools
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, available_timezones

import pytest

from submeter.errors import InputError
from submeter.reports.calendar import Bucket, buckets, timeline_unit
from submeter.reports.moments import UTC_ZONE, Zone, zone

H, D = 3_600, 86_400
FROM_S = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
UNTIL_S = int(datetime(2041, 1, 1, tzinfo=UTC).timestamp())


@cache
def different_zones() -> list[str]:
    """One name of each set of names that mean the same."""
    seen: dict[bytes, str] = {}
    for name in sorted(available_timezones()):
        for folder in map(Path, TZPATH):
            if (folder / name).is_file():
                seen.setdefault((folder / name).read_bytes(), name)
                break
        else:
            content = resources.files("tzdata.zoneinfo").joinpath(name).read_bytes()
            seen.setdefault(content, name)
    return sorted(seen.values())


def changes(where: Zone) -> Iterator[int]:
    """Every moment of 2020 to 2040 at which the zone's clock is changed."""
    week = 7 * D
    offset = where.local(FROM_S).utcoffset()
    for end_s in range(FROM_S + week, UNTIL_S, week):
        if where.local(end_s).utcoffset() == offset:
            continue
        before, after = end_s - week, end_s
        while after - before > 1:
            middle = (before + after) // 2
            if where.local(middle).utcoffset() == offset:
                before = middle
            else:
                after = middle
        yield after
        offset = where.local(end_s).utcoffset()


def assert_partition(found: list[Bucket], since_s: int, until_s: int) -> None:
    assert found[0].start_s == since_s
    assert found[-1].end_s == until_s
    assert all(one.end_s == two.start_s for one, two in itertools.pairwise(found))
    assert all(each.start_s < each.end_s for each in found)


def check_around(change_s: int, where: Zone) -> None:
    since_s, until_s = change_s - 26 * H, change_s + 26 * H
    hours, days = (buckets(unit, since_s, until_s, where) for unit in ("hour", "day"))
    for found in (hours, days):
        assert_partition(found, since_s, until_s)
    assert len({hour.hour for hour in hours}) == len(hours)
    assert len({day.day for day in days}) == len(days)
    starts = {hour.start_s for hour in hours}
    assert all(day.start_s in starts for day in days)
    for day in days:
        inside = [hour for hour in hours if day.start_s <= hour.start_s < day.end_s]
        assert {hour.day for hour in inside} == {day.day}
        assert sum(hour.end_s - hour.start_s for hour in inside) == day.end_s - day.start_s
        assert where.local(day.end_s - 1).date().isoformat() == day.day
    for hour in hours:
        assert hour.end_s - hour.start_s <= H
        assert where.local(hour.end_s - 1).isoformat()[:13] == hour.hour[:13]


@pytest.mark.fault("F54")
def test_every_change_of_every_clock_from_2020_to_2040() -> None:
    found = 0
    checked: set[tuple[object, ...]] = set()  # what zones with the same rule have in common
    for name in different_zones():
        where = zone(name)
        for change_s in changes(where):
            found += 1
            offsets = [where.local(change_s + after_s).utcoffset() for after_s in (-1, 0)]
            if (change_s, *offsets) not in checked:
                checked.add((change_s, *offsets))
                check_around(change_s, where)
    assert found > 3_000
    assert len(checked) > 500


def test_months_are_whole_local_months() -> None:
    """Of all zones in `make test-ledger`, of another tenth of them in each `make test`."""
    zones = different_zones()
    if not os.environ.get("SUBMETER_TEST_ALL"):
        zones = zones[random.SystemRandom().randrange(10) :: 10]
    for name in zones:
        where = zone(name)
        found = buckets("month", FROM_S, UNTIL_S, where)
        assert_partition(found, FROM_S, UNTIL_S)
        assert 252 <= len(found) <= 253
        for month in found[1:-1]:
            assert where.local(month.start_s).day == 1
            assert where.local(month.end_s - 1).isoformat()[:7] == month.month


@pytest.mark.fault("F54")
@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-06-01", 24),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Kathmandu", "2026-04-05", 24),
    ],
)
def test_a_local_day_has_as_many_hours_as_it_has(name: str, day: str, hours: float) -> None:
    noon_s = int(datetime.fromisoformat(f"{day}T12:00Z").timestamp())
    found = buckets("day", noon_s - 3 * D, noon_s + 3 * D, zone(name))
    assert [each.end_s - each.start_s for each in found if each.day == day] == [hours * H]


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    start_s = int(datetime.fromisoformat("2026-10-25T00:00Z").timestamp())
    found = buckets("hour", start_s, start_s + 3 * H, zone("Europe/Berlin"))
    assert [each.hour for each in found] == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]


def test_no_time_has_no_buckets_and_too_much_is_refused() -> None:
    assert buckets("day", 5, 5, UTC_ZONE) == []
    with pytest.raises(InputError, match="ask for less time"):
        buckets("hour", 0, 5_000_000_000, UTC_ZONE)
    assert [timeline_unit(0, days * D) for days in (1, 31, 400)] == ["hour", "day", "month"]
