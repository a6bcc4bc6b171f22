"""Files that somebody else wrote, as bytes: the configuration, tables, recordings, a kubelet's."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from submeter.backends.mock import scenario
from submeter.config import load, parse_override
from submeter.model import ProcessFacts
from submeter.trace.reader import open_trace
from submeter.workloads import containers, operator, pods
from submeter.workloads.placement import placement
from submeter_fuzz.memory import MemoryFile
from submeter_fuzz.surface import KEY


@cache
def _file(name: str) -> MemoryFile:
    return MemoryFile(name)


def as_file(name: str, take: Callable[[Path], object], data: bytes) -> object:
    """What is made of a file with these bytes."""
    return take(_file(name).holding(data))


def config(path: Path) -> object:
    return load(path, (), {})


def rules(data: bytes) -> object:
    """As the pattern of an operator's rule, which then judges a process."""
    lines = (b"[[classify.rule]]", b'phase = "training"', b"argument = " + data)
    path = _file("rules.toml").holding(b"\n".join(lines))
    made = [
        operator.compiled("rule", rule.patterns, rule.phase, rule.workload)
        for rule in load(path, (), {}).classify.rule
    ]
    return operator.judge(made, placement)(ProcessFacts(KEY, argv=("python3", "a" * 60, "b")))


def override(data: bytes) -> object:
    return load(None, [parse_override(data.decode("utf-8", "surrogateescape"))], {})


def scenario_of(data: bytes) -> object:
    return scenario.parse(data.decode("utf-8", "replace"))


def trace(path: Path) -> object:
    return sum(1 for _ in open_trace(path).records())


def kubelet_file(path: Path) -> object:
    return pods._checkpointed(path), containers._json(path)
