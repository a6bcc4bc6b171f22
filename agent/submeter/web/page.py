"""A snapshot in, the live page out: plain HTML that is whole without any script.

The script (`assets/page.js`) puts newer states of ``<main>`` in, draws power as it comes from
``/events`` and asks ``/api/v1/history`` for the past.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from submeter.metrics.collect import node_power_mw
from submeter.model import Snapshot
from submeter.units import NS_PER_S
from submeter.web import figures
from submeter.web.card import card
from submeter.web.history import RANGES
from submeter.web.markup import meter, safe, stack, tiles
from submeter.web.sums import by_phase, is_idling, now_by_phase

_DOCUMENT: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>submeter</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/page.js" type="module"></script>
<noscript><meta http-equiv="refresh" content="2"></noscript>
</head>
<body>
<p id="lost" role="alert" hidden>No answer from the agent. What stands here is old.</p>
<main id="live">
{live}
</main>
<footer><a href="/metrics">metrics</a> <a href="/api/v1/snapshot">snapshot as JSON</a>
<a href="/-/ready">ready?</a></footer>
</body>
</html>
"""


def document(snapshot: Snapshot | None) -> bytes:
    """The whole page."""
    live = _WAITING if snapshot is None else _live(snapshot)
    return _DOCUMENT.format(live=live).encode()


def fragment(snapshot: Snapshot) -> bytes:
    """What changes on the page."""
    return _live(snapshot).encode()


_WAITING: Final = (
    '<h1>submeter</h1><p class="notice">The agent has just started and has measured nothing yet.'
    "</p>"
)
_PARTIAL: Final = "drawing now: not every GPU says"
_NO_GPU: Final = (
    '<section class="card"><h2>No GPU can be read now.</h2>'
    "<p>Why, and what to do: <code>submeter doctor</code>. The agent goes on looking.</p></section>"
)


def _live(snapshot: Snapshot) -> str:
    cards = "".join(card(gpu, snapshot) for gpu in snapshot.gpus)
    many = " many" if len(snapshot.gpus) > _MANY else ""
    grid = f'<div class="gpus{many}" id="gpus">{cards}</div>' if cards else _NO_GPU
    return f"{_top(snapshot)}\n{_warnings(snapshot)}\n{_node(snapshot)}\n{_PAST}\n{grid}"


_MANY: Final = 16
_PAST: Final = (
    '<section class="card" id="past" data-own aria-labelledby="past-name">'
    '<h2 id="past-name">Who used it</h2>'
    "<noscript><p>The past is drawn by a script. Without one: <code>submeter report</code>, or "
    '<a href="/api/v1/history">/api/v1/history</a>.</p></noscript>'
    '<form class="pick" hidden><fieldset><legend>time</legend>'
    + "".join(
        f'<label><input type="radio" name="range" value="{key}"'
        f"{' checked' if key == '1h' else ''}>{name}</label>"
        for key, (name, _) in RANGES.items()
    )
    + "</fieldset><fieldset><legend>by</legend>"
    '<label><input type="radio" name="by" value="phase" checked>phase</label>'
    '<label><input type="radio" name="by" value="workload">workload</label></fieldset></form>'
    '<canvas class="areas" hidden role="img" aria-label="Power over time, by what used it; '
    'the table below has the figures"></canvas>'
    '<p class="quiet" id="past-at"></p><div id="past-table"></div></section>'
)


def _top(snapshot: Snapshot) -> str:
    now = datetime.fromtimestamp(snapshot.wall_ns // NS_PER_S, UTC)
    running = figures.duration(snapshot.wall_ns - snapshot.started_wall_ns)
    return (
        "<header><h1>submeter</h1>"
        f'<p class="quiet"><span id="version">{safe(snapshot.version)}</span> · backend '
        f"{safe(snapshot.backend)} · running for {running} · "
        f"<time>{now:%Y-%m-%d %H:%M:%S} UTC</time></p></header>"
    )


def _warnings(snapshot: Snapshot) -> str:
    """What must be said loudly."""
    said = [snapshot.notice] if snapshot.notice else []
    down = [gpu.info.index for gpu in snapshot.gpus if not gpu.up]
    if snapshot.gpus and len(down) == len(snapshot.gpus):
        said.append("BLIND: no GPU can be read. The totals below are old; nothing is made up.")
    elif down:
        said.append(f"GPU {', '.join(map(str, down))} can't be read.")
    broken = [name for name, up in snapshot.components_up.items() if not up]
    if broken:
        said.append(f"Not working: {', '.join(broken)}.")
    return "".join(f'<p class="notice">{safe(each)}</p>' for each in said)


def _node(snapshot: Snapshot) -> str:
    draw_mw = node_power_mw(snapshot)
    total_uj = sum(gpu.energy_uj for gpu in snapshot.gpus)
    items = [
        ("drawing now" if draw_mw is not None else _PARTIAL, figures.watts(draw_mw)),
        ("metered since the ledger began", figures.energy(total_uj)),
        ("GPUs readable", f"{sum(gpu.up for gpu in snapshot.gpus)} of {len(snapshot.gpus)}"),
        *_idling(snapshot),
    ]
    bar = ""
    budget_mw = snapshot.power_budget_mw
    if budget_mw is not None:
        left_mw = None if draw_mw is None else budget_mw - draw_mw
        items.append((f"left of {figures.watts(budget_mw)}", figures.watts(left_mw)))
        over = "over" if left_mw is not None and left_mw < 0 else "within"
        bar = "" if draw_mw is None else meter(draw_mw, budget_mw, over)
    uuids = {gpu.info.uuid for gpu in snapshot.gpus}
    now = stack(now_by_phase(snapshot, uuids), "phase", power=True, sum_of="all GPUs")
    return (
        '<section class="card node" id="node" aria-labelledby="node-name">'
        f'<h2 id="node-name">This node</h2>{tiles(items)}{bar}'
        '<canvas class="trace" id="node-trace" data-own data-gpu="all" '
        f'data-limit="{(budget_mw or 0) // 1000}" role="img" '
        'aria-label="Power of all GPUs over the last minute"></canvas>'
        f"{_footprint(snapshot)}<h3>Power by phase, in the last second</h3>{now}"
        f"<h3>Energy by phase, since the ledger began</h3>"
        f"{stack(by_phase(snapshot, uuids), 'phase', sum_of='= the counters')}</section>"
    )


def _footprint(snapshot: Snapshot) -> str:
    """What the energies came to; nothing where no factor is configured."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for (kind, currency, _phase), amount in snapshot.footprint.items():
        sums[kind, currency] += amount
    items = [
        (_KINDS[kind].name, _KINDS[kind].shown(amount, currency))
        for (kind, currency), amount in sums.items()
        if kind in _KINDS
    ]
    return f"<h3>What that came to, since the ledger began</h3>{tiles(items)}" if items else ""


class _Kind(NamedTuple):
    name: str
    shown: Callable[[int, str], str]


_KINDS: Final[Mapping[str, _Kind]] = {
    "facility_uj": _Kind("of the whole facility (PUE)", lambda amount, _: figures.energy(amount)),
    "carbon_ug": _Kind("of CO2 equivalent", lambda amount, _: figures.mass(amount)),
    "water_ul": _Kind("of water", lambda amount, _: figures.volume(amount)),
    "cost_micro": _Kind("of cost", lambda amount, currency: f"{amount / 1e6:,.2f} {currency}"),
}


def _idling(snapshot: Snapshot) -> list[tuple[str, str]]:
    """The GPUs that somebody holds for nothing now."""
    idling = [str(gpu.info.index) for gpu in snapshot.gpus if is_idling(gpu)]
    if not any(gpu.processes for gpu in snapshot.gpus):
        return []
    return [("held, but idle now", f"GPU {', '.join(idling)}" if idling else "none")]
