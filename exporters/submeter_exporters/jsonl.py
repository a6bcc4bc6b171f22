"""Snapshots in, JSON lines out: one file that grows, is rotated by size, and never has half a line.

Each push appends its lines in one step: a ``moment``, a ``gpu`` line for each GPU, an ``energy``
line for each account and a ``work`` line for each owner and unit whose total has changed.
A file begins with all of them, so every file can be read by itself: the last line of an account is
its total. Energies are integer microjoules.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

from submeter.config.kinds import absolute_path, file_mode, integer, number
from submeter.exporting import REQUIRED, Exporter, Option, Options, Source, checked
from submeter.metrics.collect import power_mw
from submeter.model import Account, Owner, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S
from submeter.web.http import Routes
from submeter_exporters._files import append, mend

Work = tuple[Owner, str]
"""Who, and a unit."""

OPTIONS: Final = {
    "path": Option(
        absolute_path(), REQUIRED, "The file; older ones get .1, .2 and so on added to their name."
    ),
    "interval_s": Option(number(0.1, 3600), 10.0, "Time between two moments.", "s"),
    "max_mib": Option(number(0.01, 1 << 20), 64.0, "Size at which a new file is begun.", "MiB"),
    "files": Option(integer(1, 1000), 5, "Files kept, the one being written among them."),
    "mode": Option(file_mode(), 0o640, "Permissions of the files."),
}


def create(options: Options) -> Exporter:
    """A push exporter. Raises OptionError."""
    return JsonLines(**checked("jsonl", options, OPTIONS))


class JsonLines:
    """Owns one series of files; opens them only while it writes."""

    name = "jsonl"

    def __init__(
        self, path: Path, interval_s: float, max_mib: float, files: int, mode: int
    ) -> None:
        self.interval_ns: int | None = round(interval_s * NS_PER_S)
        self._path = path
        self._max_bytes = round(max_mib * (1 << 20))
        self._files = files
        self._mode = mode
        self._written: dict[Account | Work, int] = {}  # to the file of this inode
        self._inode = 0

    def routes(self, _source: Source) -> Routes:
        """Nothing: it pushes."""
        return {}

    def publish(self, snapshot: Snapshot) -> None:
        """Appends what is new. Raises OSError where that can't be done; nothing is then lost, as
        all of it comes with the next one."""
        fd = self._opened()
        try:
            status = os.fstat(fd)
            if status.st_ino != self._inode or not status.st_size:
                self._written = {}
            lines = _lines(snapshot, self._written)
            append(fd, "".join(lines).encode())
            self._inode = status.st_ino
            self._written = dict(chain(snapshot.energy_uj.items(), snapshot.done.items()))
        except OSError:
            self._inode = 0
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        """Nothing to let go of."""

    def _opened(self) -> int:
        """The file to append to; another one if it has grown too large."""
        fd = _open(self._path, self._mode)
        if os.fstat(fd).st_size < self._max_bytes:
            return fd
        os.close(fd)
        for number_ in range(self._files - 1, 0, -1):
            with suppress(FileNotFoundError):
                _numbered(self._path, number_ - 1).replace(_numbered(self._path, number_))
        if self._files == 1:
            self._path.unlink()
        return _open(self._path, self._mode)


def _open(path: Path, mode: int) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, mode)
    try:
        mend(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _numbered(path: Path, number_: int) -> Path:
    return path.with_name(f"{path.name}.{number_}") if number_ else path


def _lines(snapshot: Snapshot, written: Mapping[Account | Work, int]) -> Iterator[str]:
    at = {"sequence": snapshot.sequence, "wall_ns": snapshot.wall_ns}
    about = {"version": snapshot.version, "backend": snapshot.backend, "notice": snapshot.notice}
    yield _line({"type": "moment", **at, "boottime_ns": snapshot.boottime_ns, **about})
    for gpu in snapshot.gpus:
        yield _line(
            {
                "type": "gpu", **at, "uuid": gpu.info.uuid, "gpu": gpu.info.index,
                "up": gpu.up, "energy_uj": gpu.energy_uj,
                "power_mw": power_mw(gpu) if gpu.up else None,
            }
        )  # fmt: skip
    for account, energy_uj in snapshot.energy_uj.items():
        if written.get(account) != energy_uj:
            uuid, mig, component, owner = account
            who = {"uuid": uuid, "mig": mig, "component": component, **_names(owner)}
            yield _line({"type": "energy", **at, **who, "energy_uj": energy_uj})
    for work, amount in snapshot.done.items():
        if written.get(work) != amount:
            owner, unit = work
            yield _line({"type": "work", **at, **_names(owner), "unit": unit, "amount": amount})


def _names(owner: Owner) -> dict[str, str]:
    return {key: printable(value) for key, value in owner._asdict().items()}


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
