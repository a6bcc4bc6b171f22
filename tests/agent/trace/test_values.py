"""Cells of logs: numbers with units and dates of many kinds, exactly."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.trace.importers.values import parse_time, parse_value

JULY = 1_689_329_566_483_000_000  # 2023-07-14 10:12:46.483 UTC


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("397.30", "w", 397_300),
        ("397.30 W", "w", 397_300),
        ("397300 mW", "w", 397_300),
        ("397300", "mw", 397_300),
        ("0.39730kW", "w", 397_300),
        ("397,30 W", "w", 397_300),
        ("8.0345", "w", 8_034),
        ("0 %", "%", 0),
        ("24268 MiB", "mib", 24_268 << 20),
        ("2 GiB", "mib", 2 << 30),
        ("1410 MHz", "mhz", 1_410_000_000),
        ("1.41 GHz", "mhz", 1_410_000_000),
        ("37", "c", 37),
        ("37 °C", "c", 37),
        ("-3", "c", -3),
        ("1.5e2", "w", 150_000),
        ("12 Wh", "mj", 43_200_000_000),
        ("1'500 W", "w", 1_500_000),
        (".5", "w", 500),
    ],
)
def test_a_number_is_read_exactly(text: str, unit: str, value: int) -> None:
    assert parse_value(text, unit) == value


@pytest.mark.parametrize(
    "text",
    ["", "N/A", "[N/A]", "n/a", "[Not Supported]", "Not Supported", "[Unknown Error]", "nan",
     "Unknown Error", "[GPU requires reset]", "[Insufficient Permissions]", "-", "None", "null"],
)  # fmt: skip
def test_no_value_is_none_and_never_zero(text: str) -> None:
    assert parse_value(text, "w") is None


@pytest.mark.parametrize("text", ["P0", "12 apples", "0x1F", "1.2.3", "W", "--", "Active", "1 000"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"found .*, expected "):
        parse_value(text, "w")


@given(st.integers(0, 10**9))
def test_milliwatts_as_watts_lose_nothing(power_mw: int) -> None:
    text = f"{power_mw // 1000}.{power_mw % 1000:03}"
    assert parse_value(text, "w") == parse_value(f"{text} W", "mw") == power_mw


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("2023/07/14 10:12:46.483", ""),
        ("2023-07-14 10:12:46.483", ""),
        ("2023-07-14T10:12:46.483Z", ""),
        ("2023-07-14T10:12:46.483+00:00", ""),
        ("2023-07-14 12:12:46.483 +0200", ""),
        ("2023-07-14T05:42:46.483-04:30", ""),
        ("2023-07-14 10:12:46,483", ""),
        ("2023-07-14 10:12:46.483000000", ""),
        ("2023-07-14 10:12:46.483 UTC", ""),
        ("14.07.2023 10:12:46.483", ""),
        ("1689329566.483", ""),
        ("1689329566.483", "s"),
        ("1689329566483", ""),
        ("1689329566483", "ms"),
        ("1689329566483000", ""),
        ("1689329566483000", "us"),
        ("1689329566483000000", ""),
    ],
)
def test_every_kind_of_date_is_the_same_moment(text: str, unit: str) -> None:
    assert parse_time(text, unit) == (JULY, True)


@given(
    st.datetimes(datetime(1973, 4, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
)
def test_dates_agree_with_the_standard_library(naive: datetime, offset_minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected_ns = (since // timedelta(microseconds=1)) * 1_000
    assert parse_time(moment.isoformat(), "") == (expected_ns, True)
    naive_ns = expected_ns + offset_minutes * 60 * 10**9
    assert parse_time(f"{naive:%Y/%m/%d %H:%M:%S.%f}", "") == (naive_ns, True)


def test_small_epochs_count_from_the_start_of_the_log() -> None:
    assert parse_time("0.1", "") == (100_000_000, False)
    assert parse_time("12", "s") == (12_000_000_000, False)
    assert parse_time("250", "ms") == (250_000_000, False)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2023/13/14 10:12:46", "2023/02/30 10:12:46", "2023/07/14 25:12:46",
     "07/14/2023 10:12:46", "14/07/2023 10:12:46", "2023/07/14", "-5"],
)  # fmt: skip
def test_what_is_no_clear_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"found .*expected a date like"):
        parse_time(text, "")
