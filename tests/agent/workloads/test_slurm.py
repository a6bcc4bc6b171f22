"""The job of a PID by Slurm's own word, where its cgroup doesn't name it."""

import subprocess
import sys
from pathlib import Path

import pytest

from submeter.model import Phase, ProcessFacts, ProcessKey, Verdict
from submeter.workloads.naming import owner
from submeter.workloads.slurm import SlurmJobs, available, listing

OUTPUT = b"""PID      JOBID    STEPID   LOCALID GLOBALID
4711     812      batch    0       0
4712     812      0        1       1
4713     815_3    extern   -       -
-1       816      0        0       0
x        817
"""
SLUID = "s" + "0A1B2C3D4E5F6"
ONE, TWO, STRANGER = (ProcessKey("boot", pid, 7) for pid in (4711, 4713, 99))


class Slurmd:
    """People by PID, and how often it was asked."""

    def __init__(self) -> None:
        self.people = {key.pid: key for key in (ONE, TWO, STRANGER)}
        self.asked = 0
        self.output = OUTPUT

    def listing(self) -> bytes:
        self.asked += 1
        return self.output


@pytest.fixture
def slurmd() -> Slurmd:
    return Slurmd()


@pytest.fixture
def jobs(slurmd: Slurmd) -> SlurmJobs:
    return SlurmJobs(slurmd.people.get, slurmd.listing)


def test_only_what_somebody_wants_to_know_is_asked(jobs: SlurmJobs, slurmd: Slurmd) -> None:
    assert not jobs.refresh()
    assert jobs.job_of(ONE, "55") == "55"
    assert slurmd.asked == 0
    assert jobs.job_of(ONE, "") == ""
    assert [jobs.wanted, jobs.refresh(), jobs.wanted] == [True, True, False]
    assert jobs.job_of(ONE, "") == "812"
    assert slurmd.asked == 1


def test_a_sluid_becomes_the_jobs_number(jobs: SlurmJobs) -> None:
    assert jobs.job_of(TWO, SLUID) == SLUID
    jobs.refresh()
    assert jobs.job_of(TWO, SLUID) == "815_3"
    assert jobs.job_of(STRANGER, SLUID) == SLUID


def test_a_pid_that_changed_hands_is_nobodys(jobs: SlurmJobs, slurmd: Slurmd) -> None:
    jobs.job_of(ONE, "")
    slurmd.people[ONE.pid] = ONE._replace(start_ticks=8)
    assert not jobs.refresh()
    assert jobs.job_of(ONE, "") == ""


@pytest.mark.parametrize("output", [b"", b"\n", b"No such job\n", b"\xff\xfe\n\0 1 2\n"])
def test_whatever_it_prints(jobs: SlurmJobs, slurmd: Slurmd, output: bytes) -> None:
    slurmd.output = output
    jobs.job_of(ONE, "")
    assert not jobs.refresh()


def test_a_million_who_are_no_jobs(jobs: SlurmJobs) -> None:
    for pid in range(20_000):
        jobs.job_of(ProcessKey("boot", pid, 1), "")
    assert len(jobs._asked) == 4_096


def test_a_program_that_fails_or_hangs_is_said(tmp_path: Path) -> None:
    program = tmp_path / "scontrol"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(len(sys.argv))\n")
    program.chmod(0o755)
    jobs = SlurmJobs({ONE.pid: ONE}.get, lambda: listing(str(program)))
    jobs.job_of(ONE, "")
    assert not jobs.refresh()
    assert "exit status 2" in jobs.error
    with pytest.raises(subprocess.SubprocessError):
        listing(str(program))


def test_only_on_nodes_that_run_slurmd(tmp_path: Path) -> None:
    program = tmp_path / "usr/bin/scontrol"
    program.parent.mkdir(parents=True)
    program.write_text("")
    assert available(str(tmp_path)) is None
    (tmp_path / "var/spool/slurmd").mkdir(parents=True)
    assert available(str(tmp_path)) is None
    program.chmod(0o755)
    assert available(str(tmp_path)) == str(program)


def test_the_owner_has_it() -> None:
    verdict = Verdict(Phase.OTHER, 1, ("x",), "recognised")
    facts = ProcessFacts(ONE, cgroup="0::/system.slice/slurmd.service")
    assert owner(facts, verdict, job_of=lambda _key, _job: "812").job == "812"
    assert owner(facts, verdict, job_of=lambda _key, _job: "812").workload == "job 812"


@pytest.mark.parametrize(
    ("cgroup", "number", "job"),
    [
        ("", "01000000", "ray-01000000"),
        ("", "812", ""),
        ("", "x" * 8, ""),
        ("0::/system.slice/slurmstepd.scope/job_5/step_0", "01000000", "5"),
    ],
)
def test_a_ray_job_never_stands_in_for_a_slurm_job(cgroup: str, number: str, job: str) -> None:
    facts = ProcessFacts(ONE, cgroup=cgroup, environ={"RAY_JOB_ID": number})
    assert owner(facts, Verdict(Phase.OTHER, 1, ("x",), "recognised")).job == job
