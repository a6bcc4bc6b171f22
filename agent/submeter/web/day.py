"""A snapshot and the day's beginning in, what the live page says of energies out.

Costs, carbon and water are only there where somebody configured what a kWh comes to.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from submeter.footprint.factors import LIMITS, MILLION, Quantity
from submeter.model import Phase, Snapshot
from submeter.units import NS_PER_S
from submeter.web import figures
from submeter.web.markup import Tile, hint, stack, tiles
from submeter.web.midnight import Amounts, Day
from submeter.web.sums import GpuSums, named, together


def section(snapshot: Snapshot, day: Day | None, sums: Mapping[str, GpuSums]) -> str:
    """Since midnight, and since the ledger began."""
    name = "Today" if day is None else _name(day)
    return (
        '<section class="card day" id="day" aria-labelledby="day-name">'
        f'<h2 id="day-name">{name}</h2>{_today(day)}{_ever(snapshot, sums)}'
        f"{hint('how sure?', _sure(snapshot), 'day-sure')}</section>"
    )


def _name(day: Day) -> str:
    begin = datetime.fromtimestamp(day.begin_s).astimezone()
    if day.is_whole:
        return f"Since midnight <span>00:00 {begin:%Z}</span>"
    return f"Since midnight <span>the ledger began at {begin:%H:%M %Z}</span>"


def _today(day: Day | None) -> str:
    if day is None:
        return '<p class="quiet">Reading the ledger: what was used until midnight…</p>'
    total_uj = sum(day.energy_uj.values())
    if not total_uj:
        return '<p class="quiet">Nothing has been metered yet.</p>'
    phases: dict[Phase, int] = defaultdict(int)
    for (_uuid, phase), part_uj in day.energy_uj.items():
        phases[phase] += part_uj
    items: list[Tile] = [
        (f"energy = {figures.joules(total_uj)}", figures.energy_figure(total_uj)),
        *_amounts(day.footprint),
    ]
    return tiles(items) + stack(named(phases), "phase", sum_of="= the counters")


def _ever(snapshot: Snapshot, by_gpu: Mapping[str, GpuSums]) -> str:
    parts = named(together(by_gpu[gpu.info.uuid].energy_uj for gpu in snapshot.gpus))
    total_uj = sum(gpu.energy_uj for gpu in snapshot.gpus)
    if not total_uj:
        return ""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for (kind, currency, _phase), amount in snapshot.footprint.items():
        sums[kind, currency] += amount
    items: list[Tile] = [
        (f"energy = {figures.joules(total_uj)}", figures.energy_figure(total_uj)),
        *_amounts(sums),
    ]
    began = ""
    if snapshot.since_wall_ns:
        begin = datetime.fromtimestamp(snapshot.since_wall_ns // NS_PER_S).astimezone()
        began = f", {begin:%d %b %Y %H:%M}"
    return (
        f'<details id="day-ever"><summary>Since the ledger began{began}</summary>'
        f"{tiles(items)}{stack(parts, 'phase', sum_of='= the counters')}</details>"
    )


def _amounts(amounts: Amounts) -> Iterator[Tile]:
    for (kind, currency), amount in amounts.items():
        if kind in _KINDS:
            name, text = _KINDS[kind]
            yield name, figures.Figure(text(amount, currency), str(amount))


class _Kind(NamedTuple):
    name: str
    shown: Callable[[int, str], str]


_KINDS: Final[Mapping[str, _Kind]] = {
    "facility_uj": _Kind("of the whole facility (PUE)", lambda amount, _: figures.energy(amount)),
    "carbon_ug": _Kind("of CO₂e", lambda amount, _: figures.mass(amount)),
    "water_ul": _Kind("of water", lambda amount, _: figures.volume(amount)),
    "cost_micro": _Kind("of cost", lambda amount, currency: f"{amount / 1e6:,.2f} {currency}"),
}


def _sure(snapshot: Snapshot) -> Iterator[str]:
    """How good the sums are, and what they were multiplied with."""
    yield "The sum is that of the GPUs' own counters, to the microjoule; the sensors: about ±5 %."
    methods: dict[str, int] = defaultdict(int)
    for gpu in snapshot.gpus:
        for method, energy_uj in gpu.energy_by_method_uj.items():
            methods[method] += energy_uj
    total_uj = sum(methods.values())
    if total_uj:
        shares = sorted(methods.items(), key=lambda item: -item[1])
        told = ", ".join(f"{figures.share(uj, total_uj)} {method}" for method, uj in shares if uj)
        yield f"How it was split: {told}."
    for quantity, currency, source, micro in snapshot.factors:
        unit = LIMITS[Quantity(quantity)].unit
        name = quantity.split("_")[0].upper() if quantity != "carbon_g_per_kwh" else "Carbon"
        yield (
            f"{name.capitalize() if quantity == 'price' else name}: "
            + " ".join(part for part in (f"{micro / MILLION:,.6g}", currency, unit) if part)
            + (f", {source}" if source else "")
            + "."
        )
