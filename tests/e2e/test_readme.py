"""Every command in the README is run, as far as one can without a terminal and a GPU."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
SUBMETER = [sys.executable, "-m", "submeter"]
PATIENCE_S = 60
SCENARIO = '[[gpu]]\nmodel = "H100"\n'
CSV = (
    "timestamp, index, uuid, name, power.draw [W]\n"
    "2026/01/01 00:00:00.000, 0, GPU-1, NVIDIA H100, 100.00 W\n"
    "2026/01/01 00:00:01.000, 0, GPU-1, NVIDIA H100, 110.00 W\n"
)

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files lie that the README takes for granted."""
    (tmp_path / "mine.toml").write_text(SCENARIO)
    (tmp_path / "nvidia-smi.csv").write_text(CSV)
    record = [*SUBMETER, "record", "node.trace.gz", "--backend", "mock", "--duration", "1"]
    subprocess.run(record, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE_S)
    return tmp_path


@pytest.fixture
def node(folder: Path) -> Iterator[str]:
    """The address of an agent on a simulated node."""
    with started(["demo"], folder) as child:
        yield address(child)
        child.terminate()


def started(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    command = [*SUBMETER, *words, "--listen", "127.0.0.1:0"]
    if words[0] == "run":
        command += ["--state-dir", str(folder / "state")]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def address(child: "subprocess.Popen[str]") -> str:
    assert child.stderr is not None
    said = []
    for line in child.stderr:
        said.append(line)
        if found := re.search(r"serving (http://\S+/) ", line):
            return found[1]
    raise AssertionError("".join(said))


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("make ")])
def test_make(command: str) -> None:
    subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("submeter ")])
def test_submeter(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    if words[0] in ("run", "demo"):
        with started(words, folder) as child:
            with urlopen(address(child) + "-/healthy", timeout=PATIENCE_S) as answer:
                assert answer.status == 200
            child.terminate()
        assert child.returncode == 0
    elif words[0] == "doctor":
        done = subprocess.run([*SUBMETER, *words], capture_output=True, timeout=PATIENCE_S)
        assert done.returncode in (0, 69)
    elif words[0] == "record":
        words[words.index("--duration") + 1] = "1"
        (folder / "node.trace.gz").unlink()
        done = subprocess.run(
            [*SUBMETER, *words, "--backend", "mock"], cwd=folder, timeout=PATIENCE_S
        )
        assert done.returncode == 0
    else:  # top: without a terminal it says so, once its flags are right
        done = subprocess.run(
            [*SUBMETER, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S
        )
        assert done.returncode == 2
        assert b"needs a terminal" in done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("curl ")])
def test_curl(command: str, node: str) -> None:
    asked = command.replace("http://127.0.0.1:10046/", node)
    assert asked != command
    shell = f"for i in $(seq 100); do {asked} && exit 0; sleep 0.1; done; exit 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=PATIENCE_S)
    assert b"submeter_energy_joules_total{" in done.stdout


def test_every_command_is_of_a_kind_that_is_run() -> None:
    assert [each for each in COMMANDS if not each.startswith(("make ", "submeter ", "curl "))] == []


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
