"""The agent for an hour on a node where everything comes and goes; does it stay as small as it was?

    make soak MINUTES=60

Eight boards of the stand-in NVML at 10 Hz, 200 real processes of which some end and begin all the
time, scrapes, followers of the live page, clients that leave rudely, jobs that label themselves
under names without end, and a fault every minute: calls that hang, boards that get lost, garbage,
a driver that is reloaded. At the end one line for each figure. Needs a C compiler; leaves
samples.csv, a picture, the log and the ledger in the folder that it names.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from submeter_reliability.soak.result import FIGURES, Plan, values
from submeter_reliability.soak.running import SoakFailed, soak


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=200, help="processes on the boards")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for what it leaves; default: a new one")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="submeter-soak-"))
    print(f"soak: {options.minutes:g} min, seed {options.seed}; what it leaves is in {folder}")
    try:
        found = values(soak(folder, Plan(options.minutes, options.jobs, options.seed)))
    except SoakFailed as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    failed = 0
    for figure in FIGURES:
        held = figure.holds(found[figure.name]) or figure.name == "soak_minutes"
        print(f"{figure.name} {found[figure.name]:.6g} {figure.bound} {'' if held else 'NOT MET'}")
        failed += not held
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
