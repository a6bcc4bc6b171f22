"""Accounts in, the series that their energy is booked to out; who was hidden and left is forgotten.

Where jobs come and go under ever new names, most series are beyond ``max_series``: metrics have
them under "(other)", and only the file has them by name. Their history is in the file; in memory
they are for as long as somebody books to them. Of who left, a digest stays, so that a job that runs
every hour goes on with the series that it has, and doesn't use up what there may be of them.
"""

from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from submeter.ledger.live import Live
from submeter.ledger.memory import OTHER
from submeter.ledger.records import Series
from submeter.ledger.rows import canonical
from submeter.model import Account, Method, Owner

IDLE: Final = 600
"""Commits, of which there is one a settlement: so long a hidden series is kept unused. Longer than
the process table remembers who is gone (300 s)."""


class Names:
    """Owns what must be known of each series to book to it. One thread."""

    def __init__(self, live: Live) -> None:
        self.count = 0
        """How many series there ever were."""
        self._live = live
        self._series: dict[tuple[Account, Method], Series] = {}
        self._shown_as: dict[int, Account] = {}
        self._of_owner: dict[tuple[str, Owner], int] = {}
        self._hidden: dict[int, Series] = {}
        self._used: dict[int, int] = {}  # by hidden series: the number of the last commit
        self._folded: dict[Account, int] = {}  # how many hidden series each has
        self._left: dict[bytes, tuple[tuple[Method, int], ...]] = {}  # … and had, by digest

    def know(self, series: Series, number: int) -> Account:
        """From now on it can be booked to; whom metrics show it as. ``number``: of the commit."""
        self.count += 1
        return self._keep(series, number)

    def back(self, account: Account, method: Method, gpu: int, number: int) -> Series | None:
        """The series of one who left and is here again."""
        for had, known in self._left.get(_digest(account), ()):
            if had is method:
                series = Series(known, gpu, account, method, 0)
                self._keep(series, number)
                return series
        return None

    def _keep(self, series: Series, number: int) -> Account:
        account = shown_as = series.account
        self._series[account, series.method] = series
        if not series.shown:
            shown_as = account._replace(owner=Owner(account.owner.phase, workload=OTHER))
            self._hidden[series.id] = series
            self._used[series.id] = number
            known = account in self._folded or _digest(account) in self._left
            self._live.folded += not known
            self._folded[account] = self._folded.get(account, 0) + 1
        self._shown_as[series.id] = shown_as
        self._of_owner.setdefault((account.gpu_uuid, account.owner), series.id)
        self._live.know(series, shown_as)
        return shown_as

    def find(self, account: Account, method: Method, number: int) -> Series | None:
        """The series of an account that is booked to now."""
        series = self._series.get((account, method))
        if series is not None and not series.shown:
            self._used[series.id] = number
        return series

    def of_owner(self, gpu_uuid: str, owner: Owner, number: int) -> int | None:
        """A series of that owner on that GPU."""
        found = self._of_owner.get((gpu_uuid, owner))
        if found in self._hidden:
            self._used[found] = number
        return found

    def shown_as(self, series: Series) -> Account:
        """The account that metrics show it as."""
        return self._shown_as[series.id]

    def forget(self, before: int, busy: Collection[int] = ()) -> None:
        """Lets go of hidden series that no commit from that one on has used; of ``busy`` ones
        something is still to be booked."""
        for number in [each for each, used in self._used.items() if used < before]:
            if number not in busy:
                self._leave(self._hidden.pop(number))

    def _leave(self, series: Series) -> None:
        account = series.account
        del self._used[series.id], self._shown_as[series.id]
        if self._series.get((account, series.method)) is series:
            del self._series[account, series.method]
        if self._of_owner.get((account.gpu_uuid, account.owner)) == series.id:
            del self._of_owner[account.gpu_uuid, account.owner]
        digest = _digest(account)
        others = (each for each in self._left.get(digest, ()) if each[0] is not series.method)
        self._left[digest] = (*others, (series.method, series.id))
        self._folded[account] -= 1
        if not self._folded[account]:
            del self._folded[account]
        self._live.forget(series.id)


def _digest(account: Account) -> bytes:
    gpu_uuid, mig, component, owner = account
    return blake2b(canonical([gpu_uuid, mig, component, owner]), digest_size=16).digest()
