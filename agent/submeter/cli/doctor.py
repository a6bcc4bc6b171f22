"""``submeter doctor``: what this node supports in, a checklist with fixes out."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from submeter.backends import Backend, Device
from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import Progress, paint, print_json, printable, wants_colour
from submeter.clock import Clock, SystemClock
from submeter.config import Config
from submeter.doctor import (
    ACCURACY,
    Finding,
    Level,
    Surroundings,
    driver_findings,
    gpu_findings,
    node_findings,
    worst,
)
from submeter.errors import EXIT_FAILED, EXIT_NO_GPU, EXIT_OK, DriverUnavailable, SubmeterError
from submeter.metering.refresh import assumed_refresh_ns, estimate_refresh_ns
from submeter.model import GpuInfo, Reading
from submeter.runtime.assembly import backend_of
from submeter.runtime.state import problem
from submeter.units import NS_PER_MS
from submeter.workloads import ProcfsSource

HELP = "what this node supports: driver, sensors, permissions, accuracy, what to fix"

_MARKS = {Level.OK: ("✓", "green"), Level.NOTE: ("·", "dim"), Level.WARN: ("!", "yellow"),
          Level.FAIL: ("✗", "red")}  # fmt: skip
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
        return _report(arguments, [*driver_findings(error), *_node(config)], ())
    try:
        if arguments.check:
            return EXIT_OK if devices else EXIT_NO_GPU
        infos = _measured(devices, clock)
    finally:
        backend.close()
    findings = [*_provenance(backend), *(f for info in infos for f in gpu_findings(info))]
    findings += [*_node(config), Finding(Level.OK, "accuracy", ACCURACY)]
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
    )
    return list(node_findings(around))


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
        _print(findings)
    if not gpus:
        return EXIT_NO_GPU
    return EXIT_FAILED if worst(findings) is Level.FAIL else EXIT_OK


def _print(findings: Sequence[Finding]) -> None:
    colour = wants_colour(sys.stdout)
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            print(paint(printable(subject), "bold", colour=colour))
        mark, style = _MARKS[finding.level]
        print(f"  {paint(mark, style, colour=colour)} {printable(finding.text)}")
        if finding.fix:
            print(f"      → {finding.fix}")
