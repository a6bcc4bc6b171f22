"""A snapshot in, the JSON of ``/api/v1/snapshot`` out. Documented in ``docs/api.md``.

Energies and times are exact: decimal strings of joules, integers of nanoseconds. What a board
doesn't say is null.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from submeter.metrics.budget import doubt
from submeter.metrics.collect import node_power_mw, power_mw
from submeter.model import Account, GpuState, ProcessView, Snapshot
from submeter.text import printable
from submeter.units import decimal
from submeter.web.sums import is_idling

SCHEMA: Final = 1
_MILLI: Final = 3
_MICRO: Final = 6


def snapshot_json(snapshot: Snapshot) -> bytes:
    """The whole snapshot as one JSON object."""
    content = {
        "schema": SCHEMA,
        "sequence": snapshot.sequence,
        "boottime_ns": snapshot.boottime_ns,
        "wall_ns": snapshot.wall_ns,
        "started_wall_ns": snapshot.started_wall_ns,
        "version": snapshot.version,
        "backend": snapshot.backend,
        "notice": snapshot.notice,
        "components_up": dict(snapshot.components_up),
        "power_watts": _watts(node_power_mw(snapshot)),
        "power_budget_watts": _watts(snapshot.power_budget_mw),
        "power_budget_doubt": doubt(snapshot.power_budget_mw, snapshot.gpus),
        "folded_series": snapshot.folded_series,
    }
    arrays: dict[str, Iterable[object]] = {
        "gpus": map(_gpu, snapshot.gpus),
        "energy": (
            {**_account(account), "joules": decimal(energy_uj, _MICRO)}
            for account, energy_uj in snapshot.energy_uj.items()
        ),
        "power": (
            {**_account(account), "watts": _watts(value_mw)}
            for account, value_mw in snapshot.power_mw.items()
        ),
        "work": (
            {**owner._asdict(), "unit": unit, "amount": amount}
            for (owner, unit), amount in snapshot.done.items()
        ),
        "work_servers": (each._asdict() for each in snapshot.work_servers),
    }
    members = [f'"{name}":{_text(value)}' for name, value in content.items()]
    # One by one: thousands of accounts as objects at once are megabytes, and holes afterwards.
    members += [f'"{name}":[{",".join(map(_text, each))}]' for name, each in arrays.items()]
    return f"{{{','.join(members)}}}".encode()


def _text(value: object) -> str:
    return json.dumps(_clean(value), separators=(",", ":"))


def _gpu(gpu: GpuState) -> dict[str, Any]:
    info = gpu.info
    return {
        "gpu": info.index,
        "uuid": info.uuid,
        "name": info.name,
        "driver": info.driver,
        "pci_bus_id": info.pci_bus_id,
        "arch": info.arch,
        "energy_source": info.energy_source,
        "power_window": info.power_window,
        "refresh_ns": info.refresh_ns,
        "refresh_measured": info.refresh_measured,
        "missing": [missing._asdict() for missing in info.missing],
        "up": gpu.up,
        "down_reason": gpu.down_reason,
        "joules": decimal(gpu.energy_uj, _MICRO),
        "settled_boottime_ns": gpu.settled_ns,
        "joules_by_method": _joules(gpu.energy_by_method_uj),
        "suspect_joules": _joules(gpu.suspect_uj),
        "unmetered_ns": dict(gpu.unmetered_ns),
        "throttle_ns": dict(gpu.throttle_ns),
        "crosscheck_ratio": None if gpu.crosscheck_ppm is None else gpu.crosscheck_ppm / 10**_MICRO,
        **_now(gpu),
        "processes": [_process(process) for process in gpu.processes],
    }


def _now(gpu: GpuState) -> dict[str, Any]:
    """What was read last; null throughout while the GPU is down."""
    reading, activity, gauges, peaks = gpu.reading, gpu.activity, gpu.gauges, gpu.peaks
    return {
        "power_watts": _watts(power_mw(gpu)),
        "power_average_watts": _watts(reading.average_mw if reading else None),
        "power_limit_watts": _watts(gauges.power_limit_mw if gauges else None),
        "power_min_watts": _watts(peaks.min_mw if peaks else None),
        "power_max_watts": _watts(peaks.max_mw if peaks else None),
        "power_peaks_window_ns": peaks.window_ns if peaks else None,
        "held_idle": is_idling(gpu),
        "utilization_percent": activity.utilization_percent if activity else None,
        "memory_used_bytes": activity.memory_used_bytes if activity else None,
        "memory_total_bytes": gpu.info.memory_total_bytes,
        "temperature_core_celsius": gauges.temperature_core_c if gauges else None,
        "temperature_memory_celsius": gauges.temperature_memory_c if gauges else None,
        "clocks_hertz": dict(gauges.clocks_hz) if gauges else {},
    }


def _process(process: ProcessView) -> dict[str, Any]:
    return {
        **process.key._asdict(),
        **process.owner._asdict(),
        "kind": process.kind,
        "memory_bytes": process.memory_bytes,
        "watts": _watts(process.power_mw),
        "verdict": asdict(process.verdict),
    }


def _account(account: Account) -> dict[str, Any]:
    uuid, mig, component, owner = account
    return {"uuid": uuid, "mig": mig, "component": component, **owner._asdict()}


def _joules(energies_uj: Mapping[Any, int]) -> dict[str, str]:
    return {str(key): decimal(energy_uj, _MICRO) for key, energy_uj in energies_uj.items()}


def _watts(power_mw: int | None) -> float | None:
    return None if power_mw is None else power_mw / 10**_MILLI


def _clean(value: Any) -> Any:
    """The same with every text made printable: lone surrogates are not JSON to many readers."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): _clean(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(content) for content in value]
    return value
