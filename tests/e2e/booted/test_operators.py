"""docs/operators.md, command by command, in a fresh Debian: what it promises happens."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from submeter.doctor import _DRIVER_FIXES

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = CHECKOUT / "docs/operators.md"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
GPUS = [f"gpu {gpu} uuid=GPU-{gpu} idle_mw=90000 arch=hopper" for gpu in range(2)]
ENVIRON = {
    "SUBMETER_STANDIN_SCRIPT": "/opt/standin.script",
    "PIP_NO_INDEX": "1",  # the booted machine has no network: what pip would fetch lies there
    "PIP_FIND_LINKS": "/srv/wheels",
}
BLOCK = re.compile(r"(?:<!-- (?P<how>[^\n]*) -->\n)?```sh\n(?P<text>.*?)```", re.DOTALL)
FINDS_FAULT = {"submeter doctor": 1}  # its exit code where there is something to say


class Block(NamedTuple):
    """Commands that belong together and how they are to be run."""

    how: str
    text: str


def _blocks() -> list[Block]:
    return [Block(found["how"] or "", found["text"]) for found in BLOCK.finditer(PAGE.read_text())]


def test_the_page_has_no_command_that_is_not_run_without_saying_why() -> None:
    blocks = _blocks()
    assert len(blocks) > 10
    known = ("", "with a network", "until it works")
    for block in blocks:
        assert block.how in known or block.how.startswith("not here: "), block.how
    assert sum(block.how.startswith("not here") for block in blocks) == 1


def test_every_finding_of_the_driver_has_its_line() -> None:
    text = PAGE.read_text()
    assert [reason for reason in _DRIVER_FIXES if f"| `{reason}` |" not in text] == []


@pytest.fixture
def fresh(
    boot: Callable[..., Any], tmp_path: Path, standin_library: Path, standin: "Standin"
) -> Any:
    """A Debian with two GPUs, this checkout, and what pip would fetch."""
    layer = tmp_path / "fresh"
    source = layer / "srv/submeter"
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(list_files, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if not (CHECKOUT / name).is_dir():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, source / name, follow_symlinks=False)
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    for lock in ("build", "agent"):  # one by one: they may pin the same
        names = ["--dest", str(layer / "srv/wheels"), "-r", str(CHECKOUT / f"locks/{lock}.txt")]
        subprocess.run([*fetch, *names], check=True)
    (layer / LIBRARIES).mkdir(parents=True)
    shutil.copy(standin_library, layer / LIBRARIES)
    standin.script_path = layer / ENVIRON["SUBMETER_STANDIN_SCRIPT"].lstrip("/")
    standin.script_path.parent.mkdir()
    standin.write(GPUS)
    settings = layer / "etc/systemd/system.conf.d/standin.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f"[Manager]\nDefaultEnvironment=SUBMETER_STANDIN_SCRIPT={ENVIRON['SUBMETER_STANDIN_SCRIPT']}\n"
    )
    return boot(layer)


def _with_a_network(machine: Any, text: str) -> None:
    """Inside, but in this machine's network and by its ways to Debian."""
    shutil.copy("/etc/resolv.conf", machine.root / "etc/resolv.conf")
    for name in Path("/etc/apt/apt.conf.d").glob("99*"):
        shutil.copy(name, machine.root / "etc/apt/apt.conf.d")
    machine.run("bash", "-euo", "pipefail", "-c", text, own_network=False)


def test_an_operator_who_follows_the_page_sees_data(
    fresh: Any, wait_for: Callable[..., Any]
) -> None:
    variables = "".join(f"export {name}={value}; " for name, value in ENVIRON.items())
    said: list[str] = []
    for block in _blocks():
        if block.how.startswith("not here"):
            continue
        if block.how == "with a network":
            _with_a_network(fresh, block.text)
            continue
        script = f"{variables} cd /srv/submeter; {_lenient(block.text)}"
        if block.how == "until it works":
            said.append(wait_for(lambda script=script: fresh.shell(script), block.text, 120))
        else:
            said.append(fresh.shell(script))
    whole = "\n".join(said)
    for promised in (
        "start it now and at each boot: systemctl enable --now submeter",
        "energy from the hardware counter",
        "metering 2 of 2 GPU(s)",
        'submeter_gpu_energy_joules_total{gpu="1",uuid="GPU-1"}',
        "SUCCESS: /etc/prometheus/prometheus.yml is valid",
        '{gpu="0"} =>',
        "the ledger in /var/lib/submeter and /etc/submeter were kept",
        "removed, with its ledger and configuration",
    ):
        assert promised in whole, promised
    assert whole.count("is installed in") == 2, "once again for the upgrade"


def _lenient(text: str) -> str:
    """Commands that say with their exit code what they found."""
    for command, code in FINDS_FAULT.items():
        text = re.sub(rf"^{command}$", f"{command} || [ $? = {code} ]", text, flags=re.MULTILINE)
    return text
