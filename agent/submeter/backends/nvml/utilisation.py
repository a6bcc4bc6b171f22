"""What the driver says each process did: its ring of samples in, those not seen yet out.

NVML takes ``lastSeenTimeStamp`` in µs of the wall clock and gives one summary a process over the
samples newer than that. 0 would bring up to ten seconds of samples again, of dead processes too.
"""

from collections.abc import Sequence
from ctypes import byref, c_ulonglong
from struct import Struct
from typing import Final

from submeter.backends.nvml import calls
from submeter.backends.nvml.buffers import ListBuffer
from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.holders import PID_MAX
from submeter.backends.nvml.questions import IMPLAUSIBLE, Questions
from submeter.model import UtilisationSample
from submeter.units import NS_PER_S, NS_PER_US, US_PER_S

CAPABILITY: Final = "process utilisation"

_ENTRY: Final = Struct("=I4xQIIII")  # nvmlProcessUtilizationSample_t
_ENTRIES: Final = 256
_RING_NS: Final = 10 * NS_PER_S
"""The driver keeps 72 samples, ten seconds (open-gpu-kernel-modules, GPUMON): after a longer
pause the last timestamp means nothing, and what happened meanwhile isn't asked for."""
_RESUME_US: Final = US_PER_S
_FUTURE_US: Final = 5 * US_PER_S


class UtilisationReader:
    """Samples of one GPU, each once."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._buffer = ListBuffer(_ENTRY, _ENTRIES)
        self._newest_us = 0
        self._asked_ns: int | None = None
        self._function = questions.session.function(calls.PROCESS_UTILIZATION)
        if self._function is None:
            questions.lack(CAPABILITY, "the driver's library is too old for it")

    def samples(self, now_ns: int, wall_ns: int) -> Sequence[UtilisationSample] | None:
        """Newer samples; None where there is no such signal.

        Raises ReadFailed where the driver fails this time, Fault where the GPU is lost.
        """
        function, questions = self._function, self._questions
        if function is None or questions.refused(CAPABILITY):
            return None
        wall_us = wall_ns // NS_PER_US
        since_us = self._since_us(now_ns, wall_us)
        self._asked_ns = now_ns
        number = self._buffer.fill(
            lambda count, buffer: questions.call(
                calls.PROCESS_UTILIZATION,
                function,
                questions.handle,
                buffer,
                byref(count),
                c_ulonglong(since_us),
            )
        )
        if number:
            questions.absorb(CAPABILITY, Fault(calls.PROCESS_UTILIZATION, number))
            return None if questions.refused(CAPABILITY) else ()
        return self._believed(since_us, wall_us)

    def _since_us(self, now_ns: int, wall_us: int) -> int:
        """The newest timestamp seen, unless that was long ago, or the clock was set back."""
        paused = self._asked_ns is None or now_ns - self._asked_ns > _RING_NS
        if paused or self._newest_us > wall_us + _FUTURE_US:
            self._newest_us = 0
        return self._newest_us or max(1, wall_us - _RESUME_US)

    def _believed(self, since_us: int, wall_us: int) -> Sequence[UtilisationSample]:
        """Without nonsense: the driver has been seen to fill the buffer with made-up PIDs and
        percents in the thousands (Syllo/nvtop issue 110)."""
        believed = []
        for pid, at_us, sm, memory, encoder, decoder in self._buffer.entries():
            sane = 0 < pid <= PID_MAX and at_us <= wall_us + _FUTURE_US
            if not sane or max(sm, memory, encoder, decoder) > 100:
                self._questions.tally.failed(calls.PROCESS_UTILIZATION, IMPLAUSIBLE)
            elif at_us > since_us:
                believed.append(UtilisationSample(pid, at_us, sm, memory, encoder, decoder))
        self._newest_us = max((s.at_us for s in believed), default=self._newest_us)
        return tuple(believed)
