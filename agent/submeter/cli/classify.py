"""``submeter classify``: processes in, what each does with the GPU and why out."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from submeter.cli._options import add_common, examples, settings
from submeter.cli.output import paint, print_json, print_table, printable, wants_colour
from submeter.errors import EXIT_FAILED, EXIT_OK, InputError, SubmeterError
from submeter.model import ProcessFacts, Verdict
from submeter.text import ranges
from submeter.workloads.described import answer, described
from submeter.workloads.naming import owner
from submeter.workloads.procfs import ProcfsSource
from submeter.workloads.recognise import Judge, recognise

HELP = "tell what processes use the GPU for, and why"
ABOUT = """
Tells the phase of processes (training, inference, other or unknown), how sure that is, and why:
of those that hold a GPU now, of given ones, or of described ones.
"""


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


_UNSEEN = "can't be looked at: is this in its PID namespace? `submeter doctor` says"
_WHOSE = {
    "declared": "the job says so",
    "rule": "a rule of yours",
    "recognised": "recognised",
}
_UNKNOWN = "nothing certain"


class _Told(NamedTuple):
    facts: ProcessFacts
    gpus: tuple[int, ...]  # that it holds; none where it was asked for by number
    verdict: Verdict

    @property
    def who(self) -> str:
        """As its energy is booked."""
        return owner(self.facts, self.verdict).workload

    def fields(self) -> dict[str, object]:
        """For machines."""
        pid = self.facts.key.pid
        return {**answer(pid, self.verdict), "source": self.verdict.source, "gpus": self.gpus}


def run(arguments: argparse.Namespace) -> int:
    judge = recognise
    seen: list[tuple[ProcessFacts, tuple[int, ...]]]
    if arguments.jsonl is not None:
        with _opened(arguments.jsonl) as lines:
            return _answer_all(lines, judge)
    if arguments.pid:
        seen = [(_seen(pid), ()) for pid in arguments.pid]
    else:
        seen = list(_holders(arguments))
    told = [_Told(facts, gpus, judge(facts)) for facts, gpus in seen]
    if arguments.json:
        print_json([each.fields() for each in told])
    elif len(told) == 1:
        _explain(told[0])
    else:
        _list(told)
    return EXIT_OK


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


def _holders(arguments: argparse.Namespace) -> Iterator[tuple[ProcessFacts, tuple[int, ...]]]:
    """Everybody who holds a GPU now, and which."""
    from submeter.backends import load
    from submeter.clock import SystemClock
    from submeter.config import backend_options

    config = settings(arguments)
    clock = SystemClock()
    backend = load(config.backend, clock, backend_options(config))
    devices = backend.open()
    if backend.notice:
        print(f"submeter: {printable(backend.notice)}", file=sys.stderr)
    try:
        now_ns = clock.boottime_ns()
        held: dict[int, list[int]] = {}
        for device in devices:
            for pid in {holder.pid for holder in device.holders(now_ns) or ()}:
                held.setdefault(pid, []).append(device.info.index)
        for pid, gpus in sorted(held.items()):
            key = backend.processes.identify(pid)
            facts = None if key is None else backend.processes.facts(key)
            if facts is None:
                print(f"submeter: {pid} holds GPU {ranges(gpus)}, but {_UNSEEN}", file=sys.stderr)
            else:
                yield facts, tuple(gpus)
    finally:
        backend.close()


def _explain(told: _Told) -> None:
    colour = wants_colour(sys.stdout)
    verdict = told.verdict
    phase = paint(verdict.phase, "bold", colour=colour)
    whose = _WHOSE.get(verdict.source)
    sure = _UNKNOWN if whose is None else f"{_sure(verdict)} sure, {whose}"
    print(f"{told.facts.key.pid}: {phase} ({sure})")
    for reason in verdict.evidence:
        print(f"  · {printable(reason)}")


def _list(told: list[_Told]) -> None:
    if not told:
        print("nobody holds a GPU now", file=sys.stderr)
        return
    rows = [
        (
            each.facts.key.pid,
            ranges(each.gpus) or "–",
            each.facts.user,
            each.who,
            each.verdict.phase,
            _sure(each.verdict),
            "; ".join(each.verdict.evidence),
        )
        for each in told
    ]
    print_table(("PID", "GPU", "USER", "WORKLOAD", "PHASE", "SURE", "WHY"), rows, right=[0, 5])


def _sure(verdict: Verdict) -> str:
    return f"{verdict.confidence:.0%}"
