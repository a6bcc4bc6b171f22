"""Rows as bytes: what is written comes back, is as short as can be, and nothing else is read."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.rows import (
    MOST_COUNTER_UJ,
    NO_COUNTER,
    BadRow,
    Cover,
    Row,
    Sealed,
    decode,
    encode,
    genesis,
    link,
    open_hash,
)

_FACTS = st.dictionaries(st.sampled_from(["jitters", "unmetered.gap", "done.7.a"]), st.integers(1))
_ENERGY = st.dictionaries(
    st.integers(1, 2**32 - 1), st.integers(-(2**62), 2**62).filter(bool), max_size=5
)
_SUMS = st.builds(
    lambda ns, facts, energy: Row(0, metered_ns=ns, facts=facts, energy_uj=energy),
    *(st.integers(0, 2**62), _FACTS, _ENERGY),
)
HEAD = 1 + 4 + 4 + 5 * 8
COVER = 3 * 8 + 32
TABLE = 2 + 4 + 1 + 1


def row(**more: object) -> Row:
    made = Row(60, 3, 2, 10**18, 10**12, 500, 77, 10**10)
    for name, value in more.items():
        setattr(made, name, value)
    return made


@given(_SUMS, st.dictionaries(st.integers(0, 3), _SUMS, max_size=4), st.booleans())
def test_what_is_written_comes_back(sums: Row, quarters: dict[int, Row], compact: bool) -> None:
    whole = row(facts=sums.facts, energy_uj=sums.energy_uj, quarters=quarters)
    whole.cover = Cover(4, 9, 2, bytes(range(32)))
    assert decode(2, 60, encode(whole, compact=compact)) == whole
    whole.cover, whole.quarters = None, {}
    assert decode(0, 60, encode(whole, compact=compact)) == whole


@given(_ENERGY)
def test_equal_rows_are_equal_bytes_and_zeros_are_left_out(energy: dict[int, int]) -> None:
    backwards = dict(reversed(energy.items()))
    with_zeros = {**backwards, 2**32 - 2: 0} if 2**32 - 2 not in energy else backwards
    facts = {"stalls": 0, "jitters": 2}
    assert encode(row(energy_uj=energy, facts={"jitters": 2})) == encode(
        row(energy_uj=with_zeros, facts=facts)
    )


@pytest.mark.parametrize(
    ("energy", "id_bytes", "amount_bytes"),
    [
        ({}, 0, 0),
        ({1: 1}, 1, 1),
        ({255: 127}, 1, 1),
        ({256: 1}, 2, 1),
        ({1: 128}, 1, 2),
        ({1: -128}, 1, 2),  # a sign and eight bits: no shorter for one number
        ({1: -129, 65_536: 1}, 3, 2),
        ({9: 2**31 - 1}, 1, 4),
        ({9: 2**31}, 1, 5),
    ],
)
def test_numbers_are_as_short_as_the_largest_needs(
    energy: dict[int, int], id_bytes: int, amount_bytes: int
) -> None:
    assert len(encode(row(energy_uj=energy))) == HEAD + TABLE + len(energy) * (
        id_bytes + amount_bytes
    )
    loose = encode(row(energy_uj=energy), compact=False)
    assert len(loose) == HEAD + TABLE + len(energy) * (4 + 8)


def test_bytes_that_no_agent_wrote_are_refused_and_say_why() -> None:
    whole = encode(row(energy_uj={1: 5, 2: 700}, facts={"jitters": 1}))
    for length in range(len(whole)):
        with pytest.raises(BadRow):
            decode(0, 60, whole[:length])
    with pytest.raises(BadRow, match=f"{len(whole) + 1} bytes instead of {len(whole)}"):
        decode(0, 60, whole + b"\0")
    for version in (0, 3, 255):
        with pytest.raises(BadRow, match=f"format {version}"):
            decode(0, 60, bytes([version]) + whole[1:])
    with pytest.raises(BadRow):  # a row of tens where one of minutes should be
        decode(1, 60, whole)


def test_a_later_row_adds_its_amounts_and_brings_its_end() -> None:
    first = row(energy_uj={1: 5}, facts={"jitters": 1})
    later = Row(
        70, 4, 3, 2 * 10**18, 2 * 10**12, 900, 99, 7, {"jitters": 2, "resets": 1}, {1: 1, 2: 3}
    )
    first.merge(later)
    assert first == Row(
        *(60, 4, 3, 2 * 10**18, 2 * 10**12, 900, 99, 10**10 + 7),
        {"jitters": 3, "resets": 1},
        {1: 6, 2: 3},
    )
    assert first.sum_uj == 9
    assert later.energy_uj == {1: 1, 2: 3}, "what is added does not change"


def test_a_minute_is_of_the_quarter_that_its_label_is_in() -> None:
    hour = Row(7_200)
    for start_s in (7_200, 8_099, 8_100, 9_899, 9_900, 10_799):
        hour.add_to_quarter(Row(start_s, metered_ns=2, facts={"stalls": 1}, energy_uj={4: start_s}))
    assert {which: quarter.energy_uj[4] for which, quarter in hour.quarters.items()} == {
        0: 7_200 + 8_099,
        1: 8_100,
        2: 9_899,
        3: 9_900 + 10_799,
    }
    assert [quarter.metered_ns for quarter in hour.quarters.values()] == [4, 2, 2, 4]
    assert hour.quarters[0].facts == {"stalls": 2}


def test_hashes_are_over_the_row_before_the_place_and_the_content() -> None:
    """As any program can compute them from the file: SHA-256, little-endian numbers."""
    before, body = bytes(range(32)), b"content"
    place = struct.pack("<BIqq", 2, 7, 5, 1_800)
    assert (
        link(before, Sealed(2, 7, 5, 1_800, body)) == hashlib.sha256(before + place + body).digest()
    )
    assert (
        open_hash(before, 7, 1_800, body, "[é]")
        == hashlib.sha256(
            before + struct.pack("<BIqq", 255, 7, 0, 1_800) + body + "[é]".encode()
        ).digest()
    )
    assert (
        genesis("id", "nvml", "GPU-1", 1)
        == hashlib.sha256(b'["id","nvml","GPU-1","minutes"]').digest()
    )


def test_no_counter_is_none_that_a_counter_can_show() -> None:
    assert NO_COUNTER < 0 < MOST_COUNTER_UJ < 2**63
    assert decode(0, 60, encode(row(counter_uj=MOST_COUNTER_UJ))).counter_uj == MOST_COUNTER_UJ
    assert Row(0).counter_uj == NO_COUNTER
