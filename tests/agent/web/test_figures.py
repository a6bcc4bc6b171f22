"""Figures for people: rounded, but adding up."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.web import figures


@given(st.lists(st.integers(0, 10**19), min_size=1, max_size=9))
def test_shown_parts_add_up_to_the_shown_sum(parts_uj: list[int]) -> None:
    texts, total = figures.energies(parts_uj)
    shown = [Decimal(0) if text[0] == "<" else number(text) for text in texts]
    assert sum(shown) == number(total)
    assert len({text.split()[-1] for text in [*texts, total]}) == 1


@given(st.lists(st.integers(0, 10**19), min_size=1, max_size=9))
def test_nothing_that_was_used_is_shown_as_nothing(parts_uj: list[int]) -> None:
    texts, _ = figures.energies(parts_uj)
    assert all(
        (text[:5] == "0.000") == (not part) for part, text in zip(parts_uj, texts, strict=True)
    )


@given(st.lists(st.integers(0, 10**15), max_size=9), st.integers(0, 10**6))
def test_apportioned_is_whole_and_within_one(parts: list[int], whole: int) -> None:
    result = figures.apportioned(parts, whole)
    total = sum(parts)
    assert sum(result) == (whole if total else 0)
    assert all(
        abs(got * total - part * whole) < total
        for got, part in zip(result, parts, strict=True)
        if total
    )


@pytest.mark.parametrize(
    ("energy_uj", "text"),
    [
        (0, "0.000 J"),
        (1, "< 0.001 J"),
        (1_500_000, "1.500 J"),
        (3_600_000_000, "1.000 Wh"),
        (12_240_000_000_000, "3.400 kWh"),
        (5_000_000 * 3_600_000_000, "5.000 MWh"),
    ],
)
def test_energy(energy_uj: int, text: str) -> None:
    assert figures.energy(energy_uj) == text


def test_what_is_not_known_is_a_dash() -> None:
    unknown = {
        figures.watts(None),
        figures.data(None),
        figures.degrees(None),
        figures.percent(None),
    }
    assert unknown == {figures.UNKNOWN}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h")],
)
def test_duration(seconds: int, text: str) -> None:
    assert figures.duration(seconds * 10**9) == text


def test_sizes_and_watts() -> None:
    assert figures.data(80 << 30) == "80.0 GiB"
    assert figures.data(12) == "12.0 B"
    assert figures.watts(1_234_567) == "1,234.6 W"


def number(text: str) -> Decimal:
    found = re.match(r"[\d,.]+", text)
    assert found is not None, text
    return Decimal(found[0].replace(",", ""))
