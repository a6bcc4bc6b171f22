"""Labels taken apart, and busy times of instances shared between their holders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.attribution.mig import SLICES, instance_time, place


@pytest.mark.parametrize(
    ("label", "instance", "slices"),
    [
        ("1g.10gb/7", 7, 1),
        ("3g.40gb/2", 2, 3),
        ("1g.10gb+me/9", 9, 1),
        ("7g.80gb/0", 0, 7),
        ("1c.3g.40gb/2", 2, 1),
        ("2c.3g.40gb/2", 2, 2),
        ("mig/5", 5, 1),
        ("", None, 1),
        ("3g", None, 3),
    ],
)
def test_labels(label: str, instance: int | None, slices: int) -> None:
    assert place(label) == (instance, slices)


def test_an_instance_counts_by_its_slices() -> None:
    busy = {1: 3 * 50 * SLICES, 7: 100 * SLICES, 8: 0}
    times = instance_time(["3g.40gb/1", "1g.10gb/7", "1g.10gb/8"], busy)
    assert times == ((150, 100, 0), 0)


def test_holders_of_one_instance_share_equally() -> None:
    times = instance_time(["3g.40gb/1", "3g.40gb/1", "1g.10gb/7"], {1: 60 * SLICES, 7: SLICES})
    assert times == ((30, 30, 1), 0)


def test_compute_instances_share_by_their_slices_and_in_them_equally() -> None:
    labels = ["1c.3g.40gb/2", "2c.3g.40gb/2", "2c.3g.40gb/2"]
    assert instance_time(labels, {2: 90 * SLICES}).holders == (30, 30, 30)
    assert instance_time(labels[:1], {2: 90 * SLICES}).holders == (90,)  # the other is empty


def test_instances_that_nobody_is_known_to_hold() -> None:
    assert instance_time(["1g.10gb/7"], {7: SLICES, 9: 5 * SLICES}) == ((1,), 5)


@given(
    labels=st.lists(st.sampled_from(["1g.10gb/7", "1c.3g.40gb/2", "2c.3g.40gb/2", "x", ""])),
    busy=st.dictionaries(st.sampled_from([2, 7, 9]), st.integers(0, 10**15)),
)
def test_never_more_than_there_was(labels: list[str], busy: dict[int, int]) -> None:
    times = instance_time(labels, busy)
    handed_out = sum(times.holders) + times.foreign
    assert handed_out * SLICES <= sum(busy.values())
    assert all(time >= 0 for time in times.holders)
