"""What slurmd says of PIDs in, the job of a process whose cgroup doesn't name it out.

With proctrack/cgroup a job is in the path of its cgroup. With proctrack/pgid or linuxproc it isn't,
and since Slurm 26.05 the path may hold a SLUID. Then ``scontrol listpids`` knows: slurmd answers
for this node, by what its step daemons started, which no tenant can fake. It takes milliseconds to
seconds, so it is asked in the background and only where somebody wants to know.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from submeter.model import ProcessKey

PROGRAMS: Final = ("/usr/bin/scontrol", "/usr/local/bin/scontrol", "/opt/slurm/bin/scontrol")
SLURMD_RUNS: Final = ("/var/spool/slurmd", "/var/spool/slurm", "/var/run/slurmd.pid")
_TIMEOUT_S: Final = 3.0
_MOST_WANTED: Final = 4_096
_JOB: Final = re.compile(rb"\d+(?:_\d+)?")
_SLUID: Final = re.compile(r"s[0-9A-Z]{13}")

Listing = Callable[[], bytes]
"""The output of ``scontrol listpids``; raises OSError or subprocess.SubprocessError."""


class SlurmJobs:
    """Owns the jobs known now. `refresh` (slow: a program) from one thread, `job_of` from
    another."""

    def __init__(self, identify: Callable[[int], ProcessKey | None], listing: Listing) -> None:
        self.error = ""
        self._identify = identify
        self._listing = listing
        self._asked: dict[ProcessKey, None] = {}
        self._jobs: dict[ProcessKey, str] = {}

    @property
    def wanted(self) -> bool:
        """Whether somebody asked for a process whose job isn't known."""
        return bool(self._asked)

    def job_of(self, key: ProcessKey, by_cgroup: str) -> str:
        """The job: what the cgroup says, unless that is nothing or a SLUID and more is known."""
        if by_cgroup and not _SLUID.fullmatch(by_cgroup):
            return by_cgroup
        job = self._jobs.get(key)
        if job is None and len(self._asked) < _MOST_WANTED:
            self._asked[key] = None
        return job or by_cgroup

    def refresh(self) -> bool:
        """Asks, if anybody wants to know; whether anything is known now that wasn't."""
        asked = list(self._asked)
        self._asked = {}
        if not asked:
            return False
        try:
            listed = dict(_listed(self._listing()))
        except (OSError, subprocess.SubprocessError) as error:
            self.error = str(error)
            return False
        self.error = ""
        # Identified after the listing: a PID that changed hands meanwhile is another process
        found = {
            key: listed[key.pid]
            for key in asked
            if key.pid in listed and self._identify(key.pid) == key
        }
        self._jobs = {**_newest(self._jobs), **found}
        return bool(found)


def available(root: str = "/") -> str | None:
    """The program to ask, on a node that runs slurmd; None elsewhere."""
    if not any(Path(root, place.lstrip("/")).exists() for place in SLURMD_RUNS):
        return None
    programs = (os.fspath(Path(root, program.lstrip("/"))) for program in PROGRAMS)
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def listing(program: str) -> bytes:
    """What it prints. Raises OSError, subprocess.SubprocessError."""
    done = subprocess.run(  # noqa: S603  a fixed place, no arguments of anybody's
        [program, "listpids"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **_SLURM_SETTINGS},
    )
    return done.stdout


_SLURM_SETTINGS: Final = {
    name: os.environ[name] for name in ("SLURM_CONF", "LD_LIBRARY_PATH") if name in os.environ
}


def _listed(output: bytes) -> Iterator[tuple[int, str]]:
    """PID and job of each line: PID JOBID STEPID LOCALID GLOBALID (scontrol(1)); -1 is no PID."""
    for line in output.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 2 and fields[0].isdigit() and _JOB.fullmatch(fields[1]):
            yield int(fields[0]), fields[1].decode("ascii")


def _newest(jobs: Mapping[ProcessKey, str]) -> Mapping[ProcessKey, str]:
    return dict(list(jobs.items())[-_MOST_WANTED:])
