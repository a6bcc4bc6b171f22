"""One record to one line of JSON and back, exactly: ``encode(decode(line)) == line``.

Pure. A line that is not what it should be raises InputError with what was found and what was
expected; the caller adds file and line. The format is described in docs/trace-format.md.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from submeter.errors import InputError
from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Missing,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.trace.kinds import (
    ERROR_KIND,
    FLAG,
    HOLDERS,
    INSTANCES,
    INTEGER_OR_NULL,
    MISSING,
    NAMED,
    NATURAL,
    NATURAL_OR_NULL,
    OBJECT,
    OBJECTS,
    SAMPLES,
    SOURCE,
    TEXT,
    Kind,
)
from submeter.trace.records import (
    ActivityRecord,
    EndRecord,
    ErrorRecord,
    GaugesRecord,
    GpuRecord,
    Header,
    HoldersRecord,
    InstancesRecord,
    ProcessRecord,
    ReadingRecord,
    Record,
    UtilisationRecord,
)

FORMAT: Final = "submeter-trace"
VERSION: Final = 1
_SHOWN: Final = 60  # characters of a bad value that a message quotes


_HEADER: Final = {
    "format": Kind(lambda value: value == FORMAT, f'"{FORMAT}"'),
    "version": Kind(lambda value: type(value) is int, "an integer"),
    "created": TEXT,
    "submeter": TEXT,
    "backend": TEXT,
    "notice": TEXT,
    "start_boottime_ns": NATURAL,
    "start_wall_ns": NATURAL,
    "gpus": OBJECTS,
}
GPU: Final = {
    "uuid": TEXT,
    "index": NATURAL,
    "name": TEXT,
    "driver": TEXT,
    "pci_bus_id": TEXT,
    "arch": TEXT,
    "energy_source": SOURCE,
    "power_window": TEXT,
    "refresh_ns": NATURAL,
    "refresh_measured": FLAG,
    "memory_total_bytes": NATURAL_OR_NULL,
    "power_limit_max_mw": NATURAL_OR_NULL,
    "scope": TEXT,
    "mig": FLAG,
    "missing": MISSING,
}


class _Shape(NamedTuple):
    """How a record of one letter is laid out, and how to build it from its checked items."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    build: Callable[[list[Any]], Record]


def _shape(build: Callable[[list[Any]], Record], **items: Kind) -> _Shape:
    return _Shape(tuple(items), tuple(items.values()), build)


SHAPES: Final = {
    "r": _shape(
        lambda v: ReadingRecord(v[0], Reading(*v[1:])),
        gpu=NATURAL,
        at_ns=NATURAL,
        energy_uj=NATURAL_OR_NULL,
        energy_at_us=NATURAL_OR_NULL,
        instant_mw=NATURAL_OR_NULL,
        instant_at_us=NATURAL_OR_NULL,
        average_mw=NATURAL_OR_NULL,
        average_at_us=NATURAL_OR_NULL,
    ),
    "a": _shape(
        lambda v: ActivityRecord(v[0], Activity(*v[1:])),
        gpu=NATURAL,
        at_ns=NATURAL,
        utilization_percent=NATURAL_OR_NULL,
        memory_used_bytes=NATURAL_OR_NULL,
    ),
    "g": _shape(
        lambda v: GaugesRecord(v[0], Gauges(v[1], v[2], v[3], v[4], _pairs(v[5]), _pairs(v[6]))),
        gpu=NATURAL,
        at_ns=NATURAL,
        temperature_core_c=INTEGER_OR_NULL,
        temperature_memory_c=INTEGER_OR_NULL,
        power_limit_mw=NATURAL_OR_NULL,
        clocks_hz=NAMED,
        throttle_ns=NAMED,
    ),
    "h": _shape(
        lambda v: HoldersRecord(
            v[0], v[1], None if v[2] is None else tuple(Holder(*row) for row in v[2])
        ),
        gpu=NATURAL,
        at_ns=NATURAL,
        holders=HOLDERS,
    ),
    "u": _shape(
        lambda v: UtilisationRecord(
            v[0], v[1], None if v[2] is None else tuple(UtilisationSample(*row) for row in v[2])
        ),
        gpu=NATURAL,
        at_ns=NATURAL,
        samples=SAMPLES,
    ),
    "m": _shape(
        lambda v: InstancesRecord(
            v[0], v[1], None if v[2] is None else tuple(InstanceActivity(*row) for row in v[2])
        ),
        gpu=NATURAL,
        at_ns=NATURAL,
        instances=INSTANCES,
    ),
    "p": _shape(
        lambda v: ProcessRecord(v[0], ProcessKey(*v[1:4]), *v[4:]),
        at_ns=NATURAL,
        boot_id=TEXT,
        pid=NATURAL,
        start_ticks=NATURAL,
        comm=TEXT,
        workload=TEXT,
        phase=TEXT,
    ),
    "x": _shape(
        lambda v: ErrorRecord(*v),
        gpu=NATURAL_OR_NULL,
        at_ns=NATURAL,
        call=TEXT,
        kind=ERROR_KIND,
        reason=TEXT,
        message=TEXT,
    ),
    "i": _shape(
        lambda v: GpuRecord(v[0], v[1], _decode_gpu(v[2])),
        gpu=NATURAL,
        at_ns=NATURAL,
        info=OBJECT,
    ),
    "e": _shape(lambda v: EndRecord(*v), at_ns=NATURAL, reason=TEXT),
}

_LAYOUTS: Final[dict[type, Callable[[Any], list[object]]]] = {
    ReadingRecord: lambda r: ["r", r.gpu, *r.reading],
    ActivityRecord: lambda r: [
        "a",
        r.gpu,
        r.activity.at_ns,
        r.activity.utilization_percent,
        r.activity.memory_used_bytes,
    ],
    GaugesRecord: lambda r: [
        "g",
        r.gpu,
        r.gauges.at_ns,
        r.gauges.temperature_core_c,
        r.gauges.temperature_memory_c,
        r.gauges.power_limit_mw,
        r.gauges.clocks_hz,
        r.gauges.throttle_ns,
    ],
    HoldersRecord: lambda r: ["h", *r],
    UtilisationRecord: lambda r: ["u", *r],
    InstancesRecord: lambda r: ["m", *r],
    ProcessRecord: lambda r: ["p", r.at_ns, *r.key, r.comm, r.workload, r.phase],
    ErrorRecord: lambda r: ["x", *r],
    GpuRecord: lambda r: ["i", r.gpu, r.at_ns, _gpu_object(r.info)],
    EndRecord: lambda r: ["e", *r],
}


def encode(record: Record) -> str:
    """The line of a record, without its line end; ASCII."""
    return _json(_LAYOUTS[type(record)](record))


def decode(line: str) -> Record:
    """The record of a line. Raises InputError."""
    value = _parse(line)
    if type(value) is not list or not value:
        raise _wrong("record", value, "a list that begins with its kind")
    kind, items = value[0], value[1:]
    shape = SHAPES.get(kind) if type(kind) is str else None
    if shape is None:
        raise _wrong("kind of record", kind, "one of " + ", ".join(SHAPES))
    if len(items) != len(shape.kinds):
        raise InputError(
            f"record {kind!r} has {len(items)} values; expected {len(shape.kinds)}: "
            + ", ".join(shape.names)
        )
    for name, expected, item in zip(shape.names, shape.kinds, items, strict=True):
        if not expected.fits(item):
            raise _wrong(f"{name} of record {kind!r}", item, expected.expected)
    return shape.build(items)


def encode_header(header: Header) -> str:
    """The first line of a trace, without its line end."""
    return _json(
        {
            "format": FORMAT,
            "version": VERSION,
            "created": header.created,
            "submeter": header.submeter,
            "backend": header.backend,
            "notice": header.notice,
            "start_boottime_ns": header.start_boottime_ns,
            "start_wall_ns": header.start_wall_ns,
            "gpus": [_gpu_object(info) for info in header.gpus],
        }
    )


def decode_header(line: str) -> Header:
    """The header of a first line. Raises InputError, also for another version of the format."""
    value = _checked("header", _parse(line), _HEADER)
    if value["version"] != VERSION:
        raise InputError(
            f"trace format version {value['version']} found; this submeter reads version {VERSION}"
        )
    return Header(
        start_boottime_ns=value["start_boottime_ns"],
        start_wall_ns=value["start_wall_ns"],
        gpus=tuple(_decode_gpu(item) for item in value["gpus"]),
        submeter=value["submeter"],
        backend=value["backend"],
        created=value["created"],
        notice=value["notice"],
    )


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise _wrong("line", line, "one JSON value") from None


def _pairs(rows: Sequence[Sequence[Any]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, value) for name, value in rows)


def _gpu_object(info: GpuInfo) -> dict[str, object]:
    return {name: getattr(info, name) for name in GPU}


def _decode_gpu(value: object) -> GpuInfo:
    checked = dict(_checked("gpu", value, GPU))
    checked["energy_source"] = EnergySource(checked["energy_source"])
    checked["missing"] = tuple(Missing(*row) for row in checked["missing"])
    return GpuInfo(**checked)


def _checked(what: str, value: Any, kinds: dict[str, Kind]) -> dict[str, Any]:
    if type(value) is not dict:
        raise _wrong(what, value, "an object")
    if list(value) != list(kinds):
        raise InputError(
            f"{what} has the keys {', '.join(map(repr, value)) or 'of nothing'}; "
            f"expected {', '.join(kinds)}, in this order"
        )
    for name, kind in kinds.items():
        if not kind.fits(value[name]):
            raise _wrong(f"{name} of the {what}", value[name], kind.expected)
    return value


def _wrong(what: str, found: object, expected: str) -> InputError:
    text = found if isinstance(found, str) else json.dumps(found)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return InputError(f"{what}: found {shown!r}, expected {expected}")
