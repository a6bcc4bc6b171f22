"""Accounts in, the series that their energy is booked to out; who was hidden and left is forgotten.

Where jobs come and go under ever new names, most series are beyond ``max_series``: metrics have
them under "(other)", and only the file has them by name. Their history is in the file; in memory
they are for as long as somebody books to them. Of who left, a digest stays, so that a job that runs
every hour goes on with the series that it has, and doesn't use up what there may be of them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from submeter.ledger.left import DIGEST_BYTES, Left
from submeter.ledger.live import Live
from submeter.ledger.memory import OTHER
from submeter.ledger.records import Series
from submeter.ledger.rows import canonical
from submeter.model import Account, Method, Owner

IDLE: Final = 120
"""Commits, of which there is one a settlement: so long a hidden series is kept unused. To come back
later costs a look into the table of who left, and next to nothing else."""


@dataclass(slots=True)
class _Hidden:
    """``used``: the number of the last commit that booked to it."""

    series: Series
    shown_as: Account
    used: int


class Names:
    """Owns what must be known of each series to book to it. One thread."""

    def __init__(self, live: Live) -> None:
        self.count = 0
        """How many series there ever were."""
        self._live = live
        self._series: dict[tuple[Account, Method], Series] = {}
        self._of_owner: dict[tuple[str, Owner], int] = {}
        self._hidden: dict[int, _Hidden] = {}
        self._folded: dict[Account, int] = {}  # how many hidden series each has
        self._left = Left()  # … and had
        self._rests: dict[Account, Account] = {}  # what metrics show the hidden ones as

    def know(self, series: Series, number: int) -> None:
        """From now on it can be booked to. ``number``: of the commit."""
        self.count += 1
        self._keep(series, number)

    def back(self, account: Account, method: Method, gpu: int, number: int) -> Series | None:
        """The series of one who left and is here again."""
        known = self._left.series(_digest(account), method) if self._left else None
        if known is None:
            return None
        series = Series(known, gpu, account, method, 0)
        self._keep(series, number)
        return series

    def _keep(self, series: Series, number: int) -> None:
        account = series.account
        self._series[account, series.method] = series
        if not series.shown:
            self._hide(series, number)
        self._of_owner.setdefault((account.gpu_uuid, account.owner), series.id)
        self._live.know(series, self.shown_as(series))

    def _hide(self, series: Series, number: int) -> None:
        account = series.account
        owner = Owner(account.owner.phase, workload=OTHER)
        rest = account._replace(owner=owner)
        rest = self._rests.setdefault(rest, rest)
        self._hidden[series.id] = _Hidden(series, rest, number)
        known = account in self._folded or (bool(self._left) and _digest(account) in self._left)
        self._live.folded += not known
        self._folded[account] = self._folded.get(account, 0) + 1

    def find(self, account: Account, method: Method, number: int) -> Series | None:
        """The series of an account that is booked to now."""
        series = self._series.get((account, method))
        if series is not None and not series.shown:
            self._hidden[series.id].used = number
        return series

    def of_owner(self, gpu_uuid: str, owner: Owner, number: int) -> int | None:
        """A series of that owner on that GPU."""
        found = self._of_owner.get((gpu_uuid, owner))
        hidden = None if found is None else self._hidden.get(found)
        if hidden is not None:
            hidden.used = number
        return found

    def shown_as(self, series: Series) -> Account:
        """The account that metrics show it as."""
        return series.account if series.shown else self._hidden[series.id].shown_as

    def forget(self, before: int, busy: Collection[int] = ()) -> None:
        """Lets go of hidden series that no commit from that one on has used; of ``busy`` ones
        something is still to be booked."""
        for known, hidden in list(self._hidden.items()):
            if hidden.used < before and known not in busy:
                del self._hidden[known]
                self._leave(hidden.series)

    def _leave(self, series: Series) -> None:
        account = series.account
        if self._series.get((account, series.method)) is series:
            del self._series[account, series.method]
        if self._of_owner.get((account.gpu_uuid, account.owner)) == series.id:
            del self._of_owner[account.gpu_uuid, account.owner]
        self._left.add(_digest(account), series.method, series.id)
        self._folded[account] -= 1
        if not self._folded[account]:
            del self._folded[account]
        self._live.forget(series.id)


def _digest(account: Account) -> bytes:
    gpu_uuid, mig, component, owner = account
    return blake2b(canonical([gpu_uuid, mig, component, owner]), digest_size=DIGEST_BYTES).digest()
