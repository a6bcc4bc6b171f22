"""The hardened unit in a systemd that is really booted: it starts, is restarted, keeps counting,
can do nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from submeter.units import UJ_PER_J

if TYPE_CHECKING:
    from tests.standin.standin import Standin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[3]
MOCK = 'backend = "mock"\n'
WATCHDOG = "WatchdogSec=3\n"
IDLE_MW = 100_000
GPUS = [f"gpu {gpu} uuid=GPU-{gpu} idle_mw={IDLE_MW}" for gpu in range(2)]
REFRESH_S = 0.3  # more than any sensor of the stand-in needs to show what was used

PROBE = '''
import ctypes, json, mmap, os, pathlib, socket, sys

def tried(action):
    try:
        return str(action())[:200]
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()

def write(folder):
    return lambda: pathlib.Path(folder, "probe").write_text("x")

writable = {folder: tried(write(folder)) for folder in json.loads(sys.argv[1])}
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
credentials = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"])
print(json.dumps({
    "written": sorted(folder for folder, what in writable.items() if what == "1"),
    "uid": os.getuid(),
    "capabilities": [status[name] for name in ("CapEff", "CapBnd", "CapAmb", "CapInh")],
    "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "unshare": ctypes.CDLL(None).unshare(0x10000000),
    "executable": tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
    "secret": tried(lambda: pathlib.Path("/root/secret").read_text()),
    "credential": tried(lambda: (credentials / "secret").read_text()),
    "foreign": tried(lambda: pathlib.Path("/proc/1/cgroup").read_text()),
    "environ": tried(lambda: pathlib.Path("/proc/1/environ").read_bytes()),
    "outside": tried(lambda: socket.create_connection(("192.0.2.1", 9), 0.5)),
}))
'''  # fmt: skip
PLACES = ["/", "/etc", "/usr", "/var", "/var/lib", "/opt", "/root", "/home", "/run", "/dev",
          "/boot", "/etc/submeter", "/opt/submeter", "/var/lib/submeter", "/run/submeter",
          "/tmp"]  # fmt: skip


@pytest.fixture
def machine(boot: Callable[..., Any], staged: Path) -> Any:
    """With submeter installed and its group made, not started."""
    machine = boot(staged)
    machine.run("systemctl", "stop", "submeter", check=False)  # a first boot enables what is there
    machine.run("systemd-sysusers")
    return machine


@pytest.fixture
def metered(
    machine: Any, standin_library: Path, standin: "Standin", wait_for: Callable[..., Any]
) -> Any:
    """… with two GPUs of the stand-in library, watched by a short watchdog, and started."""
    folder = machine.root / "opt/standin"
    folder.mkdir()
    shutil.copy(standin_library, folder)
    standin.script_path = folder / "script"
    standin.write(GPUS)
    machine.drop_in(
        "standin",
        "Environment=LD_LIBRARY_PATH=/opt/standin SUBMETER_STANDIN_SCRIPT=/opt/standin/script\n"
        + WATCHDOG,
    )
    machine.run("systemctl", "start", "submeter")
    wait_for(lambda: _total_j(machine) > 0, "energy")
    return machine


def _gpu(machine: Any, index: int = 0) -> dict[str, Any]:
    snapshot = json.loads(
        machine.run("curl", "--fail", "--silent", "http://127.0.0.1:10046/api/v1/snapshot")
    )
    (gpu,) = [gpu for gpu in snapshot["gpus"] if gpu["gpu"] == index]
    found: dict[str, Any] = gpu
    return found


def _total_j(machine: Any) -> float:
    return float(_gpu(machine)["joules"])


def _assert_nothing_lost(
    machine: Any, standin: "Standin", before: dict[str, Any], wait_for: Callable[..., Any]
) -> None:
    """Since `before`, exactly what the counter gained was booked, and the ledger is whole."""
    after = wait_for(
        lambda: (now := _gpu(machine)) and float(now["joules"]) > float(before["joules"]) and now,
        "energy after the restart",
    )
    seconds = [each["settled_boottime_ns"] / 1e9 - standin.time0 for each in (before, after)]
    true_j = standin.truth.energy_uj(0, *seconds) / UJ_PER_J
    gained_j = float(after["joules"]) - float(before["joules"])
    assert abs(gained_j - true_j) <= IDLE_MW / 1_000 * REFRESH_S
    machine.run("submeter", "verify", "--state-dir", "/var/lib/submeter")


def test_it_becomes_ready_and_says_how_it_is(machine: Any) -> None:
    machine.configure(MOCK)
    machine.run("systemctl", "enable", "--now", "submeter")
    assert machine.run("curl", "-sf", "http://127.0.0.1:10046/-/ready")
    assert machine.property("StatusText").startswith("metering 8 of 8 GPU(s)")
    assert "submeter_up" in machine.metrics()
    machine.run("systemctl", "stop", "submeter")
    assert (machine.property("Result"), machine.property("NRestarts")) == ("success", "0")


def test_without_a_driver_it_is_ready_and_waits(machine: Any) -> None:
    machine.drop_in("watchdog", WATCHDOG)
    machine.run("systemctl", "start", "submeter")
    assert "no driver" in machine.property("StatusText")
    machine.shell("sleep 8")  # more than twice what the watchdog waits
    assert machine.property("NRestarts") == "0"
    assert 'submeter_up{component="nvml"} 0' in machine.metrics()


@pytest.mark.threat("T21")
def test_it_can_do_nothing_else(machine: Any) -> None:
    machine.configure(MOCK)
    machine.write("opt/probe.py", PROBE)
    machine.write("root/secret", "swordfish").chmod(0o600)
    (machine.root / "root").chmod(0o700)
    places = json.dumps(PLACES).replace('"', '\\"')
    machine.drop_in(
        "probe",
        f"ExecStartPre=/bin/sh -c \"/usr/bin/python3 -I /opt/probe.py '{places}'"
        ' > /var/lib/submeter/probe.json"\n'
        "LoadCredential=secret:/root/secret\n",
    )
    machine.run("systemctl", "start", "submeter")
    found = json.loads(machine.run("cat", "/var/lib/submeter/probe.json"))
    assert found["written"] == ["/run/submeter", "/tmp", "/var/lib/submeter"]
    assert not machine.run("ls", "/tmp/probe", check=False), "/tmp is its own"
    assert found["uid"] >= 60_000
    assert [int(each, 16) for each in found["capabilities"]] == [0, 0, 0, 0]
    assert (found["no_new_privileges"], found["seccomp"]) == ("1", "2")
    assert found["packet"] == "OSError 97"  # EAFNOSUPPORT
    assert found["unshare"] == -1
    assert found["executable"] == "PermissionError 1"
    assert found["secret"] == "PermissionError 13"
    assert found["credential"] == "swordfish"
    assert found["environ"].startswith("PermissionError")
    assert "Error" not in found["foreign"], "whose a process is can be seen"


def test_it_reads_its_credentials_which_only_root_can(machine: Any) -> None:
    """The drop-in tokens.conf as it is shipped."""
    machine.configure(MOCK)
    machine.write("etc/submeter/bearer-tokens", "open-sesame-0123456789\n").chmod(0o600)
    shipped = (CHECKOUT / "deploy/systemd/drop-ins/tokens.conf").read_text()
    machine.drop_in("tokens", shipped.replace("[Service]\n", ""))
    machine.run("systemctl", "start", "submeter")
    ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    url = "http://127.0.0.1:10046/metrics"
    assert machine.run(*ask, url) == "401"
    token = "Authorization: Bearer open-sesame-0123456789"
    assert machine.run(*ask, "--header", token, url) == "200"


@pytest.mark.fault("F89")
def test_a_stopped_agent_is_restarted_and_no_joule_is_lost(
    metered: Any, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    before = _gpu(metered)
    metered.run("kill", "-STOP", metered.property("MainPID"))
    wait_for(lambda: metered.property("NRestarts") == "1", "a restart")
    _assert_nothing_lost(metered, standin, before, wait_for)
    assert 'workload="(agent down)"' in metered.metrics()


@pytest.mark.fault("F5", "F93")
def test_an_agent_whose_every_gpu_hangs_is_restarted(
    metered: Any, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    before = _gpu(metered)
    standin.write([*GPUS, "fault call=nvmlDeviceGet* hang=inf"])
    wait_for(lambda: metered.property("NRestarts") == "1", "a restart")
    assert "Current thread" in metered.journal() or "Thread 0x" in metered.journal(), "who hung"
    standin.write(GPUS)
    _assert_nothing_lost(metered, standin, before, wait_for)


@pytest.mark.fault("F93")
def test_one_hung_gpu_among_two_is_no_reason_for_a_restart(
    metered: Any, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    standin.write([*GPUS, "fault call=nvmlDeviceGet* gpu=1 hang=inf"])
    wait_for(lambda: not _gpu(metered, 1)["up"], "the hung GPU to be down")
    before_j = _total_j(metered)
    metered.shell("sleep 7")  # more than twice what the watchdog waits
    assert metered.property("NRestarts") == "0"
    assert _total_j(metered) > before_j + 4 * IDLE_MW / 1_000


def test_a_killed_agent_comes_back(
    metered: Any, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    before = _gpu(metered)
    metered.run("kill", "-KILL", metered.property("MainPID"))
    wait_for(lambda: metered.property("NRestarts") == "1", "a restart")
    _assert_nothing_lost(metered, standin, before, wait_for)


def test_a_reload_keeps_the_process_and_a_bad_one_changes_nothing(
    metered: Any, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    metered.drop_in("standin-reload", "WatchdogSec=30\n")  # starting may take 3 s here
    metered.run("systemctl", "restart", "submeter")
    before, pid = _gpu(metered), metered.property("MainPID")
    metered.configure("[node]\npower_budget_wats = 5000\n")
    metered.run("systemctl", "reload", "submeter")
    wait_for(lambda: "power_budget_wats" in metered.property("StatusText"), "the complaint")
    assert "submeter_node_power_budget_watts" not in metered.metrics()
    metered.configure("[node]\npower_budget_watts = 5000\n")
    metered.run("systemctl", "reload", "submeter")
    wait_for(lambda: "submeter_node_power_budget_watts 5000" in metered.metrics(), "the new one")
    assert metered.property("MainPID") == pid
    assert metered.property("NRestarts") == "0"
    _assert_nothing_lost(metered, standin, before, wait_for)


def test_a_wrong_configuration_is_said_once_and_not_tried_for_ever(
    machine: Any, wait_for: Callable[..., Any]
) -> None:
    machine.configure("backend = 5\n")
    machine.run("systemctl", "start", "submeter", check=False)
    wait_for(lambda: machine.property("ActiveState") == "failed", "the end")
    assert machine.property("NRestarts") == "0"
    assert "submeter.toml:1" in machine.journal()


@pytest.mark.threat("T4")
def test_members_of_the_group_may_label_their_jobs_and_nobody_else(machine: Any) -> None:
    machine.configure(MOCK)
    machine.shell("useradd member --groups submeter-jobs && useradd stranger")
    machine.run("systemctl", "start", "submeter")
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/submeter/submeter.sock')"
    machine.run("runuser", "-u", "member", "--", "python3", "-c", connect)
    with pytest.raises(AssertionError, match="PermissionError"):
        machine.run("runuser", "-u", "stranger", "--", "python3", "-c", connect)


BROKEN = "\n\ndef serve(*_args: object, **_options: object) -> int:\n    return 1\n"


def _bundle(staged: Path, machine: Any, version: str, more: str = "") -> str:
    """Another version, ready to be installed from inside."""
    target = machine.root / "srv" / version
    (current,) = (staged / "opt/submeter/versions").iterdir()
    shutil.copytree(current, target)
    init = target / "lib/submeter/__init__.py"
    code = init.read_text()
    code = code.replace('__version__ = "', f'__version__ = "{version}"  # "', 1)
    init.write_text(code)
    service = target / "lib/submeter/runtime/service.py"
    service.write_text(service.read_text() + more)
    (target / "VERSION").write_text(f"{version}\n")
    return f"/srv/{version}/install.sh"


def test_an_upgrade_loses_nothing_and_one_that_does_not_start_is_taken_back(
    metered: Any, staged: Path, standin: "Standin", wait_for: Callable[..., Any]
) -> None:
    before = _gpu(metered)
    first = metered.run("readlink", "/opt/submeter/current")
    metered.run(_bundle(staged, metered, "9.0.0-new"))
    wait_for(lambda: 'version="9.0.0-new"' in metered.metrics(), "the new version")
    _assert_nothing_lost(metered, standin, before, wait_for)

    pid = metered.property("MainPID")
    metered.run("/srv/9.0.0-new/install.sh")
    assert metered.property("MainPID") == pid, "what is there already is not installed again"

    with pytest.raises(AssertionError, match=r"does not start .*; went back"):
        metered.run(_bundle(staged, metered, "9.1.0-broken", BROKEN))
    assert metered.run("readlink", "/opt/submeter/current") == "versions/9.0.0-new"
    wait_for(lambda: 'version="9.0.0-new"' in metered.metrics(), "the version before")
    _assert_nothing_lost(metered, standin, before, wait_for)

    metered.write("etc/submeter/submeter.toml", "max_serie = 1\n")
    with pytest.raises(AssertionError, match="nothing was changed"):
        metered.run(_bundle(staged, metered, "9.2.0-strict"))
    assert metered.property("MainPID") == metered.property("ExecMainPID")
    assert first not in metered.run("ls", "/opt/submeter/versions"), "the one before is enough"


def test_uninstalling_leaves_the_ledger_and_purging_does_not(metered: Any) -> None:
    (version,) = (metered.root / "opt/submeter/versions").iterdir()
    installer = shutil.copytree(version, metered.root / "srv/again") / "install.sh"
    assert installer.exists()
    metered.run("/srv/again/install.sh", "--uninstall")
    assert not metered.run("ls", "/opt", check=False).split() or "submeter" not in metered.run(
        "ls", "/opt"
    )
    assert metered.run("ls", "/var/lib/private/submeter/ledger.db")
    metered.run("/srv/again/install.sh", "--purge")
    assert not metered.run("ls", "/var/lib/private/submeter", check=False)
