"""Who counts how much work was done, and for whom: records between those who ask and the books."""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from submeter.model import ProcessKey
from submeter.units import NS_PER_S

_TICK_NS: Final = NS_PER_S // os.sysconf("SC_CLK_TCK")


class Source(NamedTuple):
    """Somebody who counts: a server by its address and process, or a job by its process.

    ``id`` is another one whenever the counters begin anew, as far as that can be known. The work
    is that of whoever of ``holders`` holds a GPU, or of the ``workload`` of that name.
    """

    id: str
    holders: tuple[ProcessKey, ...] = ()
    workload: str = ""
    started_ns: int | None = None  # boot time at which the counters were 0; None if not known
    address: str = ""  # of servers
    server: str = ""  # what kind


class Heard(NamedTuple):
    """What a source has counted so far, or why it isn't known."""

    source: Source
    at_ns: int  # boot time
    counts: Mapping[str, int] | None = None  # None: not told this time
    trouble: str = ""  # a short word
    gone: bool = False  # there will be no more


def began_ns(key: ProcessKey) -> int:
    """Boot time at which a process began: field 22 of /proc/PID/stat counts ticks since boot."""
    return key.start_ticks * _TICK_NS


def process_id(key: ProcessKey, what: str = "") -> str:
    """An identity that no other process has."""
    return f"{key.boot_id}:{key.pid}:{key.start_ticks}:{what}"
