"""Rows in, the longer row that covers them out, in as little memory as that takes.

On a node where jobs come and go under ever new names, an hour and a day of everybody there was are
the most that the books remember. What is added to once an hour, or never again, lies here as it
will in the file: seven bytes a series, where dictionaries take a hundred and fifty.
"""

from submeter.ledger.rows import HOURS, Row, packed, quarter_of, unpacked


class Growing:
    """Owns a row of minutes, hours or days that is not over yet."""

    def __init__(self, level: int, start_s: int) -> None:
        self.start_s = start_s
        self._level = level
        self._row = Row(start_s)  # with amounts only where it is of minutes
        self._packed = b""  # the amounts of days
        self._quarters: dict[int, tuple[int, bytes]] = {}  # of an hour: metered_ns and amounts
        self._quarter = -1  # the one that is added to, which is not among them
        self._open = Row(0)

    def add(self, row: Row) -> None:
        """Adds a later row to it."""
        self._row.go_on(row)
        if self._level < HOURS:
            self._row.add(row)
        elif self._level == HOURS:
            self._turn_to(quarter_of(row.start_s))
            self._open.metered_ns += row.metered_ns
            self._open.add(row)
        else:
            whole = _open(0, self._packed)
            whole.add(row)
            self._packed = packed(whole)

    def whole(self) -> Row:
        """All of it, once nothing is added any more."""
        row = Row(self.start_s)
        row.merge(self._row)
        if self._level > HOURS:
            row.add(_open(0, self._packed))
        elif self._level == HOURS:
            self._turn_to(-1)
            for which, kept in sorted(self._quarters.items()):
                quarter = row.quarters[which] = _open(*kept)
                row.add(quarter)
        return row

    def _turn_to(self, quarter: int) -> None:
        if quarter == self._quarter:
            return
        if self._quarter >= 0:
            self._quarters[self._quarter] = self._open.metered_ns, packed(self._open)
        self._quarter, self._open = quarter, _open(*self._quarters.pop(quarter, (0, b"")))


def _open(metered_ns: int, amounts: bytes) -> Row:
    facts, energy_uj = unpacked(amounts)
    return Row(0, metered_ns=metered_ns, facts=facts, energy_uj=energy_uj)
