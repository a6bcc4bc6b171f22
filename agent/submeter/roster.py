"""Who held a GPU at a moment, whose each was and what they drew in; views of them out, made only
if somebody looks: with thousands of processes that takes longer than all else of a snapshot."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from submeter.model import Account, Holder, Owner, ProcessKey, ProcessView, Verdict


class Roster(Sequence[ProcessView]):
    """Owns columns of one row for each process, and the views once they were looked at."""

    __slots__ = ("_held", "_power_mw", "_views", "owners", "verdicts")

    def __init__(
        self,
        held: Sequence[tuple[Holder, ProcessKey]],
        owners: Sequence[Owner],
        verdicts: Sequence[Verdict],
        power_mw: Mapping[Account, int] | None = None,
    ) -> None:
        """``power_mw``: of all accounts on that GPU; processes of one owner share it alike. None
        of these may change later."""
        self.owners = tuple(owners)
        self.verdicts = tuple(verdicts)
        self._held = held
        self._power_mw = power_mw or {}
        self._views: tuple[ProcessView, ...] | None = None

    def drawing(self, power_mw: Mapping[Account, int]) -> "Roster":
        """The same processes at another moment's powers."""
        return Roster(self._held, self.owners, self.verdicts, power_mw)

    def _seen(self) -> tuple[ProcessView, ...]:
        if self._views is None:
            power_mw: Counter[Owner] = Counter()
            for account, part_mw in self._power_mw.items():
                power_mw[account.owner] += part_mw
            among = Counter(self.owners)
            self._views = tuple(
                ProcessView(
                    key, owner, verdict, holder.kind, holder.memory_bytes,
                    power_mw[owner] // among[owner],
                )
                for (holder, key), owner, verdict in zip(
                    self._held, self.owners, self.verdicts, strict=True
                )
            )  # fmt: skip
        return self._views

    @overload
    def __getitem__(self, index: int) -> ProcessView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ProcessView]: ...
    def __getitem__(self, index: int | slice) -> ProcessView | Sequence[ProcessView]:
        return self._seen()[index]

    def __iter__(self) -> Iterator[ProcessView]:
        return iter(self._seen())

    def __len__(self) -> int:
        return len(self.owners)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._seen() == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def judged(processes: Sequence[ProcessView]) -> tuple[tuple[Owner, ...], tuple[Verdict, ...]]:
    """Owner and verdict of each, in columns."""
    if isinstance(processes, Roster):
        return processes.owners, processes.verdicts
    owners = tuple(process.owner for process in processes)
    return owners, tuple(process.verdict for process in processes)
