"""``submeter classify``: processes in, what each does with the GPU and why out."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import paint, print_json, print_table, printable, wants_colour
from submeter.errors import EXIT_FAILED, EXIT_OK, InputError, SubmeterError
from submeter.model import ProcessFacts, Verdict
from submeter.workloads.described import answer, described
from submeter.workloads.procfs import ProcfsSource
from submeter.workloads.recognise import Judge, recognise

HELP = "phase of processes (training, inference, other, unknown), and why"


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "--backend", "--scenario")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--pid", type=int, metavar="N", action="append", help="that process; may be repeated"
    )
    what.add_argument(
        "--jsonl",
        metavar="FILE",
        help="processes described one a line, as docs/recognition.md says; - reads stdin",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a process")
    examples(
        parser,
        "submeter classify",
        "submeter classify --pid 4711 --json",
        "submeter classify --jsonl processes.jsonl",
    )


def run(arguments: argparse.Namespace) -> int:
    judge = recognise
    if arguments.jsonl is not None:
        with _opened(arguments.jsonl) as lines:
            return _answer_all(lines, judge)
    if arguments.pid:
        return _tell([(pid, judge(_seen(pid))) for pid in arguments.pid], as_json=arguments.json)
    return _tell(list(_holders(arguments, judge)), as_json=arguments.json)


def _answer_all(lines: Iterable[bytes], judge: Judge) -> int:
    """One line out for each line in, in its order; a bad one doesn't stop those behind it."""
    code = EXIT_OK
    write = sys.stdout.write
    for number, line in enumerate(lines, start=1):
        try:
            one = described(line)
            said = answer(one.id, judge(one.facts))
        except InputError as error:
            said = {"error": str(error), "line": number}
            code = EXIT_FAILED
        write(json.dumps(said) + "\n")
    return code


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("rb"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
            raise InputError(f"can't be read: {reason}", source=name) from error
        yield file


def _seen(pid: int) -> ProcessFacts:
    """All that can be seen of a process, ports and libraries included: here nobody waits."""
    source = ProcfsSource()
    key = source.identify(pid) if pid > 0 else None
    facts = None if key is None else source.facts(key)
    if key is None or facts is None:
        raise SubmeterError(f"there is no process {pid} here, or it can't be looked at now")
    return replace(
        facts,
        listen_ports=source.listen_ports(key),
        libraries=source.libraries(key),
        writing=source.writing(key),
    )


def _holders(arguments: argparse.Namespace, judge: Judge) -> Iterator[tuple[int, Verdict]]:
    """Everybody who holds a GPU now."""
    from submeter.backends import load
    from submeter.clock import SystemClock
    from submeter.config import backend_options

    config = settings(arguments)
    clock = SystemClock()
    backend = load(config.backend, clock, backend_options(config))
    devices = backend.open()
    try:
        now_ns = clock.boottime_ns()
        held = [device.holders(now_ns) or () for device in devices]
        for pid in sorted({holder.pid for holders in held for holder in holders}):
            key = backend.processes.identify(pid)
            facts = None if key is None else backend.processes.facts(key)
            if facts is not None:
                yield pid, judge(facts)
    finally:
        backend.close()


def _tell(verdicts: list[tuple[int, Verdict]], *, as_json: bool) -> int:
    if as_json:
        print_json(
            [{**answer(pid, verdict), "source": verdict.source} for pid, verdict in verdicts]
        )
    elif len(verdicts) == 1:
        pid, verdict = verdicts[0]
        colour = wants_colour(sys.stdout)
        print(f"{pid}: {paint(verdict.phase, 'bold', colour=colour)}, {_sure(verdict)}")
        for reason in verdict.evidence:
            print(f"  · {printable(reason)}")
    else:
        rows = [
            (pid, verdict.phase, _sure(verdict), "; ".join(verdict.evidence))
            for pid, verdict in verdicts
        ]
        print_table(("PID", "PHASE", "SURE", "WHY"), rows, right=[0])
    return EXIT_OK


def _sure(verdict: Verdict) -> str:
    return f"{verdict.confidence:.0%}"
