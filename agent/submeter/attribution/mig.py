"""Who is in which MIG instance and how busy each instance was in, SM time by holder out.

The driver names no process's SM time on a partitioned GPU (`nvml.h`: "not supported on MIG-enabled
GPUs"), but from Hopper on it counts each GPU instance's. Busy time is a share of the instance: a
3g instance that is half busy worked three times as long as a 1g one. Within an instance nothing is
known: its holders share equally, those of its compute instances by their slices.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

SLICES: Final = 7
"""Compute slices of an A100, H100 or B200: the unit of SM time here is that of the whole GPU."""

_LABEL: Final = re.compile(r"(?:(\d)c\.)?(?:(\d)g\b)?[^/]*(?:/(\d+))?")


class Place(NamedTuple):
    """Where a holder is: its label taken apart. "1c.3g.40gb/2" is 1 slice (of 3) of instance 2;
    what a label doesn't say is one slice."""

    gpu_instance: int | None
    slices: int


class InstanceTime(NamedTuple):
    """SM time by holder, in the unit of the activity times the whole GPU."""

    holders: tuple[int, ...]
    foreign: int  # of instances whose holders nobody knows


def place(label: str) -> Place:
    """A label such as ``1g.10gb/7`` taken apart."""
    found = _LABEL.match(label)
    assert found is not None  # every part may be missing
    compute, gpu, instance = found.groups()
    return Place(None if instance is None else int(instance), int(compute or gpu or 1))


def instance_time(labels: Sequence[str], busy: Mapping[int, int]) -> InstanceTime:
    """``labels``: the MIG label of each holder; ``busy``: busy time × slices of each GPU instance,
    in any unit of time."""
    places = {label: place(label) for label in labels}
    held: dict[int | None, int] = {}  # compute slices by GPU instance
    for where in places.values():
        held[where.gpu_instance] = held.get(where.gpu_instance, 0) + where.slices
    times = []
    for label in labels:
        where = places[label]
        time = 0 if where.gpu_instance is None else busy.get(where.gpu_instance, 0)
        sharers = held[where.gpu_instance] * labels.count(label)
        times.append(time * where.slices // (SLICES * sharers))
    foreign = sum(time // SLICES for instance, time in busy.items() if instance not in held)
    return InstanceTime(tuple(times), foreign)
