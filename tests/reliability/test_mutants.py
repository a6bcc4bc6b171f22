"""Mistakes are made one at a time, where mistakes matter, and the tests of a room see them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from submeter_reliability import equivalents, mutants, mutating
from submeter_reliability.catalogue import ROOT

SOURCE = '''
"""A module."""

LIMIT = 5


def total(values, most=3):
    """Not this text."""
    found = 0
    for value in values:
        if value < most and value:
            found += value
    _log.info("not this either, %d", 1)
    if found > LIMIT:
        raise ValueError(1 + 1)
    return min(found, most) if found else -1
'''


def test_every_thing_that_can_be_wrong_and_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    made = [mutants.make(path, number) for number in range(mutants.count(path))]
    assert {(each.right, each.wrong) for each in made} >= {
        ("if value < most and value:", "if value <= most and value:"),
        ("if value < most and value:", "if value < most or value:"),
        ("found += value", "found -= value"),
        ("found += value", "pass"),
        ("found = 0", "found = 1"),
        ("if found > LIMIT:", "if found >= LIMIT:"),
        ("return min(found, most) if found else -1", "return max(found, most) if found else -1"),
        ("return min(found, most) if found else -1", "return min(found, most) if found else +1"),
    }
    for each in made:
        compile(mutants.source(each), str(path), "exec")
        assert each.right != each.wrong
        assert not each.right.startswith(('"', "LIMIT"))


def test_the_rooms_have_mutants_and_their_tests_exist() -> None:
    for room, tests in mutating.TESTS.items():
        assert len(mutating.places(room)) > 300
        for test in tests:
            assert (ROOT / test).exists()


def test_what_is_said_to_be_equivalent_is_there() -> None:
    for each in equivalents.load():
        path = ROOT / "agent/submeter" / each.file
        made = (mutants.make(path, number) for number in mutants.beside(path, each.right))
        assert any(map(each.is_of, made)), each
        assert each.why


def test_types_errors_and_functions_within_are_not_counted_twice(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "def outer(a):\n"
        "    b: int | None = a\n"
        "    if not b:\n"
        "        raise ValueError(a + 1)\n"
        "    def inner():\n"
        "        return 3\n"
        "    return inner\n"
    )
    made = [mutants.make(path, number) for number in range(mutants.count(path))]
    assert [(each.right, each.wrong) for each in made] == [
        ("if not b:", "if not not b:"),
        ("return 3", "return 4"),
    ]


def test_which_function_a_mistake_is_in_is_known_as_python_numbers_it(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "def outer(a):\n"
        "    @property\n"
        "    def inner():\n"
        "        return [each + 1 for each in a]\n"
        "    return inner, 2\n"
    )
    made = [mutants.make(path, number) for number in range(mutants.count(path))]
    assert sorted((each.line, each.function) for each in made) == [(4, 2), (4, 2), (5, 1)]


_SOME = """
import sys
from submeter_reliability import mutating
mutating.TESTS = {"metering": ["tests/agent/metering/test_integral.py"]}
mutating.main(["--file", sys.argv[1], "--each", "5", "--seed", "1", "metering"])
"""


@pytest.mark.parametrize(("file", "seen"), [("integral.py", 5), ("peaks.py", 0)])
def test_mistakes_are_seen_where_the_tests_look_and_nowhere_else(file: str, seen: int) -> None:
    """The whole way, with few tests: the mutant is what they import."""
    found = subprocess.run(
        [sys.executable, "-c", _SOME, file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "reliability")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *survivors, last = found.stdout.splitlines()
    assert json.loads(last) == {"mutants": 5, "killed": seen}
    assert len(survivors) == 5 - seen
    assert all("not seen by 0:" in line for line in survivors)
