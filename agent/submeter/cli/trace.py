"""``submeter trace``: a recording or power log in, what is in it, a check or a native trace out."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from submeter.cli._options import examples
from submeter.cli.output import PATIENCE_S, Progress, print_json, print_table, printable
from submeter.errors import EXIT_FAILED, EXIT_OK, InputError
from submeter.trace import Trace, create_trace, open_trace
from submeter.trace.lines import told
from submeter.trace.records import EndRecord
from submeter.trace.summary import GpuSummary, Summary, summarise
from submeter.units import NS_PER_S, UJ_PER_J, UJ_PER_WH, decimal

HELP = "look into, check and convert recordings and power logs"
ABOUT = """
Looks into recordings of `submeter record` and power logs (nvidia-smi and others), checks them,
and converts them to native traces.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    info = actions.add_parser("info", help="what is in it: GPUs, duration, power, energy")
    info.add_argument("file", type=Path, help="a trace or a power log")
    info.add_argument("--json", action="store_true", help="for machines")
    info.set_defaults(action=_info)
    examples(info, "submeter trace info node.trace.gz --json")
    check = actions.add_parser("check", help="exit 0 if it is whole, 1 if cut off, 2 if wrong")
    check.add_argument("file", type=Path, help="a trace or a power log")
    check.set_defaults(action=_check)
    examples(check, "submeter trace check node.trace.gz")
    convert = actions.add_parser("convert", help="a power log to a native trace")
    convert.add_argument("source", type=Path, metavar="IN", help="a trace or a power log")
    convert.add_argument("target", type=Path, metavar="OUT", help="compressed if it ends in .gz")
    convert.add_argument("--force", action="store_true", help="overwrite OUT")
    convert.set_defaults(action=_convert)
    examples(convert, "submeter trace convert nvidia-smi.csv node.trace.gz")
    examples(
        parser,
        "submeter trace info node.trace.gz",
        "submeter trace convert nvidia-smi.csv node.trace.gz",
        "submeter trace check node.trace.gz && submeter run --backend replay --trace node.trace.gz",
    )


def run(arguments: argparse.Namespace) -> int:
    code: int = arguments.action(arguments)  # each action sets its own
    return code


def _info(arguments: argparse.Namespace) -> int:
    trace = _opened(arguments.file)
    with _progress("adding up"):
        summary = summarise(trace)
    if arguments.json:
        print_json(_as_json(trace, summary))
        return EXIT_OK
    header = trace.header
    print(f"format    {trace.format}, of {printable(header.backend)}")
    print(f"recorded  {printable(header.created) or 'date unknown'}")
    print(f"duration  {trace.duration_ns / NS_PER_S:.3f} s")
    if header.notice:
        print(f"notice    {printable(header.notice)}")
    for warning in trace.warnings:
        print(f"warning   {printable(warning)}")
    counts = ", ".join(f"{count} {name}" for name, count in summary.counts.items())
    print(f"records   {counts}\n")
    print_table(
        ("gpu", "name", "source", "every", "readings", "mean W", "peak W", "∫ J", "counter J"),
        [_row(gpu) for gpu in summary.gpus],
        right=range(3, 9),
    )
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> int:
    trace = _opened(arguments.file)
    for warning in trace.warnings:
        print(f"submeter: {printable(f'{trace.path}: {warning}')}", file=sys.stderr)
    if trace.truncated_at is not None:
        return EXIT_FAILED
    print(f"{printable(str(trace.path))}: whole, {trace.duration_ns / NS_PER_S:.3f} s")
    return EXIT_OK


def _convert(arguments: argparse.Namespace) -> int:
    trace = _opened(arguments.source)
    if arguments.target.exists() and arguments.target.samefile(arguments.source):
        raise InputError(
            "is the recording itself; choose another name", source=str(arguments.target)
        )
    writer = create_trace(arguments.target, overwrite=arguments.force)
    end = EndRecord(trace.last_ns, "" if trace.truncated_at is None else trace.warnings[-1])
    try:
        writer.begin(trace.header)
        with _progress("converting"):
            for record in trace.records():
                if isinstance(record, EndRecord):
                    end = record
                    break
                writer.write(record)
        writer.close(end.at_ns, end.reason)
    finally:
        writer.abandon()
    for warning in trace.warnings:
        print(f"submeter: {printable(f'{trace.path}: {warning}')}", file=sys.stderr)
    print(f"{printable(str(arguments.target))}: {writer.records} records")
    return EXIT_OK


def _opened(path: Path) -> Trace:
    with _progress("reading"):
        return open_trace(path)


@contextmanager
def _progress(label: str) -> Iterator[None]:
    """Of what reads the file."""
    progress = Progress(label, 100, after_s=PATIENCE_S)
    with progress, told(lambda share: progress.update(int(100 * share))):
        yield


def _row(gpu: GpuSummary) -> tuple[str, ...]:
    return (
        str(gpu.info.index),
        gpu.info.name,
        gpu.info.energy_source,
        f"{gpu.info.refresh_ns / NS_PER_S:.3f} s",
        str(gpu.readings),
        _watts(gpu.mean_mw),
        _watts(gpu.peak_mw),
        _joules(gpu.integral_uj),
        _joules(gpu.counter_uj),
    )


def _watts(power_mw: int | None) -> str:
    return "–" if power_mw is None else f"{power_mw / 1_000:.1f}"


def _joules(energy_uj: int | None) -> str:
    return "–" if energy_uj is None else f"{energy_uj / UJ_PER_J:.1f}"


def _as_json(trace: Trace, summary: Summary) -> dict[str, object]:
    return {
        "schema": 1,
        "format": trace.format,
        "backend": trace.header.backend,
        "created": trace.header.created,
        "notice": trace.header.notice,
        "duration_s": trace.duration_ns / NS_PER_S,
        "truncated_at": trace.truncated_at,
        "warnings": list(trace.warnings),
        "records": dict(summary.counts),
        "gpus": [_gpu_json(gpu) for gpu in summary.gpus],
    }


def _gpu_json(gpu: GpuSummary) -> dict[str, object]:
    best_uj = gpu.integral_uj if gpu.counter_uj is None else gpu.counter_uj
    return {
        "gpu": gpu.info.index,
        "uuid": gpu.info.uuid,
        "name": gpu.info.name,
        "scope": gpu.info.scope,
        "energy_source": gpu.info.energy_source,
        "refresh_s": gpu.info.refresh_ns / NS_PER_S,
        "readings": gpu.readings,
        "mean_watts": None if gpu.mean_mw is None else gpu.mean_mw / 1_000,
        "peak_watts": None if gpu.peak_mw is None else gpu.peak_mw / 1_000,
        "integral_joules": None if gpu.integral_uj is None else decimal(gpu.integral_uj, 6),
        "counter_joules": None if gpu.counter_uj is None else decimal(gpu.counter_uj, 6),
        "wh": None if best_uj is None else best_uj / UJ_PER_WH,
        "gap_s": gpu.gap_ns / NS_PER_S,
        "counter_resets": gpu.resets,
    }
