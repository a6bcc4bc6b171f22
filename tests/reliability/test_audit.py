"""The audit of what is installed: seen to fail on a planted package; it says when it is blind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submeter_supply import advisories, audit, locks

pytestmark = pytest.mark.slow  # pip-audit takes a second to begin

BAIT = {
    "id": "PYSEC-2014-8",
    "aliases": ["CVE-2014-1402"],
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.2"}]}],
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Advisories as files."""

    def make(*some: dict[str, Any]) -> Path:
        place = tmp_path / "advisories"
        place.mkdir()
        for each in some:
            (place / f"{each['id']}.json").write_text(json.dumps(each))
        return place

    return make


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """The locks, with a weak package in that of the agent."""
    place = Path(shutil.copytree(locks.FOLDER, tmp_path / "locks"))
    with (place / "agent.txt").open("a") as lock:
        lock.write(f"pyyaml==5.3 \\\n    --hash=sha256:{'1' * 64}\n    # via nobody\n")
    return place


def weak(name: str, **events: str) -> dict[str, Any]:
    """An advisory about some versions of a package."""
    listed = [{kind: at} for kind, at in events.items()]
    return {
        "id": f"TEST-{name}",
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": listed}],
            }
        ],
    }


@pytest.mark.threat("T30")
def test_a_planted_package_is_found(
    folder: Callable[..., Path], planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = folder(BAIT, weak("pyyaml", introduced="0", fixed="5.4"))
    arguments = ["--advisories", str(known)]
    assert audit.main([*arguments, "--locks", str(planted)]) == 1
    told = capsys.readouterr()
    assert told.out == "pyyaml 5.3: TEST-pyyaml, fixed in 5.4\n"
    assert audit.main(arguments) == 0, "without it nothing is found"
    told = capsys.readouterr()
    assert told.out == ""
    assert "packages, 0 weaknesses known" in told.err


@pytest.mark.threat("T30")
def test_an_audit_that_finds_nothing_out_does_not_pass(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(["--advisories", str(folder())]) == 75
    assert "knows nothing against jinja2==2.4.1: nothing was audited" in capsys.readouterr().err
    with pytest.raises(audit.Blind, match="can't be asked"):
        audit.audit([], "http://127.0.0.1:9/v1/query")


def test_which_versions_an_advisory_holds_for() -> None:
    some: dict[str, list[Any]] = {
        "fixed": [weak("fixed", introduced="1.0", fixed="1.2")],
        "last": [weak("last", introduced="1.0", last_affected="1.2")],
        "listed": [
            {
                "id": "X",
                "affected": [
                    {
                        "package": {"name": "Listed", "ecosystem": "PyPI"},
                        "versions": ["1.2-bad"],
                        "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}],
                    }
                ],
            }
        ],
    }

    def holds(name: str, version: str) -> bool:
        return bool(advisories.about(some, name, version))

    versions = ("0.9", "1.0", "1.1.9", "1.2", "1.2.1")
    assert [holds("fixed", each) for each in versions] == [False, True, True, False, False]
    assert [holds("last", each) for each in versions] == [False, True, True, True, False]
    assert [holds("listed", each) for each in ("1.2", "1.2-bad")] == [False, True]
    assert not holds("another", "1.0")


def test_all_locks_are_asked_about() -> None:
    names = {name for name, _ in audit.everything()}
    assert {"h11", "codecarbon", "bcrypt", "pytest", "hatchling"} <= names
