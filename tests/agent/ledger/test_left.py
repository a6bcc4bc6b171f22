"""A table of those who left."""

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.left import DIGEST_BYTES, Left
from submeter.model import Method


def _digest(who: int) -> bytes:
    return blake2b(str(who).encode(), digest_size=DIGEST_BYTES).digest()


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(list(Method)), st.integers(1, 1 << 24)),
        max_size=80,
    )
)
def test_it_is_a_dictionary(added: list[tuple[int, Method, int]]) -> None:
    left, known = Left(), dict[tuple[int, Method], int]()
    for who, method, series in added:
        left.add(_digest(who), method, series)
        known[who, method] = series
    assert len(left) == len(known)
    for who in range(42):
        assert (_digest(who) in left) == any(each == who for each, _ in known)
        for method in Method:
            assert left.series(_digest(who), method) == known.get((who, method))


def test_as_many_as_may_ever_leave_take_less_than_a_megabyte() -> None:
    left = Left()
    for who in range(20_000):
        left.add(_digest(who), Method.EXCLUSIVE, who + 1)
    assert len(left) == 20_000
    assert all(left.series(_digest(who), Method.EXCLUSIVE) == who + 1 for who in range(20_000))
    assert _digest(20_000) not in left
    assert len(left._table) < 1 << 20


def test_all_that_meet_in_one_place_are_told_apart() -> None:
    left = Left()
    digests = [bytes(15) + bytes([last]) for last in range(200)]
    for number, digest in enumerate(digests):
        left.add(digest, Method.EXCLUSIVE, number + 1)
    found = [left.series(digest, Method.EXCLUSIVE) for digest in digests]
    assert found == list(range(1, 201))
