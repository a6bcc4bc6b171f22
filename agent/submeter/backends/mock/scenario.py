"""A scenario file in, a checked `Scenario` out; whatever is wrong is named with its line."""

import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

from submeter.backends.mock.boards import board_plan
from submeter.backends.mock.faults import ERRORS
from submeter.backends.mock.fields import Field, Table
from submeter.backends.mock.plan import (
    MIG_SLICES,
    PPM,
    BoardPlan,
    FaultPlan,
    ProcessPlan,
    Scenario,
    ShapePlan,
)
from submeter.backends.mock.presets import CHARACTERS
from submeter.backends.mock.schema import FAULT, FAULTS, GPU, PROCESS, ROOT, shape_fields
from submeter.backends.mock.shapes import SHAPES
from submeter.errors import InputError
from submeter.toml_lines import syntax_error_line
from submeter.units import NS_PER_S, UJ_PER_J

DEMO: Final = "demo"
_GIB: Final = 1 << 30


def load(scenario: str | Path | None) -> Scenario:
    """Reads a scenario file, or a built-in one by its name; None is the demo node.

    Raises InputError where there is no such file or it is wrong.
    """
    name = DEMO if scenario is None else str(scenario)
    if name in built_in():
        return parse(_built_in_text(name), f"{name}.toml (built in)")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text in UTF-8"
        raise InputError(
            f"can't be read: {reason}; built-in scenarios are {', '.join(built_in())}", source=name
        ) from error
    return parse(text, name)


def built_in() -> list[str]:
    """Names of the scenarios that are part of the package."""
    folder = resources.files(__package__) / "scenarios"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())


def parse(text: str, source: str = "scenario") -> Scenario:
    """The scenario that this TOML text describes."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"not TOML: {error}", source=source, line=syntax_error_line(error)
        ) from error
    root = Table(text, source, (), raw)
    values = root.read(ROOT)
    boards = tuple(board for table in root.elements("gpu") for board in _boards(table))
    if not boards:
        raise root.wrong("gpu", "no GPU; a scenario has at least one [[gpu]]")
    processes = tuple(
        _process(table, index, boards) for index, table in enumerate(root.elements("process"))
    )
    _check_pids(root.elements("process"), processes)
    faults = tuple(_fault(table, len(boards)) for table in root.elements("fault"))
    return Scenario(values["seed"], boards, processes, faults)


def _built_in_text(name: str) -> str:
    folder = resources.files(__package__) / "scenarios"
    return (folder / f"{name}.toml").read_text(encoding="utf-8")


def _boards(table: Table) -> Iterator[BoardPlan]:
    values = table.read(GPU)
    board = board_plan(table, values)
    for _ in range(values["count"]):
        yield board


def _process(table: Table, index: int, boards: Sequence[BoardPlan]) -> ProcessPlan:
    values = table.read(PROCESS)
    gpus = _gpus(table, values["gpu"], len(boards))
    _check_times(table, values)
    _check_mig(table, values["mig_instance"], [boards[gpu] for gpu in gpus])
    utilisation_ppm = round(values["utilisation"] * PPM)
    return ProcessPlan(
        index=index,
        name=values["name"],
        gpus=gpus,
        mig_instance=values["mig_instance"],
        pid=values["pid"],
        start_ns=_ns(values["start_s"]),
        end_ns=_ns_or_none(values["end_s"]),
        every_ns=_ns_or_none(values["every_s"]),
        pid_step=values["pid_step"],
        utilisation_ppm=utilisation_ppm,
        power_mw={gpu: _power_mw(table, values, boards[gpu]) for gpu in gpus},
        shape=_shape(table),
        kind=values["kind"],
        memory_bytes=round(values["memory_gib"] * _GIB),
        visible=values["visible"],
        comm=values["comm"],
        argv=tuple(values["argv"]),
        title=values["title"],
        user=values["user"],
        uid=values["uid"],
        cgroup=values["cgroup"],
        environ=values["environ"],
        listen_ports=tuple(values["listen"]),
        libraries=tuple(values["libraries"]),
    )


def _shape(table: Table) -> ShapePlan:
    inner = table.inner("shape")
    if inner is None:
        return ShapePlan("constant", {})
    kind = inner.read_key("kind", Field("text", choices=tuple(SHAPES)))
    if kind is None:
        raise inner.wrong(None, f'"kind" is missing; known: {", ".join(SHAPES)}')
    values = inner.read(shape_fields(str(kind)))
    return ShapePlan(values.pop("kind"), values)


def _power_mw(table: Table, values: dict[str, Any], board: BoardPlan) -> int:
    """Dynamic power at the shape's full level: as given, or as such kernels draw on that board."""
    if values["watts"] is not None:
        if values["character"] is not None:
            raise table.wrong("character", 'give "watts" or "character", not both')
        watts: float = values["watts"]
        return round(watts * 1000)
    if values["character"] is None:
        raise table.wrong(None, f'"watts" (or "character": {", ".join(CHARACTERS)}) is missing')
    share: float = CHARACTERS[values["character"]] * values["utilisation"]
    if values["mig_instance"] is not None:
        share *= board.mig[values["mig_instance"]].slices / MIG_SLICES
    return round((board.limit_mw - board.idle_mw - board.context_mw) * share)


def _check_times(table: Table, values: dict[str, Any]) -> None:
    start_s, end_s, every_s = values["start_s"], values["end_s"], values["every_s"]
    if end_s is not None and end_s <= start_s:
        raise table.wrong("end_s", f"found {end_s:g}, expected more than start_s = {start_s:g}")
    if every_s is not None and (end_s is None or every_s < end_s - start_s):
        raise table.wrong("every_s", "expected at least the time from start_s to an end_s")


def _check_mig(table: Table, instance: int | None, boards: Sequence[BoardPlan]) -> None:
    for board in boards:
        if board.mig and instance is None:
            raise table.wrong("gpu", 'that GPU is partitioned; "mig_instance" is missing')
        if instance is not None and instance >= len(board.mig):
            raise table.wrong(
                "mig_instance", f"found {instance}, but that GPU has {len(board.mig)} MIG instances"
            )


def _check_pids(tables: Sequence[Table], processes: Sequence[ProcessPlan]) -> None:
    """Two processes may have one PID, but not at one time."""
    for later, table in zip(processes, tables, strict=True):
        for earlier in processes[: later.index]:
            if earlier.pid != later.pid or earlier.every_ns or later.every_ns:
                continue
            first, second = sorted((earlier, later), key=lambda plan: plan.start_ns)
            if first.end_ns is None or first.end_ns > second.start_ns:
                raise table.wrong(
                    "pid", f'{later.pid} belongs to "{earlier.name}" at the same time'
                )


def _fault(table: Table, count: int) -> FaultPlan:
    kind = table.read_key("kind", FAULT["kind"])
    if kind is None:
        raise table.wrong(None, f'"kind" is missing; known: {", ".join(FAULTS)}')
    values = table.read({**FAULT, **FAULTS[str(kind)].fields})
    start_ns, end_ns = _ns(values["from_s"]), _ns_or_none(values["to_s"])
    if end_ns is not None and end_ns <= start_ns:
        raise table.wrong("to_s", f"expected more than from_s = {values['from_s']:g}")
    everywhere = values["gpu"] is None or kind == "driver_unavailable"
    return FaultPlan(
        kind=values["kind"],
        gpus=tuple(range(count)) if everywhere else _gpus(table, values["gpu"], count),
        start_ns=start_ns,
        end_ns=end_ns,
        call=values.get("call", "all"),
        code=_code(table, values["code"]) if "code" in values else 0,
        hang_ns=_ns(values.get("hang_s", 0)),
        value=values.get("value", 0),
        energy_uj=round(values.get("joules", 0) * UJ_PER_J),
        reason=values.get("reason", ""),
        reload=values.get("reload", True),
    )


def _code(table: Table, code: int | str) -> int:
    numbers = {error.name: number for number, error in ERRORS.items()}
    number = code if isinstance(code, int) else numbers.get(_bare(code))
    if number in ERRORS:
        return number
    hint = table.suggest(_bare(code), numbers) if isinstance(code, str) else ""
    raise table.wrong("code", f"found {code!r}, expected an NVML error code 1…30, 999{hint}")


def _bare(name: str) -> str:
    return name.lower().removeprefix("nvml_error_")


def _gpus(table: Table, found: int | list[int], count: int) -> tuple[int, ...]:
    gpus = (found,) if isinstance(found, int) else tuple(dict.fromkeys(found))
    for gpu in gpus:
        if gpu >= count:
            raise table.wrong("gpu", f"found {gpu}, but there are only GPUs 0…{count - 1}")
    return gpus


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _ns_or_none(seconds: float | None) -> int | None:
    return None if seconds is None else _ns(seconds)
