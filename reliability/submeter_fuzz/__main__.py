"""`python -m submeter_fuzz [SURFACE …] --seconds S` fuzzes surfaces, one after the other.

What is found is kept in build/fuzz, to be made small and put into the corpus with the repair: every
input of reliability/corpus is tried by `make test`. Counts are added to reliability/fuzz.json.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from submeter_fuzz import counts
from submeter_fuzz.surfaces import SURFACES

CORPUS: Final = Path(__file__).resolve().parents[1] / "corpus"
FOUND: Final = Path("build/fuzz")
_GROWN: Final = FOUND / "grown"  # what leads somewhere, from one run to the next
_MOST_BYTES: Final = 4_096
_KEPT_BYTES: Final = 512  # larger ones find their way back by themselves
_MOST_KEPT: Final = 60  # of a surface
_HANGS_S: Final = 5
_RESIDENT_MIB: Final = 512
_LARGE_BYTES: Final = str(1 << 28)
_MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": _LARGE_BYTES, "MALLOC_TRIM_THRESHOLD_": _LARGE_BYTES}
"""Parsers read "at most 16 MiB" of a file of ten bytes: that room isn't to be fetched from the
kernel and given back each time (mallopt(3))."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if nothing was found, 1 if something was."""
    parser = argparse.ArgumentParser(prog="submeter_fuzz", description=__doc__)
    parser.add_argument("surfaces", nargs="*", metavar="SURFACE", help="all, if none is named")
    parser.add_argument("--seconds", type=float, default=30, help="for each (default: 30)")
    parser.add_argument("--fewest", action="store_true", help="those with the fewest inputs first")
    parser.add_argument(
        "--until",
        type=int,
        default=0,
        metavar="INPUTS",
        help="again and again those that have had fewer, until none has or something is found",
    )
    options = parser.parse_args(arguments)
    unknown = set(options.surfaces) - set(SURFACES)
    if unknown:
        parser.error(f"no surface {', '.join(sorted(unknown))}; there are {', '.join(SURFACES)}")
    names = options.surfaces or list(SURFACES)
    if options.fewest:
        names = sorted(names, key=_inputs)
    found = _round(names, options.seconds)
    while options.until and not found:
        names = [name for name in names if _inputs(name) < options.until]
        if not names:
            break
        found = _round(names, options.seconds)
    if found:
        print(f"defects in {', '.join(found)}: see {FOUND}", file=sys.stderr)
    return int(bool(found))


def _inputs(name: str) -> int:
    return counts.read().get(name, counts.Count()).inputs


def _round(names: Iterable[str], seconds: float) -> list[str]:
    """Those that didn't hold."""
    return [name for name in names if not _fuzz(name, seconds)]


def _fuzz(name: str, seconds: float) -> bool:
    """Whether it held."""
    kept, grown = CORPUS / name, _GROWN / name
    for each in (kept, grown):
        each.mkdir(parents=True, exist_ok=True)
    for seed in SURFACES[name].seeds:
        (grown / hashlib.sha256(seed).hexdigest()[:12]).write_bytes(seed)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "submeter_fuzz.fuzzed", name, str(grown), str(kept)),
            f"-max_total_time={max(round(seconds), 1)}",
            *(f"-max_len={_MOST_BYTES}", f"-timeout={_HANGS_S}", "-reload=0"),
            *(f"-rss_limit_mb={_RESIDENT_MIB}", "-print_final_stats=1"),
            *(f"-artifact_prefix={FOUND}/{name}-", "-verbosity=0"),
        ],
        env={**os.environ, **_MALLOC},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    _keep(grown, kept)
    held = done.returncode == 0 or _only_waited(name, done.stderr)
    inputs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    counts.add({name: int(inputs[1]) if inputs else 0})
    print(f"{name} {inputs[1] if inputs else 0} {'' if held else 'DEFECT'}", flush=True)
    if not held:
        print(done.stdout[-4_000:], done.stderr[-4_000:], flush=True)
    return held


def _only_waited(name: str, said: str) -> bool:
    """Whether an input that took too long by the clock on the wall doesn't, when it is alone: the
    machine may have been paused. If so, it is no finding."""
    written = re.search(r"Test unit written to (\S+-timeout-\S+)", said)
    if written is None:
        return False
    again = subprocess.run(
        [sys.executable, "-m", "submeter_fuzz.fuzzed", name, written[1], f"-timeout={_HANGS_S}"],
        capture_output=True,
        check=False,
    )
    if again.returncode == 0:
        Path(written[1]).unlink()
    return again.returncode == 0


def _keep(grown: Path, kept: Path) -> None:
    """The smallest inputs that led somewhere new."""
    known = {each.read_bytes() for each in kept.iterdir()}
    new = sorted((each.read_bytes() for each in grown.iterdir()), key=len)
    for data in new[: max(_MOST_KEPT - len(known), 0)]:
        if len(data) <= _KEPT_BYTES and data not in known:
            (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
