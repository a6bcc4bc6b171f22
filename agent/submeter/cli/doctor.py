"""``submeter doctor``: what this node supports in, a checklist with fixes out."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from submeter.backends import Backend, Device
from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import (
    Progress,
    paint,
    print_json,
    printable,
    terminal_width,
    wants_colour,
)
from submeter.clock import Clock, SystemClock
from submeter.columns import folded
from submeter.config import Config
from submeter.doctor import (
    ACCURACY,
    Finding,
    Level,
    Surroundings,
    agent_findings,
    alike,
    driver_findings,
    gpu_findings,
    node_findings,
    summary,
    worst,
)
from submeter.errors import EXIT_FAILED, EXIT_NO_GPU, EXIT_OK, DriverUnavailable, SubmeterError
from submeter.metering.refresh import assumed_refresh_ns, estimate_refresh_ns
from submeter.model import EnergySource, GpuInfo, Reading
from submeter.runtime.assembly import backend_of
from submeter.runtime.state import problem
from submeter.ticking import library
from submeter.top.source import Door, NoAnswer, snapshot
from submeter.units import NS_PER_MS
from submeter.workloads import ProcfsSource

HELP = "what this node supports, and what to fix"
ABOUT = """
A checklist of what this node supports: driver, sensors and how often they refresh, permissions,
the accuracy to expect, and what to fix. Exits with 0 where it can be metered, 1 where something
is wrong, 69 where there is no usable GPU.
"""

_MARKS = {Level.OK: ("✓", "green"), Level.NOTE: ("·", "dim"), Level.WARN: ("!", "yellow"),
          Level.FAIL: ("✗", "red")}  # fmt: skip
_INDENT = " " * 4
_POLL_NS = 4 * NS_PER_MS
_POLL_FOR_NS = 1_500 * NS_PER_MS


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "--backend", "--state-dir", "--scenario", "--trace")
    parser.add_argument("--json", action="store_true", help="findings for machines")
    parser.add_argument(
        "--check", choices=("gpu",), help="say nothing; exit 0 if there is a usable GPU, else 69"
    )
    examples(parser, "submeter doctor", "submeter doctor --check gpu && echo there is a GPU")


def run(arguments: argparse.Namespace) -> int:
    config = settings(arguments)
    clock = SystemClock()
    backend = backend_of(config, clock)
    try:
        devices = backend.open()
    except DriverUnavailable as error:
        if arguments.check:
            return EXIT_NO_GPU
        findings = [*driver_findings(error), *_node(config), *_agent(config)]
        return _report(arguments, findings, ())
    try:
        if arguments.check:
            return EXIT_OK if devices else EXIT_NO_GPU
        infos = _measured(devices, clock)
    finally:
        backend.close()
    # People look at GPUs that are alike together, programs at one after the other
    groups = [[info] for info in infos] if arguments.json else alike(infos)
    findings = [*_provenance(backend), *(f for group in groups for f in gpu_findings(group))]
    findings += [*_node(config), *([] if backend.notice else _agent(config))]
    findings += [Finding(Level.OK, "accuracy", ACCURACY)]
    return _report(arguments, findings, infos)


def _provenance(backend: Backend) -> list[Finding]:
    if not backend.notice:
        return []
    return [Finding(Level.WARN, backend.name, backend.notice)]


def _node(config: Config) -> list[Finding]:
    around = Surroundings(
        host_pids=ProcfsSource().sees_host_pids(),
        foreign_environ=os.geteuid() == 0,
        state_dir=str(config.state_dir),
        state_dir_problem=problem(config.state_dir),
        compiled=config.sampling.compiled and library() is not None,
    )
    return list(node_findings(around))


def _agent(config: Config) -> list[Finding]:
    url = f"http://{config.web.listen}/"
    try:
        return list(agent_findings(url, snapshot(Door(url)), ""))
    except NoAnswer as error:
        return list(agent_findings(url, None, error.reason))


def _measured(devices: Sequence[Device], clock: Clock) -> tuple[GpuInfo, ...]:
    """Every device's facts, with the refresh of its sensors measured now: 1.5 s for them all."""
    readings: list[list[Reading]] = [[] for _ in devices]
    start_ns = clock.boottime_ns()
    with Progress("measuring how often the sensors refresh", _POLL_FOR_NS) as progress:
        while (now_ns := clock.boottime_ns()) < start_ns + _POLL_FOR_NS:
            for device, seen in zip(devices, readings, strict=True):
                try:
                    seen.extend(device.readings(clock.boottime_ns()))
                except SubmeterError:
                    continue  # it is in the tally, and the estimate does without it
            progress.update(now_ns - start_ns)
            clock.sleep_until(now_ns + _POLL_NS)
    infos = []
    for device, seen in zip(devices, readings, strict=True):
        estimate_ns = estimate_refresh_ns(seen)
        refresh_ns = estimate_ns or device.info.refresh_ns or assumed_refresh_ns(device.info.arch)
        infos.append(
            replace(device.info, refresh_ns=refresh_ns, refresh_measured=estimate_ns is not None)
        )
    return tuple(infos)


def _report(
    arguments: argparse.Namespace, findings: Sequence[Finding], gpus: Sequence[GpuInfo]
) -> int:
    if arguments.json:
        print_json(
            {
                "ok": worst(findings) is not Level.FAIL,
                "findings": [asdict(finding) for finding in findings],
                "gpus": [asdict(gpu) for gpu in gpus],
            }
        )
    else:
        _print(findings, sum(gpu.energy_source != EnergySource.NONE for gpu in gpus))
    if not gpus:
        return EXIT_NO_GPU
    return EXIT_FAILED if worst(findings) is Level.FAIL else EXIT_OK


def _print(findings: Sequence[Finding], gpus: int) -> None:
    colour = wants_colour(sys.stdout)
    width = terminal_width(sys.stdout)
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            print(paint(printable(subject), "bold", colour=colour))
        mark, style = _MARKS[finding.level]
        first, *more = _fitting(printable(finding.text), width, len(_INDENT))
        print(f"  {paint(mark, style, colour=colour)} {first}")
        fix = _fitting(f"→ {printable(finding.fix)}", width, len(_INDENT)) if finding.fix else []
        print(*(f"{_INDENT}{line}\n" for line in [*more, *fix]), sep="", end="")
    print(paint(summary(findings, gpus), "bold", colour=colour))


def _fitting(text: str, width: int | None, indent: int) -> list[str]:
    return [text] if width is None else folded(text, width - indent)
