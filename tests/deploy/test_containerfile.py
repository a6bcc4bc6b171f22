"""deploy/Containerfile, read: what gets into the image, and as whom it runs.

`make test-systemd` builds it with a real buildah and looks again.
"""

from pathlib import Path

import pytest

LINES = [
    line
    for line in (Path(__file__).parents[2] / "deploy/Containerfile")
    .read_text()
    .replace("\\\n", " ")
    .splitlines()
    if line and not line.startswith("#")
]


def _all(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in LINES if line.split()[0] == instruction]


@pytest.mark.threat("T32")
def test_it_runs_as_a_numbered_user_without_rights() -> None:
    assert _all("USER") == [["10046:10046"]], "a number: Kubernetes can't check a name"
    assert LINES.index("USER 10046:10046") > max(
        number for number, line in enumerate(LINES) if line.startswith(("COPY", "RUN"))
    ), "root owns the files, the user only its state"


@pytest.mark.threat("T32")
def test_nothing_else_is_inside() -> None:
    copied = [source for *sources, _target in _all("COPY") for source in sources]
    assert set(copied) == {
        *(f"build/bundle/{each}" for each in ("VERSION", "bin/", "lib/")),
        "deploy/submeter.toml",
    }
    assert _all("ADD") == []
    (ran,) = _all("RUN")
    programs = [part.split()[0] for part in " ".join(ran).split("&&")]
    assert programs == ["python3", "mkdir", "chown", "chmod"], "nothing is fetched or installed"
