"""`python -m submeter_simulator` lives through random lives; a seed or a line of JSON, through one.

Prints for each life that breaks something its seed, what broke, and with --shrink the least of it
that still does, as a line for tests/simulator/lives.jsonl.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from submeter_simulator.life import live
from submeter_simulator.shrink import shrunk, verdict
from submeter_simulator.timeline import Timeline, generate, parse, year


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if nothing breaks, 1 if something does."""
    parser = argparse.ArgumentParser(prog="submeter_simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="the life of that seed only")
    parser.add_argument("--lives", type=int, default=100, help="so many (default: 100)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one's seed")
    parser.add_argument("--seconds", type=int, help="how long a life is")
    parser.add_argument("--boards", type=int, help="how many GPUs")
    parser.add_argument("--file", type=Path, help="lives as lines of JSON")
    parser.add_argument("--year", action="store_true", help="a year of the node of --seed")
    parser.add_argument("--shrink", action="store_true", help="find out what is needed to break it")
    parser.add_argument(
        "--verbose", action="store_true", help="show the agent's log and the events"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.CRITICAL + 1)
    broken = lives = 0
    for timeline in _timelines(options):
        lives += 1
        if options.verbose:
            print(*timeline.events, sep="\n")
            print(live(timeline))
            continue
        why = verdict(timeline)
        if why:
            broken += 1
            _say(timeline, why, shrink=options.shrink)
    print(f"{lives} lives, {broken} broken", file=sys.stderr)
    return int(bool(broken))


def _timelines(options: argparse.Namespace) -> Iterator[Timeline]:
    if options.file is not None:
        for line in options.file.read_text(encoding="utf-8").splitlines():
            yield parse(line)
    elif options.year:
        yield year(options.seed or 0)
    elif options.seed is not None:
        yield generate(options.seed, options.seconds, options.boards)
    else:
        for seed in range(options.first, options.first + options.lives):
            yield generate(seed, options.seconds, options.boards)


def _say(timeline: Timeline, why: str, *, shrink: bool) -> None:
    print(f"seed {timeline.seed}: {why}", flush=True)
    if shrink:
        less = shrunk(timeline, tell=lambda now: print(len(now.events), end=" ", file=sys.stderr))
        print(f"\n{verdict(less)}\n{less.text()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
