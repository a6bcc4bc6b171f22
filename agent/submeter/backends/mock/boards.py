"""A [[gpu]] table in, the board it describes out: own values first, then the preset's."""

import re
from collections.abc import Mapping
from typing import Any, Final

from submeter.backends.mock.fields import Table
from submeter.backends.mock.plan import (
    MIG_SLICES,
    PPM,
    BoardPlan,
    MigInstance,
    SensorPlan,
    ThermalPlan,
)
from submeter.backends.mock.presets import LEAKAGE_WATTS_PER_C, PRESETS, THERMAL_LAG_S, Preset
from submeter.units import NS_PER_MS, NS_PER_S, UJ_PER_J, UJ_PER_MJ

_MIB: Final = 1 << 20
_HZ_PER_MHZ: Final = 1_000_000

_PLAIN: Final = Preset(
    # For a board without "model": what isn't said is simple and easy to reckon with.
    name="Simulated GPU", arch="", idle_watts=0.0, context_watts=0.0, limit_watts=0.0,
    memory_mib=0, hbm=False, refresh_ms=100.0, window_ms=25.0, average_ms=1000.0,
    counter_refresh_ms=100.0, sm_clock_mhz=1500, memory_clock_mhz=1500, ambient_c=30.0,
    kelvin_per_watt=0.05,
)  # fmt: skip
_NEEDED: Final = ("idle_watts", "limit_watts", "memory_gib")

_FIRST_INSTANCE: Final = {1: 7, 2: 3, 3: 1, 4: 1, 7: 0}
"""GPU instance ids that the driver gives by slices ("nvidia-smi mig -lgi" on A100 and H100)."""

_MOST_FEEDBACK: Final = 0.5  # leakage that heats more than this share of itself runs away


def board_plan(table: Table, values: Mapping[str, Any]) -> BoardPlan:
    """The board of a checked table. Raises InputError where its values don't fit together."""
    preset = _PLAIN if values["model"] is None else PRESETS[values["model"]]
    if values["model"] is None:
        for key in _NEEDED:
            if values[key] is None:
                raise table.wrong(
                    None, f'"model" is missing (or "{key}"); known: {", ".join(PRESETS)}'
                )
    own = {key: value for key, value in values.items() if value is not None}
    merged = {**preset._asdict(), **own}
    memory_gib = values["memory_gib"]
    plan = BoardPlan(
        name=merged["name"],
        arch=merged["arch"],
        idle_mw=_mw(merged["idle_watts"]),
        context_mw=_mw(merged["context_watts"]),
        limit_mw=_mw(merged["limit_watts"]),
        memory_bytes=preset.memory_mib * _MIB if memory_gib is None else int(memory_gib * 2**30),
        hbm=preset.hbm,
        sm_clock_hz=preset.sm_clock_mhz * _HZ_PER_MHZ,
        memory_clock_hz=preset.memory_clock_mhz * _HZ_PER_MHZ,
        sensors=_sensors(merged),
        thermal=_thermal(table, merged),
        mig=_mig(table, values["mig"]),
    )
    if plan.limit_mw <= plan.idle_mw + plan.context_mw:
        raise table.wrong(
            "limit_watts", "expected more than idle_watts + context_watts, or nothing could work"
        )
    return plan


def _sensors(merged: Mapping[str, Any]) -> SensorPlan:
    start_j = merged.get("counter_start_j")
    return SensorPlan(
        refresh_ns=_ns(merged["refresh_ms"]),
        window_ns=_ns(merged["window_ms"]),
        average_ns=_ns(merged["average_ms"]),
        instant=merged["instant"],
        counter=merged["energy_counter"],
        counter_refresh_ns=_ns(merged["counter_refresh_ms"]),
        counter_step_uj=merged["counter_step_mj"] * UJ_PER_MJ,
        counter_start_uj=None if start_j is None else round(start_j * UJ_PER_J),
        gain_ppm=round(merged["gain"] * PPM),
        offset_mw=_mw(merged["offset_watts"]),
        noise_mw=_mw(merged["noise_watts"]),
    )


def _thermal(table: Table, merged: Mapping[str, Any]) -> ThermalPlan:
    leakage = merged.get("leakage_watts_per_c", LEAKAGE_WATTS_PER_C)
    if leakage * merged["kelvin_per_watt"] > _MOST_FEEDBACK:
        raise table.wrong(
            "leakage_watts_per_c",
            f"times kelvin_per_watt it is more than {_MOST_FEEDBACK:g}: the board would run away",
        )
    return ThermalPlan(
        ambient_uc=round(merged["ambient_c"] * PPM),
        resistance_uc_per_mw=round(merged["kelvin_per_watt"] * 1000),
        lag_ns=round(merged.get("thermal_lag_s", THERMAL_LAG_S) * NS_PER_S),
        leakage_mw_per_c=_mw(leakage),
    )


def _mig(table: Table, profiles: list[str]) -> tuple[MigInstance, ...]:
    instances: list[MigInstance] = []
    taken: set[int] = set()
    for profile in profiles:
        match = re.fullmatch(r"([12347])g\.\d+gb(\+me)?", profile)
        if match is None:
            raise table.wrong("mig", f'found "{profile}", expected a profile such as "3g.40gb"')
        slices = int(match.group(1))
        number = _FIRST_INSTANCE[slices]
        while number in taken:
            number += 1
        taken.add(number)
        instances.append(MigInstance(number, profile, slices))
    total = sum(instance.slices for instance in instances)
    if total > MIG_SLICES:
        raise table.wrong("mig", f"found {total} slices, but a GPU has {MIG_SLICES}")
    return tuple(instances)


def _mw(watts: float) -> int:
    return round(watts * 1000)


def _ns(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)
