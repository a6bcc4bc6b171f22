"""Keys in, what is made of each out: made anew only for what has changed since the last time."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Keeps what was made of the newest keys, and nothing else. Made anew for those keys only that
    stood at no such place before, counted from the first or from the last.

    Any thread may ask: what is kept is replaced, never changed.
    """

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[tuple[K, ...]], tuple[V, ...]]) -> None:
        """``make``: what belongs to those keys, in their order."""
        self._make = make
        self._known: tuple[tuple[K, ...], tuple[V, ...]] = (), ()

    def of(self, keys: tuple[K, ...]) -> tuple[V, ...]:
        """What belongs to the keys, in their order; for the same keys the same tuple."""
        known, made = self._known
        if keys == known:
            return made
        first = _alike(known, keys)
        rest = min(len(known), len(keys)) - first
        last = _alike(known[: -rest - 1 : -1], keys[: -rest - 1 : -1])
        between = self._make(keys[first : len(keys) - last])
        made = (*made[:first], *between, *made[len(made) - last :])
        self._known = keys, made
        return made


def _alike(one: tuple[object, ...], other: tuple[object, ...]) -> int:
    """How many are the same from the first on. Halved like in a search: comparing slices is many
    times faster than comparing their objects one after the other here."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
