"""The table of column names that power logs use: a new tabular log means new rows here."""

from typing import Final, NamedTuple

# Units of values, to the integer units used inside (mW, µJ, bytes, %, Hz, °C, ns).
# "mj" is millijoule and "mw" milliwatt, however they are capitalised: no log has megajoules.
UNITS: Final = {
    "w": 1_000,
    "mw": 1,
    "kw": 1_000_000,
    "uj": 1,
    "mj": 1_000,
    "j": 1_000_000,
    "wh": 3_600_000_000,
    "kwh": 3_600_000_000_000,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "kb": 1_000,
    "mb": 1_000_000,
    "gb": 1_000_000_000,
    "%": 1,
    "hz": 1,
    "khz": 1_000,
    "mhz": 1_000_000,
    "ghz": 1_000_000_000,
    "c": 1,
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
}

FIELDS: Final = (
    "draw",  # power.draw: a 1-s average or instantaneous, by board (see `boards`)
    "instant",
    "average",
    "energy",
    "utilization",
    "memory_used",
    "memory_total",
    "temperature_core",
    "temperature_memory",
    "limit",
    "limit_max",
    "clock.graphics",
    "clock.sm",
    "clock.memory",
    "clock.video",
)
"""What a numeric column may be."""

POWER_FIELDS: Final = ("draw", "instant", "average")
LABELS: Final = ("uuid", "pci_bus_id", "index", "name", "driver")
"""What a text column may be; the first three identify a GPU, in this order."""
IDENTITIES: Final = LABELS[:3]


class Column(NamedTuple):
    """What a column is: a field, a label, "time" (a date or an epoch), "elapsed" (since the start)
    or "series" (part of the name of one of several recordings in a file)."""

    role: str
    unit: str = ""  # of values that carry none; "" where there is no unit to carry


_POWER = Column("draw", "w")

COLUMNS: Final = {
    # nvidia-smi --help-query-gpu, with the short names that it accepts as well
    "timestamp": Column("time"),
    "name": Column("name"),
    "gpu_name": Column("name"),
    "uuid": Column("uuid"),
    "gpu_uuid": Column("uuid"),
    "index": Column("index"),
    "pci.bus_id": Column("pci_bus_id"),
    "gpu_bus_id": Column("pci_bus_id"),
    "driver_version": Column("driver"),
    "power.draw": _POWER,
    "power.draw.average": Column("average", "w"),
    "power.draw.instant": Column("instant", "w"),
    "utilization.gpu": Column("utilization", "%"),
    "memory.used": Column("memory_used", "mib"),
    "memory.total": Column("memory_total", "mib"),
    "temperature.gpu": Column("temperature_core", "c"),
    "temperature.memory": Column("temperature_memory", "c"),
    "enforced.power.limit": Column("limit", "w"),
    "power.limit": Column("limit", "w"),
    "power.max_limit": Column("limit_max", "w"),
    "clocks.current.graphics": Column("clock.graphics", "mhz"),
    "clocks.gr": Column("clock.graphics", "mhz"),
    "clocks.current.sm": Column("clock.sm", "mhz"),
    "clocks.sm": Column("clock.sm", "mhz"),
    "clocks.current.memory": Column("clock.memory", "mhz"),
    "clocks.mem": Column("clock.memory", "mhz"),
    "clocks.current.video": Column("clock.video", "mhz"),
    "clocks.video": Column("clock.video", "mhz"),
    # what people's own loggers call the same things
    "time": Column("time"),
    "date": Column("time"),
    "datetime": Column("time"),
    "epoch": Column("time"),
    "epoch_s": Column("time", "s"),
    "epoch_ms": Column("time", "ms"),
    "epoch_us": Column("time", "us"),
    "epoch_ns": Column("time", "ns"),
    "timestamp_ms": Column("time", "ms"),
    "timestamp_us": Column("time", "us"),
    "timestamp_ns": Column("time", "ns"),
    "relative_time_s": Column("elapsed", "s"),
    "elapsed_s": Column("elapsed", "s"),
    "elapsed_ms": Column("elapsed", "ms"),
    "gpu": Column("index"),
    "gpu_id": Column("index"),
    "gpu_index": Column("index"),
    "power": _POWER,
    "power_w": _POWER,
    "power_mw": Column("draw", "mw"),
    "power_draw": _POWER,
    "power_draw_w": _POWER,
    "power_watts": _POWER,
    "gpu_power": _POWER,
    "gpu_power_w": _POWER,
    "gpu_power_draw": _POWER,
    "power_total_w": Column("instant", "w"),
    "total_w": Column("instant", "w"),
    "energy_mj": Column("energy", "mj"),
    "energy_j": Column("energy", "j"),
    "total_energy_consumption": Column("energy", "mj"),
    "utilization_gpu_percent": Column("utilization", "%"),
    "gpu_usage": Column("utilization", "%"),
    "gpu_utilization": Column("utilization", "%"),
    "utilization": Column("utilization", "%"),
    "gpu_memory_used": Column("memory_used", "mib"),
    "memory_used": Column("memory_used", "mib"),
    "gpu_total_memory": Column("memory_total", "mib"),
    "memory_total": Column("memory_total", "mib"),
    "temperature_c": Column("temperature_core", "c"),
    "gpu_temperature": Column("temperature_core", "c"),
    "temperature": Column("temperature_core", "c"),
    "gpu_max_power": Column("limit_max", "w"),
    "model": Column("series"),
    "num_gpus": Column("series"),
    "max_num_seqs": Column("series"),
    "task": Column("series"),
}


class Dialect(NamedTuple):
    """A logger that is known by the columns it writes, and what that tells of its device."""

    columns: frozenset[str]
    labels: dict[str, str]


DIALECTS: Final = (
    # The ML.ENERGY Benchmark's recordings: the sum over the GPUs of one server process. Values
    # above one board's limit show that they are instantaneous readings.
    Dialect(
        frozenset({"relative_time_s", "num_gpus", "power_total_w"}),
        {"scope": "sum of GPUs"},
    ),
    # ElmorLabs PMD on the cables and the slot, as decoded in GPU_Power_Benchmark.
    Dialect(
        frozenset({"epoch_us", "cable_w", "slot_w", "total_w"}),
        {"name": "external meter (cables and slot)", "scope": "gpu", "power_window": "1ms"},
    ),
)
