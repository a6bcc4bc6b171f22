"""libnvidia-ml as this process has it: sessions out, each good until it is closed.

A process has one such library, however many backends: pynvml keeps it in module variables. NVML
counts its initialisations; so do we, and after the last session the library is unloaded as well,
because a loaded library stays the old one when the driver is updated (error 18 for ever). That is
done only while no call is on its way through it: a hung call (XID 119 blocks for 45 s and more)
would otherwise return into unmapped memory.
"""

import _ctypes
import ctypes
import os
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any, Final

import pynvml

from submeter.backends.nvml import calls, codes
from submeter.backends.nvml.codes import Fault
from submeter.errors import DriverUnavailable

Function = Callable[..., int]
"""A C function of the library: gives NVML's return code."""

_SONAME: Final = "libnvidia-ml.so.1"
_CLOSED: Final = "this NVML session is closed"
_FORKED: Final = (
    "NVML was opened before this process was forked off, which NVML doesn't survive; "
    "open it in the process that uses it (multiprocessing: start method 'spawn')"
)


class Session:
    """One initialisation of NVML. Calls are refused after `close`, and in forked children."""

    def __init__(self, library: "Library") -> None:
        self.closed = False
        self.in_flight = library.in_flight
        self._library = library

    def check(self) -> None:
        """Raises DriverUnavailable where a call must not be made.

        Callers first add their thread to `in_flight`: so either they see that the session is
        closed, or who closes it sees them.
        """
        if self.closed:
            raise DriverUnavailable("unknown", _FORKED if self._library.forked else _CLOSED)

    def ask(self, name: str, *arguments: object) -> Any:
        """Calls pynvml's wrapper of that name and gives what it gives. Raises Fault."""
        wrapper = getattr(pynvml, name, None)
        if wrapper is None:  # an older binding
            raise Fault(name, codes.FUNCTION_NOT_FOUND)
        self.in_flight.add(get_ident())
        try:
            self.check()
            return wrapper(*arguments)
        except pynvml.NVMLError as error:
            raise Fault(name, int(error.value)) from None
        except pynvml.NVMLLibraryMismatchError:
            raise Fault(name, codes.FUNCTION_NOT_FOUND) from None
        except UnicodeDecodeError:
            raise Fault(name, codes.UNKNOWN) from None
        finally:
            self.leave()

    def enter(self) -> bool:
        """Whether this thread may call C functions; if so, `leave` must follow."""
        self.in_flight.add(get_ident())
        if self.closed:
            self.leave()
        return not self.closed

    def call(self, function: Function, *arguments: object) -> int:
        """Calls a function got from `function`: gives its return code, whatever it is."""
        self.in_flight.add(get_ident())
        try:
            self.check()
            return function(*arguments)
        finally:
            self.leave()

    def leave(self) -> None:
        """A call came back. Was it the last one to hold up a close, the close is done now."""
        self.in_flight.discard(get_ident())
        if self._library.owes:
            self._library.release()

    def function(self, name: str) -> Function | None:
        """The C function of that name, once for many calls; None where the library has none."""
        if name not in calls.ALLOWED_CALLS:
            raise ValueError(f"{name} is not in ALLOWED_CALLS")
        self.in_flight.add(get_ident())
        try:
            self.check()
            function: Function = pynvml.nvmlLib[name]
        except AttributeError:
            return None
        finally:
            self.leave()
        return function

    def close(self) -> None:
        """Gives the initialisation back, now or, where a call hangs, when that is over."""
        if not self.closed:
            self.closed = True
            self._library.release()


class Library:
    """Loads, counts and unloads.

    ``stale`` after a failed `open` says that the old file is still mapped, so that opening again
    can't help: the process must be started anew.
    """

    def __init__(self) -> None:
        self.in_flight: set[int] = set()
        self.forked = False
        self.stale = False
        self._sessions: list[Session] = []
        self._owed = 0  # initialisations to give back
        self.owes = False  # whoever leaves last has to settle
        self._lock = Lock()
        self._due = False  # a session was closed, and nobody has looked since

    def open(self) -> Session:
        """Loads the library and initialises NVML. Raises DriverUnavailable with its reason."""
        if self.forked:
            raise DriverUnavailable("unknown", _FORKED)
        with self._lock:
            self._settle()
            try:
                pynvml.nvmlInit()
            except pynvml.NVMLError as error:
                self._settle()
                number = int(error.value)
                self.stale = number == codes.LIB_RM_VERSION_MISMATCH and is_loaded()
                raise codes.unavailable(Fault(calls.INIT, number)) from None
            self.stale = False
            self._owed += 1
            session = Session(self)
            self._sessions.append(session)
        self._tidy()
        return session

    def release(self) -> None:
        """After a session was closed: shuts down and unloads what nobody uses any more.

        Never waits: whoever is opening at the moment does it when that is over.
        """
        self._due = True
        self._tidy()

    def _tidy(self) -> None:
        while self._due and self._lock.acquire(blocking=False):
            try:
                self._due = False
                self._settle()
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """In a forked child: what the parent had open is not this process's to use or close."""
        self.in_flight = set()
        self._lock = Lock()
        if self._owed:
            self.forked = True
            for session in self._sessions:
                session.closed = True

    def _settle(self) -> None:
        self.owes = True  # before looking: so whoever is on the way sees that, or is seen
        if self.in_flight or self.forked:
            return  # `Session.leave` comes back to it
        self.owes = False
        self._sessions = [session for session in self._sessions if not session.closed]
        while self._owed > len(self._sessions):
            self._owed -= 1
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                pynvml._nvmlLib_refcount = max(0, pynvml._nvmlLib_refcount - 1)
        if not pynvml._nvmlLib_refcount:
            self._unload()

    def _unload(self) -> None:
        """Drops pynvml's handle and everything it remembers of the library."""
        loaded = pynvml.nvmlLib
        if loaded is None:
            return
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()
        _ctypes.dlclose(loaded._handle)


def is_loaded() -> bool:
    """Whether the library is mapped into this process, by us or by somebody else."""
    try:
        handle = ctypes.CDLL(_SONAME, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return False
    _ctypes.dlclose(handle._handle)
    return True


LIBRARY: Final = Library()
os.register_at_fork(after_in_child=LIBRARY.after_fork)
