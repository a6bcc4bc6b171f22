"""Snapshots in, an ``emissions.csv`` as codecarbon writes it out: a row per workload and phase.

A row is a codecarbon run that has lasted since the ledger began; it is replaced by the newest
figures, as codecarbon itself does with ``on_csv_write="update"``. What submeter doesn't measure
(CPU, RAM) is empty, and so are emissions where nobody has said how much carbon a kWh is.

Columns: codecarbon 3.3, ``codecarbon.output_methods.emissions_data.EmissionsData``.
"""

import csv
import io
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from submeter.config.kinds import absolute_path, file_mode, number, text
from submeter.exporting import REQUIRED, Exporter, Option, Options, Source, checked
from submeter.model import GpuState, Snapshot
from submeter.text import printable
from submeter.units import NS_PER_S, UJ_PER_WH, decimal
from submeter.web.http import Routes
from submeter_exporters._files import replace_file

OPTIONS: Final = {
    "path": Option(absolute_path(), REQUIRED, "The file, such as /srv/emissions.csv."),
    "interval_s": Option(number(1, 86_400), 60.0, "Time between two versions of the file.", "s"),
    "carbon_g_per_kwh": Option(
        number(0, 10_000), None, "Carbon intensity of the site's electricity.", "gCO2e/kWh"
    ),
    "country_name": Option(text(), "", "Name of the country."),
    "country_iso_code": Option(text(), "", "The country's code of three letters."),
    "region": Option(text(), "", "Region within the country."),
    "mode": Option(file_mode(), 0o644, "Permissions of the file."),
}

COLUMNS: Final = (
    "timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions",
    "emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy",
    "ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code", "region",
    "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version", "cpu_count",
    "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude", "ram_total_size",
    "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent",
    "ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue",
)  # fmt: skip

_UJ_PER_KWH: Final = 1000 * UJ_PER_WH
_EXACT: Final = Context(prec=30)  # so that a kWh, times 3.6e12, is the integer it was
_MW_DIGITS: Final = 3


def create(options: Options) -> Exporter:
    """A push exporter. Raises OptionError."""
    return CodeCarbon(**checked("codecarbon", options, OPTIONS))


class _Run(NamedTuple):
    """What is one run to codecarbon."""

    phase: str
    workload: str


class CodeCarbon:
    """Owns one file."""

    name = "codecarbon"

    def __init__(
        self,
        path: Path,
        interval_s: float,
        mode: int,
        carbon_g_per_kwh: float | None,
        **place: str,
    ) -> None:
        self.interval_ns: int | None = round(interval_s * NS_PER_S)
        self._path = path
        self._mode = mode
        self._carbon_g_per_kwh = carbon_g_per_kwh
        self._place = place

    def routes(self, _source: Source) -> Routes:
        """Nothing: it pushes."""
        return {}

    def publish(self, snapshot: Snapshot) -> None:
        """Replaces the file. Raises OSError where that can't be done."""
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self._rows(snapshot):
            writer.writerow({key: printable(str(value)) for key, value in row.items()})
        replace_file(self._path, file.getvalue().encode(), self._mode)

    def close(self) -> None:
        """Nothing to let go of: what was used stays used."""

    def _rows(self, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
        began_ns = snapshot.since_wall_ns or snapshot.started_wall_ns
        duration_ns = max(0, snapshot.wall_ns - began_ns)
        energy_uj: dict[_Run, int] = {}
        power_mw: dict[_Run, int] = {}
        for sums, values in ((energy_uj, snapshot.energy_uj), (power_mw, snapshot.power_mw)):
            for account, value in values.items():
                run = _Run(account.owner.phase, account.owner.workload)
                sums[run] = sums.get(run, 0) + value
        wall = datetime.fromtimestamp(snapshot.wall_ns // NS_PER_S, UTC).astimezone()
        for run, used_uj in sorted(energy_uj.items()):
            energy = _EXACT.divide(Decimal(used_uj), Decimal(_UJ_PER_KWH))
            yield {
                "timestamp": f"{wall:%Y-%m-%dT%H:%M:%S}",
                "project_name": run.workload or run.phase,
                "run_id": uuid5(NAMESPACE_URL, f"submeter:{began_ns}:{run.phase}:{run.workload}"),
                "experiment_id": run.phase,
                "duration": decimal(duration_ns, 9),
                **self._emissions(energy, duration_ns),
                "gpu_power": decimal(power_mw.get(run, 0), _MW_DIGITS),
                "gpu_energy": f"{energy:f}",
                "energy_consumed": f"{energy:f}",
                **self._place,
                "os": platform.platform(),
                "python_version": platform.python_version(),
                "codecarbon_version": f"submeter-{snapshot.version}",
                "gpu_count": len(snapshot.gpus),
                "gpu_model": _models(snapshot.gpus),
                "tracking_mode": "process",
                "on_cloud": "N",
                "pue": 1,
            }

    def _emissions(self, energy_kwh: Decimal, duration_ns: int) -> dict[str, Any]:
        if self._carbon_g_per_kwh is None:
            return {}
        kilograms = float(energy_kwh) * self._carbon_g_per_kwh / 1000
        seconds = duration_ns / NS_PER_S
        return {"emissions": kilograms, "emissions_rate": kilograms / seconds if seconds else 0}


def _models(gpus: tuple[GpuState, ...]) -> str:
    """``"8 x NVIDIA H100"``, as codecarbon puts it."""
    names = [gpu.info.name for gpu in gpus]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
