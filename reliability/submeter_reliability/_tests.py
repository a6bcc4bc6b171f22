"""Tests that do the measuring: runs them, and gives what they recorded of it (record_property)."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from submeter_reliability.catalogue import ROOT


class Run(NamedTuple):
    """How many tests ran and how many of them failed; each recorded property, summed up."""

    passed: int
    failed: int
    recorded: Counter[str]


def run(*tests: str) -> Run:
    """Runs these, all there is to them, beside nothing else."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-o", "timeout=3000"),
                *("-o", "junit_family=xunit1"),  # the one that has properties
                *(f"--junitxml={report}", *tests),
            ],
            cwd=ROOT,
            env={**os.environ, "SUBMETER_TEST_ALL": "1"},
            stdout=sys.stderr,
            check=False,
        )
        return _read(ElementTree.parse(report))


def _read(report: "ElementTree.ElementTree[ElementTree.Element]") -> Run:
    passed = failed = 0
    recorded: Counter[str] = Counter()
    for case in report.iter("testcase"):
        if case.find("skipped") is not None:
            continue
        bad = case.find("failure") is not None or case.find("error") is not None
        failed += bad
        passed += not bad
        for each in case.iter("property"):
            recorded[each.get("name", "")] += int(each.get("value", ""))
    return Run(passed, failed, recorded)
