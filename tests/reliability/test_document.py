"""docs/reliability.md is what the rows, the tests' markers and the last results give."""

import json
from pathlib import Path

import pytest

from submeter_reliability import catalogue, document, figures, marks
from submeter_reliability.catalogue import CatalogueError


def test_it_is_up_to_date() -> None:
    text = document.write(catalogue.load(), marks.find(), figures.measures(), figures.read())
    assert document.PATH.read_text() == text, "run `make docs`"


def test_every_row_has_tests_or_a_reason_and_every_marker_its_row() -> None:
    assert marks.check(catalogue.load(), marks.find()) == []


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text(
        '[[group]]\nkind = "fault"\ntitle = "All"\n'
        + "".join(f"[[group.row]]\nid = '{each}'\nhappens = 'h'\ndoes = 'd'\n" for each in "ABC")
        + "untested = 'why'\n"
    )
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_some.py").write_text(
        "import pytest\n@pytest.mark.fault('A', 'Z')\ndef test_it(): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.fault('C'))])\n"
        "def test_other(x): ...\n"
    )
    wrong = marks.check(catalogue.load([rows]), marks.find(tests))
    assert wrong == [
        "tests/test_some.py::test_it claims fault Z, which doesn't exist",
        "B has neither a test nor a reason why not",
        "C has tests, and a reason why it has none",
    ]
    (tests / "test_some.py").write_text("import pytest\n@pytest.mark.fault(A)\ndef test_it(): ...")
    with pytest.raises(CatalogueError, match=r"tests/test_some.py:2: a row's id is written out"):
        marks.find(tests)
    rows.write_text(rows.read_text().replace("'B'", "'A'"))
    with pytest.raises(CatalogueError, match="two rows A"):
        catalogue.load([rows])


def test_classes_and_files_can_claim(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_some.py").write_text(
        "pytestmark = [pytest.mark.slow, pytest.mark.threat('T1')]\n"
        "@pytest.mark.fault('F1')\nclass TestOne:\n"
        "    @pytest.mark.fault('F2')\n    def test_it(self): ...\n"
    )
    assert [(each.id, each.name) for each in marks.find(tests)] == [
        ("T1", ""), ("F1", "TestOne"), ("F2", "TestOne::test_it"),
    ]  # fmt: skip


def test_every_measure_says_what_it_needs() -> None:
    known = figures.measures()
    names = [figure.name for measure in known.values() for figure in measure.FIGURES]
    assert len(names) == len(set(names)) > 0
    for measure in known.values():
        assert measure.MINUTES > 0
        for figure in measure.FIGURES:
            assert (figure.at_most is None) != (figure.at_least is None), figure.name
            assert figure.name.isidentifier()
    assert set(figures.read()) <= set(names), "results.json has results of no measure"


def test_new_results_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{}")
    old, new = (figures.Result(value, "2026-01-01") for value in (1.0, 2.0))
    figures.keep({"one": old, "two": old}, path)
    figures.keep({"two": new}, path)
    assert figures.read(path) == {"one": old, "two": new}
    assert json.loads(path.read_text())["two"]["value"] == 2.0


def test_bounds() -> None:
    least = figures.Figure("cases", "", at_least=1_000_000)
    most = figures.Figure("slope", "", at_most=0.5)
    assert (least.bound, most.bound) == (">=1000000", "<=0.5")
    assert (least.holds(999_999), least.holds(1_000_000)) == (False, True)
    assert (most.holds(0.5), most.holds(0.51)) == (True, False)
