"""Rows of the ledger in, canonical bytes and their hashes out, and back.

A GPU's history is a chain of rows, each of which holds what every series gained in about ten
seconds; longer rows cover them a second time, without a gap and in the same order:

    tens     [1][2][3][4][5][6][7]…      one per 10 s
    minutes  [1       ][2       ]…       each the exact sum of the rows it covers
    hours    [1                 …
    days

Rows are only ever added, at the end. Each has a hash over its content and the hash of the row
before it, and a longer row's content has in it the hash of the last row it covers. So a row that
was changed, removed or exchanged shows, and when retention removes the oldest tens, the minutes
still vouch for those that are left.

A row's ``start_s`` is a label, from the wall clock: if that is set back, labels repeat, and rows
go on. Nothing that is summed depends on it.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from submeter.errors import SubmeterError

K = TypeVar("K")


class Level(NamedTuple):
    """A resolution: the name of its table and how long a row is, in seconds."""

    name: str
    width_s: int


LEVELS: Final = (
    Level("tens", 10),
    Level("minutes", 60),
    Level("hours", 3_600),
    Level("days", 86_400),
)
TOP: Final = len(LEVELS) - 1

HOURS: Final = 2
QUARTER_S: Final = 900
"""All clocks of the world differ by quarters of an hour: a row of hours also knows what was in each
quarter, so that days and hours of India or Nepal are read as fast as those of London."""

NO_COUNTER: Final = -1
MOST_COUNTER_UJ: Final = (1 << 63) - 1
"""What a row has room for: 292 years at a kilowatt. A counter that shows more shows nonsense."""

_FORMAT: Final = 1
_WITH_QUARTERS: Final = 2
_BODY: Final = struct.Struct("<BIIqqqqq")  # format, session, epoch, wall, boot, total, counter, ns
_COVER: Final = struct.Struct("<qqq32s")  # first and last of tens, last of the level below, hash
_TABLE: Final = struct.Struct("<HIBB")  # bytes of facts, series, bytes of an id and of an amount
_QUARTER: Final = struct.Struct("<Bq")  # which one, ns
_OPEN: Final = 255  # no level has that number
_PLACE: Final = struct.Struct("<BIqq")  # level, GPU, number, label


_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True)
NONSENSE: Final = (
    *(struct.error, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),  # JSON's 1e999, and its ten thousand brackets
)
"""What taking bytes apart may raise that no agent wrote."""


class BadRow(SubmeterError):
    """Bytes that no agent wrote, or that were changed since."""


class Cover(NamedTuple):
    """What a row of minutes, hours or days is the sum of."""

    first: int  # number of the first row of tens
    last: int  # … and of the last one
    below: int  # number of the last row of the level below
    below_hash: bytes


@dataclass(slots=True)
class Row:
    """What happened to one GPU in a while. Amounts are sums over it, the rest is of its end."""

    start_s: int  # the label: wall clock, seconds since 1970, a multiple of the level's width
    session: int = 0  # which start of the agent
    epoch: int = 0  # of the hardware counter
    end_wall_ns: int = 0
    end_ns: int = 0  # boot time
    total_uj: int = 0  # of the GPU since the ledger began
    counter_uj: int = NO_COUNTER  # the hardware counter as it was last read
    metered_ns: int = 0  # time whose energy is known
    facts: dict[str, int] = field(default_factory=dict)  # see `FACTS`; only those that are not 0
    energy_uj: dict[int, int] = field(default_factory=dict)  # by number of the series
    cover: Cover | None = None  # None for tens
    quarters: dict[int, "Row"] = field(default_factory=dict)  # of an hour; sums only

    @property
    def sum_uj(self) -> int:
        """All energy of the row."""
        return sum(self.energy_uj.values())

    def merge(self, other: "Row") -> None:
        """Adds a later row to this one."""
        self.go_on(other)
        self.add(other)

    def go_on(self, other: "Row") -> None:
        """Ends where a later row ends; its amounts are not added."""
        self.session, self.epoch = other.session, other.epoch
        self.end_wall_ns, self.end_ns = other.end_wall_ns, other.end_ns
        self.total_uj, self.counter_uj = other.total_uj, other.counter_uj
        self.metered_ns += other.metered_ns

    def add(self, other: "Row") -> None:
        """Adds the amounts of a row to this one."""
        add_all(self.facts, other.facts)
        add_all(self.energy_uj, other.energy_uj)

    def add_to_quarter(self, other: "Row") -> None:
        """Adds a shorter row of the same hour to the quarter that its label is in."""
        quarter = self.quarters.setdefault(quarter_of(other.start_s), Row(0))
        quarter.metered_ns += other.metered_ns
        quarter.add(other)


class Sealed(NamedTuple):
    """A finished row as it is stored: never changed again."""

    level: int
    gpu: int  # number of the GPU in this ledger
    seq: int  # counts the rows of this GPU and level, from 1
    start_s: int
    body: bytes
    hash: bytes = b""


FACTS: Final = (
    "suspect.",  # + SuspectReason: µJ that are in no total
    "unmetered.",  # + UnmeteredReason: ns
    "source.",  # + EnergySource: µJ that did not come from a hardware counter
    "unobserved",  # ns without an agent that watches, covered by a counter
    "clock_unsynced",  # number of tens whose label is of a clock that was not set yet
    "jitters",
    "resets",
    "stalls",
    "done.",  # + series + "." + unit: how much work was done (done.py)
)


def add_all(table: dict[K, int], more: Mapping[K, int]) -> None:
    """Adds amounts to a table by key."""
    get = table.get
    for key, amount in more.items():
        table[key] = get(key, 0) + amount


def quarter_of(start_s: int) -> int:
    """The quarter of its hour that a label is in."""
    return start_s % 3_600 // QUARTER_S


def genesis(ledger_id: str, backend: str, uuid: str, level: int) -> bytes:
    """What a chain's first row is hashed upon: it belongs to one GPU of one ledger."""
    return hashlib.sha256(canonical([ledger_id, backend, uuid, LEVELS[level].name])).digest()


def link(before: bytes, row: Sealed) -> bytes:
    """A row's hash: over the hash of the row before it, its place and its content."""
    place = _PLACE.pack(row.level, row.gpu, row.seq, row.start_s)
    return hashlib.sha256(before + place + row.body).digest()


def open_hash(before: bytes, gpu: int, start_s: int, body: bytes, state: str) -> bytes:
    """The hash of the row that is not over yet: the chain's end for now."""
    place = _PLACE.pack(_OPEN, gpu, 0, start_s)
    return hashlib.sha256(before + place + body + state.encode()).digest()


def canonical(value: object) -> bytes:
    """One byte string for one value: JSON without any choice left."""
    return _ENCODER.encode(value).encode()


def encode(row: Row, *, compact: bool = True) -> bytes:
    """A row's body. Zeros are left out, and the series are in order: equal rows, equal bytes.

    Compact ones have numbers as short as the largest needs; the others are for rows that are soon
    written anew, and made in a quarter of the time.
    """
    head = _BODY.pack(
        _WITH_QUARTERS if row.quarters else _FORMAT,
        row.session,
        row.epoch,
        row.end_wall_ns,
        row.end_ns,
        row.total_uj,
        row.counter_uj,
        row.metered_ns,
    )
    cover = b"" if row.cover is None else _COVER.pack(*row.cover)
    parts = [head, cover, *_amounts(row, compact=compact)]
    for which, quarter in sorted(row.quarters.items()):
        parts += [_QUARTER.pack(which, quarter.metered_ns), *_amounts(quarter, compact=compact)]
    return b"".join(parts)


def packed(row: Row) -> bytes:
    """The amounts of a row alone, as they are in its body."""
    return b"".join(_amounts(row, compact=True))


def unpacked(amounts: bytes) -> tuple[dict[str, int], dict[int, int]]:
    """Facts, and energy by series, of what `packed` gave; none of no bytes."""
    if not amounts:
        return {}, {}
    facts, energy_uj, _ = _read_amounts(amounts, 0)
    return facts, energy_uj


def _amounts(row: Row, *, compact: bool) -> tuple[bytes, ...]:
    facts = b""
    if row.facts:
        present = {name: amount for name, amount in row.facts.items() if amount}
        facts = canonical(present) if present else b""
    energy = row.energy_uj
    ids = sorted([series for series, amount in energy.items() if amount])
    amounts = [energy[series] for series in ids]
    if not compact:
        count = len(ids)
        packed = struct.pack(f"<{count}I{count}q", *ids, *amounts)
        return _TABLE.pack(len(facts), count, 4, 8), facts, packed
    id_bytes, packed_ids, amount_bytes, packed = _short(ids, amounts)
    return _TABLE.pack(len(facts), len(ids), id_bytes, amount_bytes), facts, packed_ids, packed


def _short(ids: list[int], amounts: list[int]) -> tuple[int, bytes, int, bytes]:
    id_bytes = max((ids[-1].bit_length() + 7) // 8, 1) if ids else 1
    widest = max(max(amounts, default=0), -min(amounts, default=0))
    amount_bytes = widest.bit_length() // 8 + 1  # with a sign
    packed_ids = b"".join([series.to_bytes(id_bytes, "little") for series in ids])
    packed = b"".join([amount.to_bytes(amount_bytes, "little", signed=True) for amount in amounts])
    return id_bytes, packed_ids, amount_bytes, packed


def decode(level: int, start_s: int, body: bytes) -> Row:
    """The row of a body. Raises BadRow for what `encode` would not have written."""
    try:
        row, end = _decode(level, start_s, body)
    except NONSENSE as error:
        raise BadRow(f"unreadable row: {error}") from error
    if end != len(body):
        raise BadRow(f"unreadable row: {len(body)} bytes instead of {end}")
    return row


def _decode(level: int, start_s: int, body: bytes) -> tuple[Row, int]:
    version, session, epoch, wall, boot, total, counter, metered = _BODY.unpack_from(body)
    if version not in {_FORMAT, _WITH_QUARTERS}:
        raise BadRow(f"unreadable row: format {version}")
    at = _BODY.size
    cover = None
    if level:
        cover = Cover(*_COVER.unpack_from(body, at))
        at += _COVER.size
    facts, energy, at = _read_amounts(body, at)
    row = Row(start_s, session, epoch, wall, boot, total, counter, metered, facts, energy, cover)
    while version == _WITH_QUARTERS and at < len(body):
        which, quarter_ns = _QUARTER.unpack_from(body, at)
        facts, energy, at = _read_amounts(body, at + _QUARTER.size)
        row.quarters[which] = Row(0, metered_ns=quarter_ns, facts=facts, energy_uj=energy)
    return row, at


def _read_amounts(body: bytes, at: int) -> tuple[dict[str, int], dict[int, int], int]:
    """Facts, energy by series, and where they end."""
    facts_bytes, count, id_bytes, amount_bytes = _TABLE.unpack_from(body, at)
    at += _TABLE.size
    facts = json.loads(body[at : at + facts_bytes]) if facts_bytes else {}
    at += facts_bytes
    middle = at + count * id_bytes
    end = middle + count * amount_bytes
    if end > len(body):
        raise BadRow("unreadable row: too short")
    get = int.from_bytes
    ids = [get(body[i : i + id_bytes], "little") for i in range(at, middle, id_bytes or 1)]
    amounts = [
        get(body[i : i + amount_bytes], "little", signed=True)
        for i in range(middle, end, amount_bytes or 1)
    ]
    return dict(facts), dict(zip(ids, amounts, strict=True)), end
