"""Processes on the GPUs in, the addresses at which their servers tell what they did out.

The process on the GPU is seldom the one that listens: vLLM's engine and its workers are children of
the API server, SGLang's schedulers too, and TGI's router is a sibling of its shards. So the ports
looked at are those of a recognised server, of the servers it was started by, and of what these
started. Whoever was not recognised is not asked, nor is one of another network namespace, whose
127.0.0.1 is another one: such servers are named in the configuration.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from submeter.model import Phase, ProcessFacts, ProcessKey, ProcessView, Verdict
from submeter.throughput.asking import LOOPBACK, Address
from submeter.throughput.source import Source, began_ns, process_id
from submeter.workloads.lineage import Lineage

MOST_RELATIVES: Final = 64  # of one server
MOST_PORTS: Final = 16  # of one process


class Processes(Protocol):
    """What must be known of processes."""

    def identify(self, pid: int) -> ProcessKey | None:
        """Who that is now."""
        ...

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        """What can be seen of it."""
        ...

    def listen_ports(self, key: ProcessKey) -> tuple[int, ...]:
        """Where it accepts connections."""
        ...


class Found(NamedTuple):
    """A place where a server may tell what it did."""

    source: Source
    address: Address
    listener: ProcessKey | None = None  # None: of the configuration


def servers_on(views: Iterable[ProcessView]) -> list[ProcessKey]:
    """Those on a GPU that were recognised as servers, each once."""
    found = (view.key for view in views if view.verdict.phase is Phase.INFERENCE)
    return list(dict.fromkeys(found))


def find(
    holders: Sequence[ProcessKey],
    processes: Processes,
    family: Lineage,
    judge: Callable[[ProcessFacts], Verdict],
    is_near: Callable[[int], bool | None],
) -> Iterator[Found]:
    """Every port of every server, each with all its processes on GPUs: tensor-parallel workers
    are one server."""
    groups: dict[int, list[ProcessKey]] = {}
    for key in holders:
        groups.setdefault(_head(key, processes, family, judge), []).append(key)
    for head, keys in groups.items():
        if not is_near(head):
            continue
        for pid in islice((head, *family.descendants(head)), MOST_RELATIVES):
            who = processes.identify(pid)
            for port in () if who is None else processes.listen_ports(who)[:MOST_PORTS]:
                assert who is not None
                address = Address(LOOPBACK, port)
                name = process_id(who, str(port))
                source = Source(name, tuple(keys), "", began_ns(who), str(address))
                yield Found(source, address, who)


def _head(
    key: ProcessKey,
    processes: Processes,
    family: Lineage,
    judge: Callable[[ProcessFacts], Verdict],
) -> int:
    """The first of the servers that it was started by, or itself."""
    head = key.pid
    for pid in family.ancestors(key.pid):
        who = processes.identify(pid)
        facts = None if who is None else processes.facts(who)
        if facts is None or judge(facts).phase is not Phase.INFERENCE:
            break
        head = pid
    return head
