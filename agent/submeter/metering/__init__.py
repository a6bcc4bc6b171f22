"""Readings in, intervals out: what one GPU used, exactly, and how well that is known."""

from submeter.metering.crosscheck import AVERAGE_LAG_NS, CrossCheck
from submeter.metering.limits import Limits
from submeter.metering.meter import Meter
from submeter.metering.peaks import Peaks
from submeter.metering.resume import resume

__all__ = ["AVERAGE_LAG_NS", "CrossCheck", "Limits", "Meter", "Peaks", "resume"]
