"""A state directory and a question in, the report out; whether an agent is writing or not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from submeter.footprint.rates import Schedule
from submeter.ledger.book import SYNCED_FROM_S
from submeter.ledger.pieces import Piece
from submeter.ledger.reader import Reader, Total, open_reader
from submeter.reports.calendar import Bucket, bucket_unit, buckets, edges
from submeter.reports.question import Question
from submeter.reports.record import Origin, Report
from submeter.reports.tally import Tally
from submeter.units import NS_PER_S

Progress = Callable[[float], None]
"""Is told which share of the work is done, 0…1."""

_TELL_EVERY: Final = 256
_LONGEST_ROW_S: Final = 86_400
_JUST_NOW_S: Final = 60  # an agent that booked so lately is running


def from_ledger(
    directory: Path, question: Question, now_s: int, progress: Progress | None = None
) -> Report:
    """What a ledger says. Raises StateUnusable where there is none, or it is damaged."""
    with open_reader(directory) as reader:
        totals = reader.totals()
        since_s, until_s = _stretch(question, totals, now_s)
        found = _buckets(question, since_s, until_s, totals)
        schedule = Schedule(question.factors, since_s, until_s)
        tally = Tally(question, found, schedule if question.factors.layers else None)
        tally.know(reader.gpus)
        tally.name(reader.series)
        cuts = [*edges(found), *schedule.edges]
        done = _Done(reader, since_s, until_s)
        for count, piece in enumerate(reader.pieces(since_s, until_s, cuts)):
            tally.add(piece)
            if progress is not None and count % _TELL_EVERY == 0:
                progress(done.share(piece))
        origin = Origin("ledger", reader.backend, tuple(_notes(reader, totals, question)))
        period_ns = _period_ns(totals, _began_s(reader), since_s, min(until_s, now_s))
        quality = tally.quality(period_ns)
        return tally.report(origin, quality, now_s, since_s if totals else None, until_s)


def _stretch(question: Question, totals: list[Total], now_s: int) -> tuple[int, int]:
    """What is asked for, in full. Without an end it is everything there is: rows of a clock that
    was ahead, too."""
    since_s, until_s = question.since_s, question.until_s
    if since_s is None:
        since_s = min((total.first_s for total in totals), default=now_s)
    if until_s is None:
        until_s = max([now_s, *(total.last_s for total in totals)])
    return since_s, max(until_s, since_s)


def _buckets(question: Question, since_s: int, until_s: int, totals: list[Total]) -> list[Bucket]:
    """The stretches of time to tell apart, only where the ledger can have rows."""
    begin_s = max(since_s, SYNCED_FROM_S, min((total.first_s for total in totals), default=0))
    end_s = min(until_s, max((total.last_s for total in totals), default=0))
    unit = bucket_unit(question.unit, begin_s, end_s, timeline=question.timeline)
    if unit is None or end_s <= begin_s:
        return []
    return buckets(unit, begin_s, end_s, question.zone)


def _began_s(reader: Reader) -> int:
    """When the first agent of this ledger was started."""
    starts = (each.wall_ns for each in reader.sessions if each.backend == reader.backend)
    return next(starts, 0) // NS_PER_S


def _period_ns(totals: list[Total], began_s: int, since_s: int, until_s: int) -> int | None:
    """How long the GPUs were to be metered, whether an agent ran or not: each from its first row
    on, and where that is of a time before ``began_s``, from then on. None where the clock doesn't
    tell."""
    if any(total.first_s < SYNCED_FROM_S for total in totals):
        return None
    period_s = 0
    for total in totals:
        alive = 0 <= until_s - total.last_s <= _JUST_NOW_S
        end_s = total.last_s if alive else until_s
        within_first = 0 <= began_s - total.first_s < _LONGEST_ROW_S
        first_s = began_s if within_first else total.first_s
        period_s += max(0, end_s - max(since_s, first_s))
    return period_s * NS_PER_S


def _notes(reader: Reader, totals: list[Total], question: Question) -> Iterator[str]:
    first_s = min((total.first_s for total in totals), default=None)
    if first_s is None:
        yield "Nothing was ever metered in this ledger."
    elif question.since_s is not None and question.since_s < first_s:
        begin = question.zone.local(first_s).isoformat(sep=" ", timespec="seconds")
        yield f"The ledger begins at {begin}: it knows nothing of the time before."
    if reader.newer:
        yield (
            f"This ledger is of version {reader.newer}, written by a newer submeter: what it keeps "
            "elsewhere than this one does, as the newest hour may be, is not in this report."
        )
    others = [backend for backend in reader.backends if backend != reader.backend]
    if others:
        yield f"Not in this report: the GPUs of {', '.join(others)} in the same ledger."


class _Done(NamedTuple):
    """How far reading has come: GPU by GPU, each from its oldest row."""

    reader: Reader
    since_s: int
    until_s: int

    def share(self, piece: Piece) -> float:
        at = self.reader.gpus.index(piece.gpu)
        within = (piece.start_s - self.since_s) / max(self.until_s - self.since_s, 1)
        return (at + min(max(within, 0.0), 1.0)) / len(self.reader.gpus)
