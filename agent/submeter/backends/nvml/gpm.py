"""Two samples of each GPU instance's counters in, how busy its SMs were between them out.

NVML gives no utilisation for a partitioned GPU (`nvml.h`: "not supported on MIG-enabled GPUs").
What there is instead: GPM from Hopper on (`nvmlGpmMigSampleGet`, at least 100 ms apart, and
`nvmlGpmMetricsGet`: hardware counters, read only), or, should a driver answer it, the utilisation
of the MIG device itself. Half an answer is none: an instance left out would look idle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from submeter.backends.nvml.codes import Fault
from submeter.backends.nvml.holders import MigInstance
from submeter.backends.nvml.questions import GPM, IMPLAUSIBLE, Questions
from submeter.errors import DriverUnavailable, ReadFailed
from submeter.model import InstanceActivity
from submeter.units import NS_PER_MS

CAPABILITY: Final = "busy time of MIG instances"
METRICS: Final = "nvmlGpmMetricsGet"

_SM_UTIL: Final = 2  # NVML_GPM_METRIC_SM_UTIL: percentage of SMs that were busy
_SHORTEST_NS: Final = 110 * NS_PER_MS
_PPM_PER_PERCENT: Final = 10_000
_PERCENT_MOST: Final = 101.0  # counters and time aren't read at the same moment


@dataclass(slots=True)
class _Pair:
    """Two buffers of the driver's, and which of them was filled last, for which instance."""

    old: Any
    new: Any
    label: str
    at_ns: int | None = None  # of the newer one; None: nothing yet


class InstanceReader:
    """Busy time of all instances since the call before. One thread."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._pairs: dict[int, _Pair] = {}
        self._get: Any = None
        self._asking = False

    def activity(
        self, instances: Sequence[MigInstance], now_ns: int
    ) -> Sequence[InstanceActivity] | None:
        """All of them; none where there was no call before; None where there is no such signal.

        Raises ReadFailed where one is missing this time, Fault where the GPU is lost.
        """
        if self._questions.refused(CAPABILITY):
            return None
        self._asking = True
        try:
            if self._counts():
                return self._counted(instances, now_ns)
            return self._told(instances)
        finally:
            self._asking = False

    def forget(self) -> None:
        """The layout may be another one: what was counted before means nothing."""
        for pair in self._pairs.values():
            pair.at_ns = None

    def close(self) -> None:
        """Gives the driver its buffers back, unless a call that hangs may still write into them.
        Never raises."""
        pairs, self._pairs = self._pairs, {}
        if self._asking:
            return
        for pair in pairs.values():
            for sample in (pair.old, pair.new):
                try:
                    self._questions.session.ask("nvmlGpmSampleFree", sample)
                except (Fault, DriverUnavailable):
                    return  # the library is closed: its memory goes with it

    def _counts(self) -> bool:
        """Whether the board has GPM; asked once."""
        questions = self._questions
        if self._get is None and not questions.refused(GPM):
            support = questions.must(GPM, "nvmlGpmQueryDeviceSupport")
            if support is None or not support.isSupportedDevice:
                questions.lack(GPM, "this GPU counts no activity by instance")
            else:
                self._get = pynvml.c_nvmlGpmMetricsGet_t()
                self._get.version = pynvml.NVML_GPM_METRICS_GET_VERSION
                self._get.numMetrics = 1
        return not questions.refused(GPM)

    def _counted(
        self, instances: Sequence[MigInstance], now_ns: int
    ) -> Sequence[InstanceActivity] | None:
        each = {instance.gpu_instance: instance for instance in instances}
        found, whole = [], True
        try:
            for number, instance in each.items():
                percent = self._sample(number, instance, now_ns)
                whole = whole and percent is not None
                if percent is not None:
                    ppm = min(round(percent * _PPM_PER_PERCENT), 100 * _PPM_PER_PERCENT)
                    found.append(InstanceActivity(number, instance.slices, ppm))
        except ReadFailed:
            self.forget()
            raise
        if self._questions.refused(GPM):
            return self._told(instances)
        return found if whole else ()

    def _sample(self, number: int, instance: MigInstance, now_ns: int) -> float | None:
        """Percent since the sample before; None where there was none."""
        pair = self._pair(number, instance.label)
        if pair is None:
            return None
        before_ns, fresh = pair.at_ns, pair.old
        if before_ns is not None and now_ns - before_ns < _SHORTEST_NS:
            return None
        if self._questions.must(GPM, "nvmlGpmMigSampleGet", number, fresh) is None:
            return None
        pair.old, pair.new, pair.at_ns = pair.new, fresh, now_ns
        return None if before_ns is None else self._percent(pair)

    def _percent(self, pair: _Pair) -> float | None:
        get = self._get
        get.sample1, get.sample2 = pair.old, pair.new
        get.metrics[0].metricId = _SM_UTIL
        if self._questions.must(GPM, METRICS, of=get) is None:
            return None
        metric = get.metrics[0]
        if metric.nvmlReturn:
            self._questions.absorb(GPM, Fault(METRICS, metric.nvmlReturn))
            return None
        percent = float(metric.value)
        if not 0 <= percent <= _PERCENT_MOST:  # also where it is no number
            self._questions.tally.failed(METRICS, IMPLAUSIBLE)
            raise ReadFailed(f"{METRICS}: {percent} %")
        return percent

    def _pair(self, number: int, label: str) -> _Pair | None:
        pair = self._pairs.get(number)
        if pair is None:
            samples = [self._alloc(), self._alloc()]
            if None in samples:
                return None
            pair = self._pairs[number] = _Pair(samples[0], samples[1], label)
        if pair.label != label:  # an instance of another size has taken the number
            pair.label, pair.at_ns = label, None
        return pair

    def _alloc(self) -> Any:
        try:
            return self._questions.session.ask("nvmlGpmSampleAlloc")
        except Fault as fault:
            self._questions.absorb(GPM, fault)
            return None

    def _told(self, instances: Sequence[MigInstance]) -> Sequence[InstanceActivity] | None:
        """What the driver says of each MIG device's utilisation; of compute instances that share
        a GPU instance, their part of its slices."""
        busy: dict[int, tuple[int, int]] = {}
        for instance in instances:
            rates = self._questions.must(
                CAPABILITY, "nvmlDeviceGetUtilizationRates", of=instance.handle
            )
            if rates is None:
                return None if self._questions.refused(CAPABILITY) else ()
            if rates.gpu > 100:
                self._questions.tally.failed("nvmlDeviceGetUtilizationRates", IMPLAUSIBLE)
                raise ReadFailed(f"nvmlDeviceGetUtilizationRates: {rates.gpu} %")
            slices, before = instance.slices, busy.get(instance.gpu_instance, (0, 0))[1]
            ppm = rates.gpu * _PPM_PER_PERCENT * instance.compute_slices // slices
            busy[instance.gpu_instance] = (slices, before + ppm)
        return [InstanceActivity(gi, slices, ppm) for gi, (slices, ppm) in busy.items()]
