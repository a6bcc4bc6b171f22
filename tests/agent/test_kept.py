"""What is kept is what would be made; no more is made than is new, none is kept that is gone."""

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st

from submeter.kept import Kept


@given(st.lists(st.lists(st.integers(0, 9)).map(tuple)))
def test_it_is_what_making_all_anew_would_give(asked: list[tuple[int, ...]]) -> None:
    kept: Kept[int, str] = Kept(lambda keys: tuple(map(str, keys)))
    for keys in asked:
        assert kept.of(keys) == tuple(map(str, keys))


def test_only_what_is_new_is_made() -> None:
    made: list[int] = []

    def make(keys: tuple[int, ...]) -> tuple[str, ...]:
        made.extend(keys)
        return tuple(map(str, keys))

    kept: Kept[int, str] = Kept(make)
    first = kept.of(tuple(range(1_000)))
    assert kept.of(tuple(range(1_000))) is first
    made.clear()
    kept.of((*range(1_000), 7_000))  # one comes,
    kept.of((*range(500), *range(501, 1_000), 7_000))  # one goes,
    kept.of((*range(500), 8_000, *range(501, 1_000), 7_000))  # another comes between
    assert made == [7_000, 8_000]


def test_nothing_is_kept_of_who_is_gone() -> None:
    class Thing:
        pass

    kept: Kept[str, Thing] = Kept(lambda keys: tuple(Thing() for _ in keys))
    gone = weakref.ref(kept.of(("a", "b", "c"))[1])
    kept.of(("a", "c"))
    gc.collect()
    assert gone() is None
