"""What a scenario file may say: one row a key. docs/scenario.md explains them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from submeter.backends.mock.faults import CALLS, DRIVER_REASONS, VALUE_CALLS
from submeter.backends.mock.fields import REQUIRED, Field
from submeter.backends.mock.presets import CHARACTERS, PRESETS
from submeter.backends.mock.shapes import SHAPES

_MOST_WATTS: Final = 100_000.0
_MOST_SECONDS: Final = 1e9
_MOST_INTEGER: Final = 2**63 - 1
_MOST_UNSIGNED: Final = 2**64 - 1

ROOT: Final[Mapping[str, Field]] = {
    "seed": Field("integer", 0, 0, _MOST_INTEGER),
    "gpu": Field("tables", REQUIRED),
    "process": Field("tables"),
    "fault": Field("tables"),
}

GPU: Final[Mapping[str, Field]] = {
    # A default of None: what the preset says.
    "model": Field("text", choices=tuple(PRESETS)),
    "count": Field("integer", 1, 1, 1024),
    "name": Field("text"),
    "arch": Field("text"),
    "idle_watts": Field("number", low=0.0, high=_MOST_WATTS),
    "context_watts": Field("number", low=0.0, high=_MOST_WATTS),
    "limit_watts": Field("number", low=0.001, high=_MOST_WATTS),
    "memory_gib": Field("number", low=0.001, high=1e6),
    "refresh_ms": Field("number", low=1.0, high=2000.0),
    "window_ms": Field("number", low=0.1, high=2000.0),
    "average_ms": Field("number", low=0.0, high=5000.0),
    "instant": Field("boolean", True),
    "energy_counter": Field("boolean", True),
    "counter_refresh_ms": Field("number", low=1.0, high=5000.0),
    "counter_step_mj": Field("integer", 1, 1, 10_000_000),
    "counter_start_j": Field("number", low=0.0, high=1e12),
    "gain": Field("number", 1.0, 0.1, 10.0),
    "offset_watts": Field("number", 0.0, -1000.0, 1000.0),
    "noise_watts": Field("number", 0.0, 0.0, 1000.0),
    "ambient_c": Field("number", low=-50.0, high=100.0),
    "kelvin_per_watt": Field("number", low=0.0, high=5.0),
    "thermal_lag_s": Field("number", low=0.1, high=1e5),
    "leakage_watts_per_c": Field("number", low=0.0, high=100.0),
    "mig": Field("texts", ()),
}

PROCESS: Final[Mapping[str, Field]] = {
    "name": Field("text", REQUIRED),
    "gpu": Field("index", REQUIRED, 0, 1_000_000),
    "mig_instance": Field("integer", low=0, high=6),
    "pid": Field("integer", REQUIRED, 1, 4_194_304),
    "pid_step": Field("integer", 1, 0, 1000),
    "kind": Field("text", "compute", choices=("compute", "graphics", "mps")),
    "start_s": Field("number", 0.0, 0.0, _MOST_SECONDS),
    "end_s": Field("number", low=0.0, high=_MOST_SECONDS),
    "every_s": Field("number", low=0.001, high=_MOST_SECONDS),
    "utilisation": Field("number", 1.0, 0.0, 1.0),
    "watts": Field("number", low=0.0, high=_MOST_WATTS),
    "character": Field("text", choices=tuple(CHARACTERS)),
    "shape": Field("table", {"kind": "constant"}),
    "memory_gib": Field("number", 1.0, 0.0, 1e6),
    "visible": Field("boolean", True),
    "comm": Field("text", ""),
    "argv": Field("texts", ()),
    "title": Field("text"),
    "user": Field("text", ""),
    "uid": Field("integer", low=0, high=2**32 - 1),
    "cgroup": Field("text", ""),
    "environ": Field("text_table", {}),
    "listen": Field("integers", (), 1, 65535),
    "libraries": Field("texts", ()),
}


class FaultKind(NamedTuple):
    """A way to go wrong, what it does, and the keys that it alone takes."""

    meaning: str
    fields: Mapping[str, Field]


_WHOLE_CALLS: Final = ("all", *(call for call in CALLS if call not in VALUE_CALLS))
_VALUES: Final = (*VALUE_CALLS, "activity", "gauges", "holders", "utilisation")
_JOULES: Final = Field("number", REQUIRED, 0.0, 1e12)

FAULTS: Final[Mapping[str, FaultKind]] = {
    "error": FaultKind(
        "a call fails with an NVML error",
        {
            "call": Field("text", "all", choices=("all", *CALLS)),
            "code": Field("code", REQUIRED, 1, 999),
        },
    ),
    "hang": FaultKind(
        "a call blocks",
        {
            "call": Field("text", "all", choices=_WHOLE_CALLS),
            "hang_s": Field("number", REQUIRED, 0.0, 1e6),
        },
    ),
    "garbage": FaultKind(
        "a value is replaced by nonsense",
        {
            "call": Field("text", REQUIRED, choices=_VALUES),
            "value": Field("integer", REQUIRED, -_MOST_INTEGER, _MOST_UNSIGNED),
        },
    ),
    "vanish": FaultKind("the GPU is lost; it can be opened again afterwards", {}),
    "driver_unavailable": FaultKind(
        "no GPU can be used; then the counters begin at 0, as after a reload of the driver",
        {
            "reason": Field("text", "driver_not_loaded", choices=DRIVER_REASONS),
            "reload": Field("boolean", True),
        },
    ),
    "counter_reset": FaultKind("the energy counter begins at 0 again", {}),
    "counter_jump": FaultKind("the energy counter is ahead by that much", {"joules": _JOULES}),
    "counter_back": FaultKind("the energy counter is behind by that much", {"joules": _JOULES}),
    "counter_stall": FaultKind("the energy counter stands still, then catches up", {}),
}

FAULT: Final[Mapping[str, Field]] = {
    "kind": Field("text", REQUIRED, choices=tuple(FAULTS)),
    "gpu": Field("index", low=0, high=1_000_000),
    "from_s": Field("number", 0.0, 0.0, _MOST_SECONDS),
    "to_s": Field("number", low=0.0, high=_MOST_SECONDS),
}


def shape_fields(kind: str) -> Mapping[str, Field]:
    """The keys of a shape's table."""
    return {
        "kind": Field("text", REQUIRED, choices=tuple(SHAPES)),
        **{
            name: Field("number", parameter.default, parameter.low, parameter.high)
            for name, parameter in SHAPES[kind].parameters.items()
        },
    }
