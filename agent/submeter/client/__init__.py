"""What a job uses: `phase`, `workload` and `measure`, never a risk to it.

Reached as ``submeter.phase`` and so on; nothing of this is imported before one of them is used.
Without an agent `phase` and `workload` do nothing and `measure` reads NVML itself. None of them
raises for anything that is missing; wrong arguments raise ValueError at once.
"""

from submeter.client.labels import phase, workload
from submeter.client.measuring import Measurement, measure

__all__ = ["Measurement", "measure", "phase", "workload"]
