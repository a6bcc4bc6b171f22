"""What a job says of itself in, one line to the agent whenever that changes out."""

import functools
import inspect
import os
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import ref

from submeter.client.link import link
from submeter.client.protocol import checked_phase, checked_workload, frame

_F = TypeVar("_F", bound=Callable[..., Any])


class phase:  # noqa: N801  used like a function
    """Says what this process uses the GPU for from now on: training, inference or other.

        submeter.phase("training")              # until something else is said

        with submeter.phase("inference"):       # for the block, then what it was before
            evaluate()

        @submeter.phase("inference")            # for each call, also of async functions
        def evaluate(): ...

    It is about the whole process: of blocks that overlap in several threads or tasks the one
    begun last counts. Costs about 10 µs; does nothing where no agent runs. An empty text takes it
    back. Raises ValueError for any other word.
    """

    def __init__(self, name: str) -> None:
        self._name = checked_phase(name)
        self._entered: list[object] = []
        _STATE.say(self, self._name)

    def __enter__(self) -> Self:
        token = object()
        self._entered.append(token)
        _STATE.begin(token, self._name, instead_of=self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _STATE.end(self._entered.pop())

    def __call__(self, function: _F) -> _F:
        _STATE.unsay(self)  # a decorator after all: what the plain call said doesn't hold
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waits(*args: Any, **kwargs: Any) -> Any:
                with _Block(self._name):
                    return await function(*args, **kwargs)

            return cast("_F", waits)

        @functools.wraps(function)
        def runs(*args: Any, **kwargs: Any) -> Any:
            with _Block(self._name):
                return function(*args, **kwargs)

        return cast("_F", runs)


def workload(name: str) -> None:
    """Names this process's energy from now on, such as ``"nightly-retraining"``; an empty text
    takes it back. At most 64 characters are kept. Raises ValueError for what isn't printable."""
    _STATE.call(checked_workload(name))


class _Block:
    """One run of a block."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        _STATE.begin(self, self._name)

    def __exit__(self, *_: object) -> None:
        _STATE.end(self)


class _State:
    """What this process says now. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plain: list[tuple[ref[phase], str]] = []  # by plain calls; the last one holds
        self._blocks: dict[object, str] = {}  # open ones, in the order they began
        self._workload = ""
        self._named = b""  # the line that says so
        self._said = ""
        self._spoke = False  # of a phase, ever: else another may have said it of this process

    def say(self, by: phase, name: str) -> None:
        """What holds outside of blocks, unless ``by`` turns out to be one and unsays it. Nobody
        can unsay what a `phase` said that is gone, so nothing before the last of those counts."""
        with self._lock:
            for_good = [i for i, (said_by, _) in enumerate(self._plain) if said_by() is None]
            self._plain = [*self._plain[max(for_good, default=0) :], (ref(by), name)]
            self._tell()

    def unsay(self, by: phase) -> None:
        """Takes back what that plain call said; others' stays as it is."""
        with self._lock:
            if self._drop(by):
                self._tell()

    def begin(self, token: object, phase_: str, instead_of: phase | None = None) -> None:
        """``instead_of``: a plain call that turns out to be a block, all in one message."""
        with self._lock:
            if instead_of is not None:
                self._drop(instead_of)
            self._blocks[token] = phase_
            self._tell()

    def end(self, token: object) -> None:
        with self._lock:
            self._blocks.pop(token, None)
            self._tell()

    def call(self, name: str) -> None:
        with self._lock:
            if name != self._workload or not link().connected:
                self._workload = name
                self._named = frame({"workload": name})
                self._send(self._named)

    def _drop(self, by: phase) -> bool:
        kept = [(said_by, name) for said_by, name in self._plain if said_by() is not by]
        dropped = len(kept) != len(self._plain)
        self._plain = kept
        return dropped

    def _tell(self) -> None:
        plain = self._plain[-1][1] if self._plain else ""
        now = next(reversed(self._blocks.values())) if self._blocks else plain
        if now != self._said or (self._spoke and not link().connected):
            self._said = now
            self._spoke = True
            self._send(_LINES[now])

    def greeting(self) -> tuple[bytes, ...]:
        """What an agent has to know that was started since."""
        said = (_LINES[self._said],) if self._spoke else ()
        return (*said, self._named) if self._workload else said

    def _send(self, line: bytes) -> None:
        link().send(line, greeting=self.greeting() or (line,))

    def forget(self) -> None:
        """In a forked child: nothing was said of it yet."""
        self._lock = Lock()
        self._said = ""
        self._spoke = False


_LINES = {name: frame({"phase": name}) for name in ("", "training", "inference", "other")}
_STATE = _State()
greeting = _STATE.greeting
os.register_at_fork(after_in_child=_STATE.forget)
