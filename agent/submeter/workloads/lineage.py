"""A /proc tree in, who started whom out: a server's port is often a parent's or a sibling's."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_STAT_BYTES: Final = 1024
_MOST: Final = 65_536  # processes


class Lineage(NamedTuple):
    """Parents and children by PID, as of one moment."""

    parents: Mapping[int, int]
    children: Mapping[int, list[int]]

    def ancestors(self, pid: int) -> Iterator[int]:
        """Who started it, who started that, … without the node's first process."""
        seen = {pid}
        while (pid := self.parents.get(pid, 0)) > 1 and pid not in seen:
            seen.add(pid)
            yield pid

    def descendants(self, pid: int) -> Iterator[int]:
        """Whom it started, and so on; nearest first."""
        seen = {pid}
        level = [pid]
        while level:
            level = [child for one in level for child in self.children.get(one, ())]
            level = [child for child in level if child not in seen]
            seen.update(level)
            yield from level


def lineage(root: Path = Path("/proc")) -> Lineage:
    """Everybody who is visible; costs about 10 µs each."""
    parents: dict[int, int] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir(root)[:_MOST]:  # noqa: PTH208  thousands of names, no Path of each
        parent = _parent(root, name) if name.isdecimal() else None
        if parent is not None:
            parents[int(name)] = parent
            children[parent].append(int(name))
    return Lineage(parents, children)


def shares_network(pid: int, root: Path = Path("/proc")) -> bool | None:
    """Whether 127.0.0.1 of that process is ours; None where that may not be seen."""
    try:
        return os.readlink(f"{root}/{pid}/ns/net") == os.readlink(f"{root}/self/ns/net")  # noqa: PTH115
    except OSError:
        return None


def _parent(root: Path, name: str) -> int | None:
    try:
        with open(f"{root}/{name}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read(_STAT_BYTES).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None
