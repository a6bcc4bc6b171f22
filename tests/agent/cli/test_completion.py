"""`submeter completion`: what bash offers, asked of a real bash."""

import shutil
import subprocess
from pathlib import Path

import pytest

from submeter.cli import main

pytest.importorskip("shtab")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["rep"], ["report"]),
        (["report", "--si"], ["--since"]),
        (["config", "sh"], ["show"]),
        (["doctor", "--ch"], ["--check"]),
    ],
)
def test_bash_completes(
    words: list[str], offered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "submeter"
    script.write_text(capsys.readouterr().out)
    typed = " ".join(["submeter", *words])
    asked = (
        f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_submeter; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == offered


def test_a_shell_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 2
    assert "bash" in capsys.readouterr().err
