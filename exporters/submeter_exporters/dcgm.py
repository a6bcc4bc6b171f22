"""Snapshots in, the same facts under the names of NVIDIA's dcgm-exporter out, for dashboards made
for it.

One difference is meant: where several pods share a GPU, dcgm-exporter repeats the GPU's whole power
and energy for each of them, so that sums count it several times. Here each GPU is there once; with
``by_pod`` its parts are, and add up to it.

Names, units and labels: https://github.com/NVIDIA/dcgm-exporter (etc/default-counters.csv,
internal/pkg/rendermetrics).
"""

import socket
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from submeter.config.kinds import boolean, choice, text
from submeter.exporting import Exporter, Option, OptionError, Options, Source, checked
from submeter.metrics.collect import power_mw
from submeter.metrics.family import Family, Kind, Sample
from submeter.model import Account, Activity, Gauges, GpuState, Snapshot
from submeter.web.http import Request, Response, Routes
from submeter.web.http import text as plain
from submeter.web.rendered import Rendered
from submeter_exporters._openmetrics import TEXT_TYPE, pieces

OPTIONS: Final = {
    "path": Option(text(), "/dcgm/metrics", "Path that it is served at."),
    "hostname": Option(text(), None, "The Hostname label; the node's own name if not set."),
    "hostname_label": Option(
        choice("Hostname", "hostname"),
        "Hostname",
        "How dcgm-exporter up to 4.8 writes that label, and how later ones do.",
    ),
    "by_pod": Option(
        boolean(), False, "Splits power and energy by container, namespace and pod, exactly."
    ),
}

_POD: Final = ("container", "namespace", "pod")
Pod = tuple[str, str, str]


def create(options: Options) -> Exporter:
    """A pull exporter. Raises OptionError."""
    values = checked("dcgm", options, OPTIONS)
    if not values["path"].startswith("/"):
        raise OptionError("path", f"exporters.dcgm.path must begin with /, found {values['path']}")
    return Dcgm(**values)


class Dcgm:
    """Owns the rendered bytes of the newest snapshot."""

    name = "dcgm"
    interval_ns: int | None = None

    def __init__(
        self, path: str, hostname: str | None, hostname_label: str, *, by_pod: bool
    ) -> None:
        self._path = path
        self._hostname = hostname or socket.gethostname()
        self._labels = (
            "gpu", "UUID", "pci_bus_id", "device", "modelName", hostname_label,
            "DCGM_FI_DRIVER_VERSION",
        )  # fmt: skip
        self._by_pod = by_pod
        self._rendered = Rendered(self._encode, TEXT_TYPE)

    def routes(self, source: Source) -> Routes:
        """Its page; 503 before there is anything to say."""

        def scrape(request: Request) -> Response:
            snapshot = source()
            if snapshot is None:
                return plain("nothing has been measured yet", 503)
            return self._rendered.response(request, snapshot)

        return {self._path: scrape}

    def publish(self, snapshot: Snapshot) -> None:
        """Nothing to do: whoever wants a snapshot comes for it."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _encode(self, snapshot: Snapshot) -> Iterator[bytes]:
        return pieces(self._families(snapshot), foreign=True)

    def _families(self, snapshot: Snapshot) -> Iterator[Family]:
        for field in _FIELDS:
            split = self._by_pod and field.parts is not None
            labels = (*self._labels, *_POD) if split else self._labels
            samples = tuple(
                self._parts(field, snapshot) if split else self._wholes(field, snapshot)
            )
            if samples:
                yield Family(
                    field.name, field.kind, field.help, "", labels, field.exponent, samples
                )

    def _wholes(self, field: "_Field", snapshot: Snapshot) -> Iterator[Sample]:
        for gpu in snapshot.gpus:
            value = field.read(gpu) if gpu.up or field.kind is Kind.COUNTER else None
            if value is not None:
                yield self._about(gpu), value

    def _parts(self, field: "_Field", snapshot: Snapshot) -> Iterator[Sample]:
        values = {} if field.parts is None else field.parts(snapshot)
        for gpu in snapshot.gpus:
            for pod, part in _by_pod(values, gpu).items():
                yield (*self._about(gpu), *pod), part

    def _about(self, gpu: GpuState) -> tuple[str, ...]:
        info = gpu.info
        return (
            str(info.index), info.uuid, info.pci_bus_id, f"nvidia{info.index}", info.name,
            self._hostname, info.driver,
        )  # fmt: skip


def _by_pod(values: dict[Account, int], gpu: GpuState) -> dict[Pod, int]:
    parts: dict[Pod, int] = {}
    for account, value in values.items():
        if account.gpu_uuid == gpu.info.uuid:
            owner = account.owner
            pod = (owner.container, owner.namespace, owner.pod)
            parts[pod] = parts.get(pod, 0) + value
    return parts


class _Field(NamedTuple):
    name: str
    kind: Kind
    help: str
    exponent: int
    read: Callable[[GpuState], int | None]
    parts: Callable[[Snapshot], dict[Account, int]] | None = None


def _average_mw(gpu: GpuState) -> int | None:
    average = gpu.reading.average_mw if gpu.reading else None
    return power_mw(gpu) if average is None else average


def _gauge(read: Callable[[Gauges], int | None]) -> Callable[[GpuState], int | None]:
    return lambda gpu: read(gpu.gauges) if gpu.gauges else None


def _active(read: Callable[[Activity], int | None]) -> Callable[[GpuState], int | None]:
    return lambda gpu: read(gpu.activity) if gpu.activity else None


def _used_mib(gpu: GpuState) -> int | None:
    used = gpu.activity.memory_used_bytes if gpu.activity else None
    return None if used is None else used >> 20


def _free_mib(gpu: GpuState) -> int | None:
    used, total = _used_mib(gpu), gpu.info.memory_total_bytes
    return None if used is None or total is None else (total >> 20) - used


_FIELDS: Final = (
    _Field(
        "DCGM_FI_DEV_SM_CLOCK", Kind.GAUGE, "SM clock frequency (in MHz).", 6,
        _gauge(lambda gauges: dict(gauges.clocks_hz).get("sm")),
    ),
    _Field(
        "DCGM_FI_DEV_MEM_CLOCK", Kind.GAUGE, "Memory clock frequency (in MHz).", 6,
        _gauge(lambda gauges: dict(gauges.clocks_hz).get("memory")),
    ),
    _Field(
        "DCGM_FI_DEV_MEMORY_TEMP", Kind.GAUGE, "Memory temperature (in C).", 0,
        _gauge(lambda gauges: gauges.temperature_memory_c),
    ),
    _Field(
        "DCGM_FI_DEV_GPU_TEMP", Kind.GAUGE, "GPU temperature (in C).", 0,
        _gauge(lambda gauges: gauges.temperature_core_c),
    ),
    _Field(
        "DCGM_FI_DEV_POWER_USAGE", Kind.GAUGE, "Power draw (in W).", 3, _average_mw,
        lambda snapshot: dict(snapshot.power_mw),
    ),
    _Field(
        "DCGM_FI_DEV_POWER_USAGE_INSTANT", Kind.GAUGE, "Instantaneous power draw (in W).", 3,
        lambda gpu: gpu.reading.instant_mw if gpu.reading else None,
    ),
    _Field(
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", Kind.GAUGE, "Power limit in force (in W).", 3,
        _gauge(lambda gauges: gauges.power_limit_mw),
    ),
    _Field(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", Kind.COUNTER,
        "Energy since submeter's ledger began, which outlives reboots (in mJ).", 3,
        lambda gpu: gpu.energy_uj, lambda snapshot: dict(snapshot.energy_uj),
    ),
    _Field(
        "DCGM_FI_DEV_GPU_UTIL", Kind.GAUGE, "GPU utilization (in %).", 0,
        _active(lambda activity: activity.utilization_percent),
    ),
    _Field("DCGM_FI_DEV_FB_USED", Kind.GAUGE, "Framebuffer memory used (in MiB).", 0, _used_mib),
    _Field(
        "DCGM_FI_DEV_FB_FREE", Kind.GAUGE,
        "Framebuffer memory not used, what the driver reserves included (in MiB).", 0, _free_mib,
    ),
)  # fmt: skip
