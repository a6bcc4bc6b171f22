"""Which GPUs are asleep: sysfs in, PCI addresses out. Asking NVML instead would wake them.

Waking costs half a second and 10…20 W (measured on laptops by several projects), so a GPU that
runtime power management has suspended is left alone. Boards that never sleep cost nothing here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_DEVICES: Final = "bus/pci/devices"
_NVIDIA: Final = "0x10de"
_DISPLAY_CLASS: Final = "0x03"  # display controllers: 0x0300 VGA, 0x0302 3D
_SUSPENDED: Final = b"suspended"
_ENOUGH: Final = 32


class Sleep:
    """Says whether one GPU is suspended, by an open file: some 2 µs a question."""

    def __init__(self, sysfs: Path, pci_bus_id: str) -> None:
        self._path = sysfs / _DEVICES / sysfs_address(pci_bus_id) / "power"
        self._file: int | None = None

    def may_sleep(self) -> bool:
        """Whether runtime power management may ever suspend it ("auto", not "on")."""
        return _word(self._path / "control") == "auto"

    def asleep(self) -> bool:
        """Whether it is suspended now; False where the kernel doesn't say."""
        try:
            if self._file is None:
                self._file = os.open(self._path / "runtime_status", os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._file, _ENOUGH, 0).startswith(_SUSPENDED)
        except OSError:
            self.close()
            return False

    def close(self) -> None:
        """Closes the file; the next question opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def sleeping(sysfs: Path) -> Mapping[str, bool]:
    """Every NVIDIA display device that the kernel shows: its PCI address, whether it sleeps. Asked
    every ten seconds, and servers have hundreds of devices: hence without `Path`."""
    devices = os.fspath(sysfs / _DEVICES)
    try:
        names = sorted(os.listdir(devices))  # noqa: PTH208
    except OSError:
        return {}
    return {
        name: _word(f"{devices}/{name}/power/runtime_status") == "suspended"
        for name in names
        if _word(f"{devices}/{name}/vendor") == _NVIDIA
        and _word(f"{devices}/{name}/class").startswith(_DISPLAY_CLASS)
    }


def sysfs_address(pci_bus_id: str) -> str:
    """NVML's ``00000000:65:00.0`` as sysfs names it: ``0000:65:00.0``."""
    domain, _, rest = pci_bus_id.lower().partition(":")
    return f"{domain.lstrip('0'):0>4}:{rest}"


def _word(path: Path | str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(file, _ENOUGH).decode("ascii", errors="replace").strip()
    except OSError:
        return ""
    finally:
        os.close(file)
