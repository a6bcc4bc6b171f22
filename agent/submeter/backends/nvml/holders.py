"""Who holds a GPU: the driver's process lists in, each process once out."""

import re
from collections.abc import Iterable, Sequence
from ctypes import byref
from struct import Struct
from typing import Any, Final, NamedTuple

from submeter.backends.nvml import calls
from submeter.backends.nvml.buffers import ListBuffer
from submeter.backends.nvml.codes import INSUFFICIENT_SIZE, Fault, code_of
from submeter.backends.nvml.library import Function
from submeter.backends.nvml.questions import IMPLAUSIBLE, MIG_DEVICES, Questions
from submeter.model import Holder

_KINDS: Final = (  # the later kind says more, so it wins where a process is in several lists
    ("graphics", calls.GRAPHICS_PROCESSES),
    ("compute", calls.COMPUTE_PROCESSES),
    ("mps", calls.MPS_PROCESSES),
)
_VERSIONS: Final = ("_v3", "_v2")  # of one layout; older libraries aren't supported
_ENTRY: Final = Struct("=I4xQII")  # nvmlProcessInfo_t: pid, usedGpuMemory, GPU, compute instance
_ENTRIES: Final = 256
_NO_INSTANCE: Final = 0xFFFFFFFF
PID_MAX: Final = 4_194_304  # the kernel's PID_MAX_LIMIT
COMPUTE: Final = "compute processes"
LISTS: Final = (COMPUTE, "graphics processes", "mps processes")
_MOST_INSTANCES: Final = 64  # a GPU has at most 8; more is nonsense
_MEMORY_MAX: Final = 1 << 50
_PROFILE: Final = re.compile(r"(?:(\d)c\.)?(\d)g\b")


class MigInstance(NamedTuple):
    """One MIG device and its label, ``1g.10gb/7``: profile and GPU instance."""

    handle: Any
    gpu_instance: int
    compute_instance: int
    label: str
    slices: int = 1  # compute slices of the GPU instance
    compute_slices: int = 1  # … and of this MIG device


class ProcessLists:
    """The lists of one GPU, or of its MIG devices. Lists that the driver refuses are left out."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._buffer = ListBuffer(_ENTRY, _ENTRIES)
        self.instances: Sequence[MigInstance] | None = None  # as listed last
        self._last: tuple[Holder, ...] = ()
        self._functions: dict[str, Function] = {}
        for kind, name in _KINDS:
            function = _newest(questions, name)
            if function is None:
                questions.lack(_kind(kind), "the driver's library is too old to list them")
            else:
                self._functions[kind] = function

    def holders(self, *, mig: bool) -> Sequence[Holder] | None:
        """Every process once; None where the driver doesn't list them.

        Raises ReadFailed where a list is missing this time (half a list would book the absent
        ones' energy to the others), Fault where the GPU is lost.
        """
        if self._refused(mig=mig):
            return None
        try:
            found = list(self._partitioned() if mig else self._whole())
        except _StillTooSmall:
            return self._last
        if self._refused(mig=mig):
            return None
        self._last = _merged(found)
        return self._last

    def _refused(self, *, mig: bool) -> bool:
        refused = self._questions.refused
        return refused(COMPUTE) or (mig and refused(MIG_DEVICES))

    def _whole(self) -> Iterable[Holder]:
        handle = self._questions.handle
        for kind, name in _KINDS:
            for pid, memory, gi, ci in self._list(kind, name, handle):
                yield Holder(pid, kind, memory, _instance(gi), _instance(ci))

    def _partitioned(self) -> Iterable[Holder]:
        self.instances = mig_instances(self._questions)
        for instance in self.instances:
            for kind, name in _KINDS:
                for pid, memory, _, _ in self._list(kind, name, instance.handle):
                    yield Holder(
                        pid,
                        kind,
                        memory,
                        instance.gpu_instance,
                        instance.compute_instance,
                        instance.label,
                    )

    def _list(
        self, kind: str, name: str, handle: Any
    ) -> Iterable[tuple[int, int | None, int, int]]:
        capability = _kind(kind)
        function = self._functions.get(kind)
        if function is None or self._questions.refused(capability):
            return
        questions = self._questions
        number = self._buffer.fill(
            lambda count, buffer: questions.call(name, function, handle, byref(count), buffer)
        )
        if number == INSUFFICIENT_SIZE:
            questions.tally.failed(name, code_of(number).name)
            raise _StillTooSmall
        if number:
            questions.absorb(capability, Fault(name, number))
            return
        for pid, memory, gi, ci in self._buffer.entries():
            if 0 < pid <= PID_MAX:
                yield pid, memory if memory < _MEMORY_MAX else None, gi, ci
            else:
                questions.tally.failed(name, IMPLAUSIBLE)


def mig_instances(questions: Questions) -> list[MigInstance]:
    """The MIG devices as they are now; their handles don't survive a change of the layout."""
    count = questions.must(MIG_DEVICES, "nvmlDeviceGetMaxMigDeviceCount") or 0
    found = []
    for index in range(min(count, _MOST_INSTANCES)):
        handle = questions.must(MIG_DEVICES, "nvmlDeviceGetMigDeviceHandleByIndex", index)
        if handle is None:
            continue  # an empty slot
        gi = questions.must(MIG_DEVICES, "nvmlDeviceGetGpuInstanceId", of=handle)
        ci = questions.must(MIG_DEVICES, "nvmlDeviceGetComputeInstanceId", of=handle)
        name = questions.must(MIG_DEVICES, "nvmlDeviceGetName", of=handle) or ""
        if gi is not None and ci is not None:
            profile = name.rpartition("MIG ")[2] or "mig"
            sizes = _sizes(profile)
            found.append(MigInstance(handle, gi, ci, f"{profile}/{gi}", *sizes))
    return found


def _sizes(profile: str) -> tuple[int, int]:
    """Compute slices of the GPU instance and of the compute instance: 3 and 1 of "1c.3g.40gb"."""
    found = _PROFILE.match(profile)
    compute, gpu = (None, None) if found is None else found.groups()
    return int(gpu or 1) or 1, int(compute or gpu or 1) or 1


class _StillTooSmall(Exception):
    """The list outgrew its buffer five times."""


def _newest(questions: Questions, name: str) -> Function | None:
    functions = (questions.session.function(name + version) for version in _VERSIONS)
    return next((function for function in functions if function is not None), None)


def _kind(kind: str) -> str:
    return f"{kind} processes"


def _instance(number: int) -> int | None:
    return None if number == _NO_INSTANCE else number


def _merged(found: Iterable[Holder]) -> tuple[Holder, ...]:
    """One entry for each process and instance: later kinds win, the larger memory is right."""
    by_key: dict[tuple[int, int | None, int | None], Holder] = {}
    for holder in found:
        key = (holder.pid, holder.gpu_instance, holder.compute_instance)
        known = by_key.get(key)
        if known is not None:
            kind = max(known.kind, holder.kind, key=_RANK.__getitem__)
            memory = max(known.memory_bytes or 0, holder.memory_bytes or 0) or None
            holder = holder._replace(kind=kind, memory_bytes=memory)
        by_key[key] = holder
    return tuple(by_key.values())


_RANK: Final = {kind: rank for rank, (kind, _) in enumerate(_KINDS)}
