"""One GPU when it is opened: a handle in, a device that knows what it has and lacks out."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from submeter.backends import Tally
from submeter.backends.nvml import boards, calls
from submeter.backends.nvml.boards import Board
from submeter.backends.nvml.codes import LOST, Action, Fault, code_of, explain
from submeter.backends.nvml.device import NvmlDevice, Parts, missing_of, partitioned
from submeter.backends.nvml.fields import FIELD_LIMIT_CURRENT, Field, FieldBatch, FieldValue
from submeter.backends.nvml.gauges import GAUGE_FIELDS, ActivityReader, GaugeReader, plausible
from submeter.backends.nvml.gpm import InstanceReader
from submeter.backends.nvml.holders import ProcessLists
from submeter.backends.nvml.library import Session
from submeter.backends.nvml.power import LIMIT_FIELDS, TRIES, find_power
from submeter.backends.nvml.questions import Questions
from submeter.backends.nvml.sensors import CANDIDATES
from submeter.backends.nvml.sleep import Sleep
from submeter.backends.nvml.utilisation import UtilisationReader
from submeter.clock import Clock
from submeter.errors import ReadFailed
from submeter.model import GpuInfo


def open_gpu(
    session: Session,
    handle: Any,
    clock: Clock,
    sysfs: Path,
    tallies: dict[str, Tally],
    *,
    place: int,
) -> NvmlDevice:
    """Asks everything once and makes the readers. Raises Fault where the GPU can't be used.

    ``place``: its index where the driver doesn't say one. ``tallies`` keeps what calls have cost by
    UUID, so that it goes on when a GPU is opened again.
    """
    uuid = str(session.ask("nvmlDeviceGetUUID", handle))
    questions = Questions(session, handle, tallies.setdefault(uuid, Tally()), clock.monotonic_ns)
    board = _board(questions)
    values = _values(questions, (*CANDIDATES, *LIMIT_FIELDS, *GAUGE_FIELDS))
    power = find_power(questions, board, values)
    activity = ActivityReader(questions)
    memory_total = activity.memory_total()
    pci_bus_id = _pci_bus_id(questions)
    parts = Parts(
        questions,
        power.fields,
        power.singles,
        activity,
        GaugeReader(questions, _gauge_fields(questions, values)),
        ProcessLists(questions),
        UtilisationReader(questions),
        InstanceReader(questions),
        _nap(sysfs, pci_bus_id),
        _nap(sysfs, pci_bus_id),
    )
    mig = partitioned(questions)
    _try_out(parts, clock, mig=mig)
    info = GpuInfo(
        uuid=uuid,
        index=_index(questions, place),
        name=board.name,
        driver=board.driver,
        pci_bus_id=pci_bus_id,
        arch=board.arch,
        energy_source=power.source,
        power_window=power.window,
        refresh_ns=boards.refresh_ns(board),
        refresh_measured=False,
        memory_total_bytes=memory_total,
        power_limit_max_mw=power.limit_max_mw,
        scope=power.scope,
        mig=mig,
        missing=missing_of(questions, mig=mig),
    )
    return NvmlDevice(info, parts, clock)


def _board(questions: Questions) -> Board:
    capability = questions.ask("compute capability", "nvmlDeviceGetCudaComputeCapability")
    architecture = questions.ask("architecture", "nvmlDeviceGetArchitecture")
    return Board(
        questions.ask("name", "nvmlDeviceGetName") or "",
        _driver(questions.session),
        boards.ARCHITECTURES.get(architecture, ""),
        None if capability is None else (int(capability[0]), int(capability[1])),
    )


def _driver(session: Session) -> str:
    try:
        return str(session.ask("nvmlSystemGetDriverVersion"))
    except Fault as fault:
        if fault.code.action in LOST:
            raise
        return ""


def _index(questions: Questions, place: int) -> int:
    index = questions.ask("index", "nvmlDeviceGetIndex")
    return place if index is None else int(index)


def _pci_bus_id(questions: Questions) -> str:
    pci = questions.ask("PCI address", "nvmlDeviceGetPciInfo_v3")
    return "" if pci is None else _text(pci.busId)


def _text(raw: str | bytes) -> str:
    """Newer bindings decode the text in structs, older ones don't."""
    return raw if isinstance(raw, str) else raw.decode("ascii", errors="replace")


def _values(questions: Questions, fields: Sequence[Field]) -> Mapping[Field, FieldValue]:
    """What each field says now; where some may work in a moment, all are asked for again."""
    answers: list[FieldValue] = []
    for _ in range(TRIES):
        answers = _answers(questions, fields)
        if not any(code_of(answer.code).action is Action.RETRY for answer in answers):
            break
    return dict(zip(fields, answers, strict=True))


def _answers(questions: Questions, fields: Sequence[Field]) -> list[FieldValue]:
    """One call; field by field where a driver refuses the lot for one field it doesn't know."""
    try:
        answers = FieldBatch(fields).read(questions.session, questions.handle)
    except Fault as fault:
        if fault.code.action in LOST:
            raise
        if len(fields) == 1:
            return [FieldValue(fault.code.number, None, 0, 0)]
        return [answer for field in fields for answer in _answers(questions, [field])]
    for answer in answers:
        if answer.code and code_of(answer.code).action in LOST:
            raise Fault(calls.FIELD_VALUES, answer.code)
    return answers


def _gauge_fields(questions: Questions, values: Mapping[Field, FieldValue]) -> list[Field]:
    """Those gauges the board has; the others are named as missing."""
    present = []
    for field, capability in GAUGE_FIELDS.items():
        answer = values[field]
        if not answer.code and answer.value is not None and answer.value in plausible(field):
            present.append(field)
        elif field.number != FIELD_LIMIT_CURRENT:  # for the limit there is an older call
            said = explain(code_of(answer.code)) if answer.code else f"it reads {answer.value}"
            questions.lack(capability, said)
    return present


def _nap(sysfs: Path, pci_bus_id: str) -> Sleep | None:
    nap = Sleep(sysfs, pci_bus_id)
    return nap if nap.may_sleep() else None


def _try_out(parts: Parts, clock: Clock, *, mig: bool) -> None:
    """Each slow question once, so that what the driver refuses is known from the start."""
    now_ns = clock.boottime_ns()
    parts.activity.read(now_ns)
    parts.gauges.read(now_ns)
    with suppress(ReadFailed):
        parts.lists.holders(mig=mig)
    if not mig:
        with suppress(ReadFailed):
            parts.utilisation.samples(now_ns, clock.wall_ns())
