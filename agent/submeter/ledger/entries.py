"""An interval in, a row of its own out, without who used its energy."""

from submeter.ledger.rows import MOST_COUNTER_UJ, NO_COUNTER, Row
from submeter.model import CounterState, EnergySource, Interval


def entry_of(interval: Interval) -> Row:
    """An interval as a row of its own."""
    metered_ns, facts = _odd(interval)
    if not interval.observed and metered_ns:
        facts["unobserved"] = metered_ns
    if interval.source is not EnergySource.COUNTER and interval.energy_uj:
        facts[f"source.{interval.source}"] = interval.energy_uj
    state = interval.state
    return Row(
        0,
        epoch=interval.epoch,
        end_ns=interval.end_ns,
        counter_uj=NO_COUNTER if state is None else _shown_uj(state.counter),
        metered_ns=metered_ns,
        facts=facts,
    )


def _odd(interval: Interval) -> tuple[int, dict[str, int]]:
    """How much of its time is metered, and what was odd: nothing, nearly always."""
    metered_ns = interval.end_ns - interval.start_ns
    facts = {}
    for suspect, energy_uj in interval.suspect_uj:
        if energy_uj:
            facts[f"suspect.{suspect}"] = energy_uj
    for reason, duration_ns in interval.unmetered_ns:
        metered_ns -= duration_ns
        if duration_ns:
            facts[f"unmetered.{reason}"] = duration_ns
    if interval.jitters:
        facts["jitters"] = interval.jitters
    if interval.resets:
        facts["resets"] = interval.resets
    if interval.stalls:
        facts["stalls"] = interval.stalls
    return max(metered_ns, 0), facts


def _shown_uj(counter: CounterState | None) -> int:
    """What the counter showed; nothing where it never was read, or showed what can't be."""
    if counter is None or counter.raw_uj > MOST_COUNTER_UJ:
        return NO_COUNTER
    return counter.raw_uj
