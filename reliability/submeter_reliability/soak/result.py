"""What a soak saw in; its figures against their bounds, and a picture, out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter_reliability.figures import Figure
from submeter_reliability.soak.watch import Sample, Slope, slope

WARM_UP: Final = 0.25
"""Of the time: by then every cache is as full as it gets, and the cap on series is reached."""


class Plan(NamedTuple):
    """What a soak is to be."""

    minutes: float = 60
    jobs: int = 200  # processes on the boards
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Started:
    """What the soak was made of."""

    quiet: Sample  # the agent before anybody came
    minutes: float
    jobs: int
    processes: int  # that there were, one after the other
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the agent ended, and what its ledger says."""

    code: int
    took_s: float
    metered_j: str
    ledger_ok: bool
    ledger_j: list[str]
    ledger_rows: int
    ledger_mib: float
    log_lines: int


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was seen."""

    samples: list[Sample]
    started: Started
    after: Sample  # when all clients had left
    crowd: dict[str, int]
    wrong_sums: list[str]
    error_j: dict[int, float]  # by GPU, of those whose truth is known
    ending: Ending

    @property
    def warm(self) -> list[Sample]:
        """The samples after the warm-up."""
        return [one for one in self.samples if one.at_s >= self.started.minutes * 60 * WARM_UP]

    @property
    def slope(self) -> Slope:
        """How fast the memory grows after the warm-up."""
        return slope(self.warm)

    def told(self) -> dict[str, Any]:
        """For machines."""
        told = {key: value for key, value in asdict(self).items() if key != "samples"}
        return told | {"slope": self.slope._asdict(), "figures": values(self)}


FIGURES: Final = (
    Figure("soak_minutes", "how long the soak was", at_least=60),
    Figure("soak_slope_mib_per_hour", "growth of the memory after the warm-up", at_most=1),
    Figure("soak_resident_mib", "the most memory at any moment", at_most=64),
    Figure("soak_fds_left_over", "descriptors more at the end than at the beginning", at_most=0),
    Figure("soak_threads_left_over", "threads more at the end than at the beginning", at_most=0),
    Figure("soak_fds", "the most open descriptors at any moment", at_most=64),
    Figure("soak_scrapes_with_wrong_sums", "scrapes whose parts aren't the total", at_most=0),
    Figure("soak_ledger_differs_uj", "the ledger less what was metered", at_most=0),
    Figure("soak_ledger_problems", "what `submeter verify` finds", at_most=0),
    Figure("soak_counter_differs_j", "GPUs' joules less what they drew, at worst", at_most=140),
    Figure("soak_end_s", "from SIGTERM to the end", at_most=5),
)


def values(result: Result) -> dict[str, float]:
    """A value for each figure."""
    ending, quiet = result.ending, result.started.quiet
    booked = sum(map(Decimal, ending.ledger_j), Decimal(0))
    return {
        "soak_minutes": result.after.at_s / 60,
        "soak_slope_mib_per_hour": result.slope.mib_per_hour,
        "soak_resident_mib": max(one.resident_mib for one in result.samples),
        "soak_fds_left_over": result.after.descriptors - quiet.descriptors,
        "soak_threads_left_over": result.after.threads - quiet.threads,
        "soak_fds": max(one.descriptors for one in result.samples),
        "soak_scrapes_with_wrong_sums": len(result.wrong_sums),
        "soak_ledger_differs_uj": float(abs(booked - Decimal(ending.metered_j or 0)) * 10**6),
        "soak_ledger_problems": 0 if ending.ledger_ok else 1,
        "soak_counter_differs_j": max(map(abs, result.error_j.values())),
        "soak_end_s": ending.took_s,
    }


def save_samples(path: Path, samples: Sequence[Sample]) -> None:
    """A CSV file with a line for each sample."""
    rows = [",".join(Sample._fields), *(",".join(f"{value:g}" for value in one) for one in samples)]
    path.write_text("\n".join(rows) + "\n")


# ---- the picture ----

_WIDTH: Final = 920
_LEFT: Final = 70
_PANEL_W: Final = 826
_PANEL_H: Final = 120
_ROW: Final = 168
_TOP: Final = 84
_STYLE: Final = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; --paper: #ffffff;
  --ink: #1c2128; --soft: #5b6470; --grid: #e3e6ea; --line: #0b62c4; --band: #f3f5f8; }
@media (prefers-color-scheme: dark) { svg { --paper: #14181d; --ink: #e8ebef; --soft: #9aa4b0;
  --grid: #2b323a; --line: #62aaff; --band: #1b2127; } }
text { fill: var(--ink); } .soft { fill: var(--soft); font-size: 12px; }
.paper { fill: var(--paper); }
.title { font-size: 17px; font-weight: 600; } .head { font-weight: 600; }
.grid { stroke: var(--grid); } .line { fill: none; stroke: var(--line); stroke-width: 1.5; }
.band { fill: var(--band); } .end { text-anchor: end; } .middle { text-anchor: middle; }
"""
_PANELS: Final = (
    ("resident memory, MiB", "resident_mib", 64.0),
    ("open descriptors", "descriptors", 64.0),
    ("threads", "threads", 32.0),
)


def picture(result: Result) -> str:
    """Memory, descriptors and threads over the time, as SVG; the warm-up is shaded."""
    height = _TOP + _ROW * len(_PANELS) + 8
    grows = result.slope
    title = f"The agent over {result.started.minutes:g} minutes of churn and faults"
    said = (
        f"after the warm-up (shaded) the memory grows by {grows.mib_per_hour:.2f} MiB an hour "
        f"(95 %: up to {grows.upper:.2f}); {result.started.processes} processes, "
        f"{len(result.started.faults)} faults, {result.crowd.get('scrape', 0)} scrapes"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text x="24" y="32" class="title">{escape(title)}</text>',
        f'<text x="24" y="54" class="soft">{escape(said)}</text>',
    ]
    for row, (name, attribute, top) in enumerate(_PANELS):
        values = [(one.at_s, float(getattr(one, attribute))) for one in result.samples]
        parts += _panel(_TOP + row * _ROW, name, values, top, result.started.minutes)
    return "\n".join(parts) + "\n</svg>\n"


def _panel(
    y: float, name: str, values: Sequence[tuple[float, float]], top: float, minutes: float
) -> list[str]:
    top = max(top, *(value for _, value in values))
    floor = y + 16 + _PANEL_H

    def at(seconds: float, value: float) -> tuple[float, float]:
        return _LEFT + _PANEL_W * seconds / (minutes * 60), floor - _PANEL_H * value / top

    line = " ".join(f"{x:.1f},{up:.1f}" for x, up in (at(*value) for value in values))
    parts = [
        f'<rect class="band" x="{_LEFT}" y="{y + 16}" width="{_PANEL_W * WARM_UP:.0f}" '
        f'height="{_PANEL_H}"/>',
        f'<text x="{_LEFT}" y="{y + 8}" class="head">{name}</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, up = at(0, top * share)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PANEL_W}" y1="{up:.1f}" y2="{up:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{up + 4:.1f}" class="soft end">{top * share:g}</text>'
        )
        x, _ = at(minutes * 60 * share, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{floor + 16}" class="soft middle">{minutes * share:g} min</text>'
        )
    return [*parts, f'<polyline class="line" points="{line}"/>']
