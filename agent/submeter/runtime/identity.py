"""The configuration in, what finds out who uses the GPUs and for what out."""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from submeter.backends import ProcessSource
from submeter.client.protocol import SOCKET_NAME, SYSTEM_SOCKET
from submeter.clock import Clock
from submeter.config import Config
from submeter.errors import ListenFailed
from submeter.model import Owner, ProcessFacts, ProcessView, Verdict
from submeter.runtime.address import listening
from submeter.runtime.labels import Answer, LabelServer
from submeter.runtime.levels import LevelPage
from submeter.runtime.pods import Names, PodWatch
from submeter.runtime.throughput import WorkWatch, looking
from submeter.throughput.workbook import Workbook
from submeter.workloads import ProcessTable, ProcfsSource
from submeter.workloads.containers import ContainerNames
from submeter.workloads.labels import Labels
from submeter.workloads.naming import JobOf, Locate, by_cgroup, owner
from submeter.workloads.operator import Rule, compiled, judge, workload
from submeter.workloads.placement import placement
from submeter.workloads.pods import PodNames
from submeter.workloads.slurm import SlurmJobs, available, listing

_log = logging.getLogger(__name__)

_SYSTEM_STATE: Final = Path("/var/lib/submeter")


def process_table(
    config: Config, processes: ProcessSource, labels: Labels, locate: Locate, job_of: JobOf
) -> ProcessTable:
    """The table of a running agent, with the operator's rules and what jobs say themselves."""
    rules = _rules(config)

    def name(facts: ProcessFacts, verdict: Verdict) -> Owner:
        ruled = workload(rules, facts, locate)
        return owner(facts, verdict, locate=locate, job_of=job_of, ruled=ruled)

    return ProcessTable(processes, judge=judge(rules, locate), name=name, labels=labels)


def _rules(config: Config) -> tuple[Rule, ...]:
    return tuple(
        compiled(f"rule {number}", rule.patterns, rule.phase, rule.workload)
        for number, rule in enumerate(config.classify.rule, start=1)
    )


def work_watch(
    config: Config,
    clock: Clock,
    processes: ProcessSource,
    locate: Locate,
    *,
    views: Callable[[], Iterable[ProcessView]],
    workbook: Workbook,
) -> WorkWatch:
    """Asks servers how much they do; finds them itself where there are real processes.

    Raises InputError for an address that can't be asked."""
    look = None
    if isinstance(processes, ProcfsSource):
        look = looking(processes, judge(_rules(config), locate))
    return WorkWatch(config, clock, views, workbook, look)


def places(config: Config, processes: ProcessSource) -> tuple[PodWatch | None, Locate, JobOf]:
    """What keeps the names of pods, containers and jobs fresh, on a node that has any; and who
    asks for them."""
    if config.backend != "nvml":
        return None, placement, by_cgroup
    fresh: list[Names] = []
    locate: Locate = placement
    job_of: JobOf = by_cgroup
    pods = PodNames(config.classify.kubelet_socket)
    if pods.has_kubelet():
        fresh.append(pods)
        locate = pods.locate
    containers = ContainerNames(locate)
    if containers.has_manager():
        fresh.append(containers)
        locate = containers.locate
    scontrol = available()
    if scontrol is not None:
        jobs = SlurmJobs(processes.identify, lambda: listing(scontrol))
        fresh.append(jobs)
        job_of = jobs.job_of
    return PodWatch(*fresh) if fresh else None, locate, job_of


def label_server(
    config: Config,
    labels: Labels,
    clock: Clock,
    answer: Answer,
    *,
    levels: LevelPage,
    workbook: Workbook,
) -> LabelServer | None:
    """Listens for jobs; None, said in the log, where that can't be: metering goes on without.

    Raises InputError for a group that doesn't exist.
    """
    path = socket_path(config)
    try:
        server = listening(path, config.classify.socket_group)
    except ListenFailed as error:
        _log.warning("jobs can't label themselves: %s", error)
        return None
    processes = ProcfsSource(read_environ=False)
    return LabelServer(
        *(server, labels, processes, clock, answer), page=levels.hand_out, hear=workbook.hear
    )


def socket_path(config: Config) -> Path:
    """Where jobs find the agent."""
    if config.classify.socket is not None:
        return config.classify.socket
    if os.geteuid() == 0 and config.state_dir == _SYSTEM_STATE:
        return SYSTEM_SOCKET
    return config.state_dir / SOCKET_NAME
