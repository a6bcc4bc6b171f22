"""An interval in, a row of its own out, without who used its energy."""

from submeter.ledger.rows import MOST_COUNTER_UJ, NO_COUNTER, Row
from submeter.model import CounterState, EnergySource, Interval


def entry_of(interval: Interval) -> Row:
    """An interval as a row of its own."""
    unmetered_ns = sum(duration_ns for _, duration_ns in interval.unmetered_ns)
    duration_ns = interval.end_ns - interval.start_ns
    facts = {
        **{f"suspect.{reason}": amount for reason, amount in interval.suspect_uj},
        **{f"unmetered.{reason}": amount for reason, amount in interval.unmetered_ns},
        "jitters": interval.jitters,
        "resets": interval.resets,
        "stalls": interval.stalls,
    }
    if not interval.observed:
        facts["unobserved"] = max(duration_ns - unmetered_ns, 0)
    if interval.source is not EnergySource.COUNTER:
        facts[f"source.{interval.source}"] = interval.energy_uj
    state = interval.state
    return Row(
        0,
        epoch=interval.epoch,
        end_ns=interval.end_ns,
        counter_uj=NO_COUNTER if state is None else _shown_uj(state.counter),
        metered_ns=max(duration_ns - unmetered_ns, 0),
        facts={name: amount for name, amount in facts.items() if amount},
    )


def _shown_uj(counter: CounterState | None) -> int:
    """What the counter showed; nothing where it never was read, or showed what can't be."""
    if counter is None or counter.raw_uj > MOST_COUNTER_UJ:
        return NO_COUNTER
    return counter.raw_uj
