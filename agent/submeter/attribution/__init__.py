"""Intervals in, postings out: who used which microjoule, and how that was found."""

from submeter.attribution.apportion import apportion
from submeter.attribution.floors import FloorLearner
from submeter.attribution.mig import instance_time
from submeter.attribution.sharing import Allotment, Party, Programs, Sharing
from submeter.attribution.split import dynamic_uj, split

__all__ = [
    "Allotment",
    "FloorLearner",
    "Party",
    "Programs",
    "Sharing",
    "apportion",
    "dynamic_uj",
    "instance_time",
    "split",
]
