"""What was counted beside energy in, named amounts for the ledger out, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from submeter.model import AgentUse, Counted, ExporterState, Histogram

AGENT: Final = ""
"""The group of what is counted for all GPUs together."""

_SAMPLES: Final = "samples"
_MISSED: Final = "missed"
_LATE_SUM: Final = "late:sum"
_CPU: Final = "agent:cpu"
_EXPORTERS: Final = ("runs", "failures", "missed")


def names(counted: Counted) -> dict[str, int]:
    """A GPU's counts, by name."""
    found = {_SAMPLES: counted.samples, _MISSED: counted.missed_ticks}
    for call, time_ns in counted.call_ns.items():
        found[f"call:{call}"] = time_ns
    for (call, error), count in counted.errors.items():
        found[f"error:{call}:{error}"] = count
    for reason, time_ns in counted.throttle_ns.items():
        found[f"throttle:{reason}"] = time_ns
    return found


def of_names(found: Mapping[str, int]) -> Counted:
    """A GPU's counts from their names; names of another version mean nothing here."""
    call_ns: dict[str, int] = {}
    throttle_ns: dict[str, int] = {}
    errors: dict[tuple[str, str], int] = {}
    for name, amount in found.items():
        kind, _, rest = name.partition(":")
        if kind == "call":
            call_ns[rest] = amount
        elif kind == "throttle":
            throttle_ns[rest] = amount
        elif kind == "error":
            call, _, error = rest.partition(":")
            errors[call, error] = amount
    return Counted(found.get(_SAMPLES, 0), found.get(_MISSED, 0), call_ns, errors, throttle_ns)


def histogram_names(histogram: Histogram) -> dict[str, int]:
    """A histogram's counts, by name of their bound."""
    bounds = [*map(str, histogram.bounds_ns), "inf"]
    found = {f"late:{bound}": n for bound, n in zip(bounds, histogram.counts, strict=True)}
    return {**found, _LATE_SUM: histogram.sum_ns}


def histogram(found: Mapping[str, int], bounds_ns: tuple[int, ...]) -> Histogram | None:
    """A histogram with these bounds from its names; None where nothing was counted yet."""
    if _LATE_SUM not in found:
        return None
    counts = tuple(found.get(f"late:{bound}", 0) for bound in [*map(str, bounds_ns), "inf"])
    return Histogram(bounds_ns, counts, found[_LATE_SUM])


def request_names(requests: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Requests of jobs by result and reason, by name."""
    return {f"request:{what}:{reason}": count for (what, reason), count in requests.items()}


def requests(
    found: Mapping[str, int], known: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """The same from their names, of the results and reasons that are known."""
    return {(what, reason): found.get(f"request:{what}:{reason}", 0) for what, reason in known}


def exporter_names(states: Iterable[ExporterState]) -> dict[str, int]:
    """What exporters count, by name."""
    return {
        f"exporter:{state.name}:{what}": count
        for state in states
        for what, count in zip(
            _EXPORTERS, (state.runs, state.failures, state.missed_readings or 0), strict=True
        )
    }


def exporters(
    found: Mapping[str, int], states: Iterable[ExporterState]
) -> tuple[ExporterState, ...]:
    """The states with what all agents before counted, too."""
    totals = (
        (state, [found.get(f"exporter:{state.name}:{what}", 0) for what in _EXPORTERS])
        for state in states
    )
    return tuple(
        replace(
            state,
            runs=runs,
            failures=failures,
            missed_readings=None if state.missed_readings is None else missed,
        )
        for state, (runs, failures, missed) in totals
    )


def agent_names(use: AgentUse | None) -> dict[str, int]:
    """What the agent itself used, by name."""
    return {} if use is None else {_CPU: use.cpu_ns}


def agent_use(found: Mapping[str, int], use: AgentUse | None) -> AgentUse | None:
    """The same with the CPU time of all agents before."""
    return None if use is None else replace(use, cpu_ns=found.get(_CPU, 0))
