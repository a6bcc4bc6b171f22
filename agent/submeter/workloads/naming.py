"""What was seen and recognised of a process in, the labels its energy is booked under out.

Namespace, pod, container and job come from the kernel's cgroup path alone: a tenant can set any
variable and any command line, but not a place. The workload's name is the most stable one there
is, and never a command line or a path.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from submeter.model import Owner, ProcessFacts, ProcessKey, Verdict
from submeter.text import REPLACEMENT, printable
from submeter.workloads.command import Command, base
from submeter.workloads.placement import Placement, placement
from submeter.workloads.recognise import command_of
from submeter.workloads.rules import DECLARED_WORKLOAD, RAY_JOB

NAMELESS: Final = "(unknown)"
_CHARACTERS: Final = 64


Locate = Callable[[str], Placement]
"""From a process's cgroup to its place: `placement`, or that with the pods' names."""


JobOf = Callable[[ProcessKey, str], str]
"""From a process and the job in its cgroup ("" if none) to its job: `by_cgroup`, or what asks
Slurm."""


def by_cgroup(_key: ProcessKey, job: str) -> str:
    """The job as the cgroup says."""
    return job


def owner(
    facts: ProcessFacts,
    verdict: Verdict,
    *,
    locate: Locate = placement,
    job_of: JobOf = by_cgroup,
    ruled: str = "",
) -> Owner:
    """The labels. ``workload`` is the first of: declared (``SUBMETER_WORKLOAD``), what the
    operator's rules say (``ruled``), pod, Slurm job, container, systemd service, module, script,
    program, process name; else "(unknown)"."""
    place = locate(facts.cgroup)
    if not (place.pod or place.container):
        place = place._replace(job=job_of(facts.key, place.job))
    return Owner(
        phase=verdict.phase,
        workload=_workload(facts, place, ruled),
        user=tidy(facts.user),
        namespace=tidy(place.namespace),
        pod=tidy(place.pod),
        container=tidy(place.container),
        job=tidy(place.job or _ray_job(facts.environ)),
    )


def _ray_job(environ: Mapping[str, str]) -> str:
    """Ray gives its workers a job's number in the environment, which a tenant may change: it is
    told from a Slurm job by its beginning, and never stands in the place of one."""
    number = environ.get(RAY_JOB, "")
    return f"ray-{number}" if _RAY_NUMBER.fullmatch(number) else ""


_RAY_NUMBER: Final = re.compile(r"[0-9a-f]{8}")
"""JobID::Hex(), four bytes: ray's src/ray/common/id.h."""


def tidy(text: str) -> str:
    """At most 64 printable characters. Names in parentheses are the agent's own, such as
    "(other)", so nobody else's keep theirs."""
    name = printable(text[: _CHARACTERS * 4]).strip().strip(REPLACEMENT).strip()[:_CHARACTERS]
    return name.strip("() ") if name.startswith("(") and name.endswith(")") else name


def _workload(facts: ProcessFacts, place: Placement, ruled: str) -> str:
    candidates = (
        facts.environ.get(DECLARED_WORKLOAD, ""),
        ruled,
        place.pod,
        f"job {place.job}" if place.job else "",
        place.container,
        place.unit,
        _program(facts),
        facts.comm,
    )
    for candidate in candidates:
        name = tidy(candidate)
        if name:
            return name
    return NAMELESS


def _program(facts: ProcessFacts) -> str:
    if facts.title is not None:
        return _title_name(facts.title)
    return _command_name(command_of(facts)) if facts.argv else ""


def _title_name(title: str) -> str:
    """A title's first word: what follows may be a command line. Ray's names the method that runs
    at the moment, which is no part of the name."""
    word = title.split(maxsplit=1)[0] if title.strip() else ""
    if word.startswith("ray::") and "ServeReplica" not in word:
        return word.partition(".")[0].partition("(")[0]
    return base(word.partition("(")[0].rstrip(":"))


def _command_name(command: Command) -> str:
    if "=" in command.name:  # a program's own words are no place for KEY=secret
        return ""
    return command.name
