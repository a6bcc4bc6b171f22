"""The slow questions to one GPU: each call timed, counted, and dropped for good once refused."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from submeter.backends import Tally
from submeter.backends.nvml import codes
from submeter.backends.nvml.codes import LOST, PERMANENT, Action, Fault, explain
from submeter.backends.nvml.library import Function, Session
from submeter.errors import ReadFailed
from submeter.model import Missing

IMPLAUSIBLE: Final = "implausible"
"""The error name under which values are counted that can't be true."""

MIG_MODE: Final = "MIG mode"
MIG_DEVICES: Final = "MIG devices"
GPM: Final = "GPM"
NEW_TEMPERATURE: Final = "core temperature, new call"
UNREMARKABLE: Final = frozenset({MIG_MODE, MIG_DEVICES, GPM, NEW_TEMPERATURE})
"""Nobody misses these: most boards have no MIG, older drivers have another temperature call."""


class Questions:
    """Asks for one GPU, and knows what it lacks."""

    def __init__(
        self, session: Session, handle: Any, tally: Tally, monotonic_ns: Callable[[], int]
    ) -> None:
        self.session = session
        self.handle = handle
        self.tally = tally
        self.monotonic_ns = monotonic_ns
        self.lacks: dict[str, str] = {}  # capability → why
        self._refused: set[str] = set()

    def must(self, capability: str, name: str, *arguments: object, of: Any = None) -> Any:
        """What pynvml's ``name`` says of this GPU, or of the MIG device ``of``.

        None where there is nothing, or the driver has refused for good. Raises ReadFailed where
        the answer is missing this time, Fault where the GPU or the driver is lost.
        """
        if capability in self._refused:
            return None
        started_ns = self.monotonic_ns()
        try:
            return self.session.ask(name, self.handle if of is None else of, *arguments)
        except Fault as fault:
            self.absorb(capability, fault)
            return None
        finally:
            self.tally.took(name, self.monotonic_ns() - started_ns)

    def ask(self, capability: str, name: str, *arguments: object) -> Any:
        """`must` for what may be missing: None (counted) instead of ReadFailed."""
        try:
            return self.must(capability, name, *arguments)
        except ReadFailed:
            return None

    def call(self, name: str, function: Function, *arguments: object) -> int:
        """The return code of a C function, timed under ``name``."""
        started_ns = self.monotonic_ns()
        code = self.session.call(function, *arguments)
        self.tally.took(name, self.monotonic_ns() - started_ns)
        return code

    def asked(
        self, capability: str, name: str, function: Function | None, *arguments: object
    ) -> bool:
        """Whether a C function (None: the library has none) has answered, where it is asked every
        few seconds: without the binding's wrappers, which cost three times the call. Raises Fault
        where the GPU is lost."""
        if capability in self._refused:
            return False
        code = codes.FUNCTION_NOT_FOUND
        if function is not None:
            code = self.call(name, function, self.handle, *arguments)
        if not code:
            return True
        with suppress(ReadFailed):  # counted
            self.absorb(capability, Fault(name, code))
        return False

    def absorb(self, capability: str, fault: Fault) -> None:
        """Remembers a refusal and lets an empty answer pass; else raises, as `must` says."""
        code = fault.code
        if code.action in LOST:
            raise fault
        if code.action in PERMANENT:
            self.lack(capability, explain(code))
        elif code.action is not Action.EMPTY:
            self.tally.failed(fault.call, code.name)
            raise ReadFailed(f"{fault.call}: {explain(code)}") from None

    def sane(self, call: str, value: int | None, plausible: range) -> int | None:
        """The value, or None (counted) where it can't be true."""
        if value is None or value in plausible:
            return value
        self.tally.failed(call, IMPLAUSIBLE)
        return None

    def lack(self, capability: str, reason: str) -> None:
        """From now on this isn't asked for."""
        self._refused.add(capability)
        self.lacks[capability] = reason

    def refused(self, capability: str) -> bool:
        """Whether the driver has said for good that it won't answer."""
        return capability in self._refused

    def reconsider(self, *capabilities: str) -> None:
        """Asks for these again, because the GPU isn't what it was."""
        for capability in capabilities:
            self._refused.discard(capability)
            self.lacks.pop(capability, None)

    def missing(self) -> tuple[Missing, ...]:
        """What this GPU lacks, and why."""
        return tuple(
            Missing(capability, reason)
            for capability, reason in self.lacks.items()
            if capability not in UNREMARKABLE
        )
