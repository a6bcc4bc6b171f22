"""Intervals in, postings out: who used which microjoule, and how that was found."""

from submeter.attribution.apportion import apportion
from submeter.attribution.floors import FloorLearner
from submeter.attribution.split import split

__all__ = ["FloorLearner", "apportion", "split"]
