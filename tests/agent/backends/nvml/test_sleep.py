"""Which GPUs sleep, from a made-up sysfs."""

from pathlib import Path

import pytest

from submeter.backends.nvml.sleep import Sleep, sleeping, sysfs_address


def device(sysfs: Path, address: str, status: str, **files: str) -> Path:
    """A PCI device; NVIDIA's 3D controller under automatic power management unless said else."""
    place = sysfs / "bus/pci/devices" / address
    (place / "power").mkdir(parents=True, exist_ok=True)
    (place / "power/runtime_status").write_text(f"{status}\n")
    (place / "power/control").write_text(files.pop("control", "auto") + "\n")
    for name, text in {"vendor": "0x10de", "class": "0x030200", **files}.items():
        (place / name).write_text(f"{text}\n")
    return place


@pytest.mark.parametrize(
    ("nvml", "sysfs"),
    [
        ("00000000:65:00.0", "0000:65:00.0"),
        ("00000000:1B:00.0", "0000:1b:00.0"),
        ("00010000:E1:00.0", "10000:e1:00.0"),
        ("0002:01:00.0", "0002:01:00.0"),
        ("", "0000:"),
    ],
)
def test_addresses_as_sysfs_writes_them(nvml: str, sysfs: str) -> None:
    assert sysfs_address(nvml) == sysfs


def test_only_nvidias_display_devices_count(tmp_path: Path) -> None:
    device(tmp_path, "0000:01:00.0", "suspended")
    device(tmp_path, "0000:02:00.0", "active", **{"class": "0x030000"})
    device(tmp_path, "0000:03:00.0", "suspended", vendor="0x8086")
    device(tmp_path, "0000:04:00.0", "suspended", **{"class": "0x040300"})
    assert sleeping(tmp_path) == {"0000:01:00.0": True, "0000:02:00.0": False}


def test_without_sysfs_nobody_sleeps(tmp_path: Path) -> None:
    assert sleeping(tmp_path / "none") == {}
    nap = Sleep(tmp_path / "none", "00000000:01:00.0")
    assert not nap.may_sleep()
    assert not nap.asleep()


def test_follows_the_status(tmp_path: Path) -> None:
    place = device(tmp_path, "0000:01:00.0", "active")
    nap = Sleep(tmp_path, "00000000:01:00.0")
    assert nap.may_sleep()
    assert not nap.asleep()
    (place / "power/runtime_status").write_text("suspended\n")
    assert nap.asleep()
    (place / "power/runtime_status").write_text("resuming\n")
    assert not nap.asleep()
    nap.close()


def test_a_board_that_is_kept_on_never_sleeps(tmp_path: Path) -> None:
    device(tmp_path, "0000:01:00.0", "active", control="on")
    assert not Sleep(tmp_path, "00000000:01:00.0").may_sleep()
