"""What the kernel says of processes, which choose most of it themselves."""

import json
from typing import Final

from submeter.model import ProcessFacts
from submeter.text import printable
from submeter.workloads import procfs
from submeter.workloads.described import answer, described
from submeter.workloads.naming import owner
from submeter.workloads.placement import placement
from submeter.workloads.recognise import recognise
from submeter.workloads.slurm import _listed
from submeter_fuzz.surface import KEY

_NOBODY: Final = recognise(ProcessFacts(KEY))


def stat_of(data: bytes) -> object:
    found = procfs._parse_stat(data)
    assert found is None or (found.start_ticks >= 0 and found.parent >= 0)
    return found


def process_of(data: bytes) -> object:
    """A command line, with a name and an environment: all its own choice."""
    line, _, rest = data.partition(b"\n")
    comm, _, environ = rest.partition(b"\n")
    argv, padded = procfs._arguments(line)
    facts = ProcessFacts(
        KEY,
        comm=procfs._text(comm)[:64],
        argv=argv,
        title=argv[0] if procfs._is_title(argv, padded) else None,
        environ=procfs._environ(environ),
        parent_argv=argv[::-1],
    )
    found = owner(facts, recognise(facts))
    assert all(len(label) <= 128 and printable(label) == label for label in found[1:])
    return found


def cgroup_of(data: bytes) -> object:
    place = placement(procfs._text(data))
    return owner(ProcessFacts(KEY, cgroup=procfs._text(data)), _NOBODY), place


def proc_tables_of(data: bytes) -> object:
    return (
        procfs._uid(data),
        procfs._mapped(data),
        list(procfs._listening(data)),
        list(_listed(data)),
    )


def described_of(data: bytes) -> object:
    found = described(data)
    return json.dumps(answer(found.id, recognise(found.facts)))
