"""Where a ledger is kept: nowhere that others can write, turn elsewhere, or lose."""

import subprocess
import sys
from pathlib import Path

import pytest

from submeter.errors import StateUnusable
from submeter.runtime.place import filesystem_type, refuse_unsafe
from submeter.runtime.state import boot_id, held, problem

pytestmark = pytest.mark.hostile

LOCAL = 0xEF53


@pytest.mark.fault("F74")
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720, 0o1777])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StateUnusable, match="chmod go-w") as caught:
        refuse_unsafe(tmp_path, lambda _: LOCAL)
    assert caught.value.exit_code == 73
    with pytest.raises(StateUnusable), held(tmp_path):
        pass


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_one_that_others_can_only_read_is_used(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert refuse_unsafe(tmp_path, lambda _: LOCAL) == ""


@pytest.mark.fault("F74")
@pytest.mark.threat("T23")
def test_a_link_is_refused_unless_it_is_systemds(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    with pytest.raises(StateUnusable, match="symbolic link"):
        refuse_unsafe(link, lambda _: LOCAL)
    (tmp_path / "private" / "submeter").mkdir(mode=0o700, parents=True)
    dynamic = tmp_path / "submeter"
    dynamic.symlink_to("private/submeter")
    if dynamic.lstat().st_uid == 0:
        assert refuse_unsafe(dynamic, lambda _: LOCAL) == ""


@pytest.mark.fault("F67")
@pytest.mark.parametrize("kind", [0x6969, 0xFF534D42, 0xFE534D42, 0x00C36400, 0x0BD00BD0])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(StateUnusable, match="network file system"):
        refuse_unsafe(tmp_path, lambda _: kind)


@pytest.mark.fault("F67")
def test_a_file_system_that_forgets_is_said(tmp_path: Path) -> None:
    assert "tmpfs" in refuse_unsafe(tmp_path, lambda _: 0x01021994)
    if Path("/dev/shm").is_dir():
        assert filesystem_type(Path("/dev/shm")) == 0x01021994
    assert filesystem_type(tmp_path / "absent") == 0


def test_the_boot_has_a_name() -> None:
    assert len(boot_id()) == 36
    assert boot_id() == boot_id()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert problem(tmp_path / "a" / "b") == ""
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    assert "can't be made" in problem(tmp_path / "file" / "b")


@pytest.mark.fault("F65", "F66")
def test_a_second_agent_is_refused_and_the_kernel_lets_go_of_a_killed_one(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from submeter.runtime.state import held\n"
        "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    state = tmp_path / "state"
    first = subprocess.Popen([sys.executable, "-c", hold, str(state)], stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        said = rf"another agent \(PID {first.pid}\)"
        with pytest.raises(StateUnusable, match=said) as caught, held(state):
            raise AssertionError
        assert caught.value.exit_code == 73
        assert "another agent" in problem(state)
    finally:
        first.kill()
        first.communicate()
    with held(state):
        assert problem(state) != ""
