"""What is known of the weights at one moment: records, no computing."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

PRIOR_SD: Final = 0.7
"""Of the common slope: a 10× range of watts per SM time, evenly in its logarithm, has 0.66."""


class Prior(NamedTuple):
    """What to expect of a process before seeing it, in watts per unit of SM time."""

    watts: float
    sd_watts: float


UNKNOWN_FLOOR: Final = Prior(0.0, math.inf)
"""The board was never seen doing nothing: its floor is held at a part of the power (`solving`)."""


@dataclass(frozen=True, slots=True)
class Weights(Generic[K]):
    """What is known of those who share a GPU. ``learnt`` False: the common slope fits as well."""

    keys: tuple[K, ...]
    watts: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    slope: float
    learnt: bool
    floor: Prior  # what the board draws whoever works
    exact: bool = False
    index: dict[K, int] = field(default_factory=dict)

    def of(self, key: K) -> float:
        """Watts per unit of SM time to reckon with; the common slope for strangers."""
        at = self.index.get(key)
        return self.watts[at] if self.learnt and at is not None else self.slope


def without(weights: Weights[K], key: K) -> Weights[K]:
    """The same without one process."""
    at = weights.index.get(key)
    if at is None:
        return weights
    keep = [i for i in range(len(weights.keys)) if i != at]
    keys = tuple(weights.keys[i] for i in keep)
    return Weights(
        keys,
        tuple(weights.watts[i] for i in keep),
        tuple(tuple(weights.covariance[i][j] for j in keep) for i in keep),
        weights.slope,
        weights.learnt,
        weights.floor,
        weights.exact,
        {k: i for i, k in enumerate(keys)},
    )
