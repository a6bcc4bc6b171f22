"""Process ids in, owners of energy out: who a process is, and what it uses the GPU for."""

from submeter.workloads.procfs import ProcfsSource
from submeter.workloads.recognise import recognise
from submeter.workloads.table import ProcessTable, Seen

__all__ = ["ProcessTable", "ProcfsSource", "Seen", "recognise"]
