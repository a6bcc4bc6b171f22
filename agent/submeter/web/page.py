"""A snapshot in, the live page out: plain HTML that is whole without any script.

The script (`assets/page.js`) puts newer states of ``<main>`` in, draws power as it comes from
``/events`` and asks ``/api/v1/history`` for the past.
"""

from datetime import UTC, datetime
from typing import Final

from submeter.metrics.budget import doubt
from submeter.model import Snapshot
from submeter.units import NS_PER_S
from submeter.web import figures
from submeter.web.card import card
from submeter.web.day import section as day_section
from submeter.web.history import RANGES
from submeter.web.markup import safe
from submeter.web.midnight import Day
from submeter.web.node import overview
from submeter.web.node import section as node_section
from submeter.web.sums import by_gpu
from submeter.web.work import section as work_section

_DOCUMENT: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="What the GPUs of this node do with their power">
<title>{title}</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<link rel="modulepreload" href="/charts.js"><link rel="modulepreload" href="/past.js">
<script src="/page.js" type="module"></script>
<noscript><meta http-equiv="refresh" content="2"></noscript>
</head>
<body>
<a class="skip" href="#gpus">To the GPUs</a>
<p id="lost" role="alert" hidden>No answer from the agent. What stands here is old.</p>
<p id="refused" role="status" hidden>Not live: the agent has no room for one more page. Figures are
renewed every two seconds; power is drawn again as soon as there is room.</p>
<main id="live">
{live}
</main>
<footer><a href="/metrics">metrics</a> <a href="/api/v1/snapshot">snapshot as JSON</a>
<a href="/-/ready">ready?</a></footer>
</body>
</html>
"""


def document(snapshot: Snapshot | None, day: Day | None = None, host: str = "") -> bytes:
    """The whole page. ``host``: what this machine is called."""
    live = _WAITING if snapshot is None else _live(snapshot, day, host)
    title = f"{safe(host)} · submeter" if host else "submeter"
    return _DOCUMENT.format(live=live, title=title).encode()


def fragment(snapshot: Snapshot, day: Day | None = None, host: str = "") -> bytes:
    """What changes on the page."""
    return _live(snapshot, day, host).encode()


_WAITING: Final = (
    '<h1>submeter</h1><p class="notice">The agent has just started and has measured nothing yet.'
    "</p>"
)
_NO_GPU: Final = (
    '<section class="card" id="gpus"><h2>No GPU can be read now.</h2>'
    "<p>Why, and what to do: <code>submeter doctor</code>. The agent goes on looking.</p></section>"
)
_MANY: Final = 16


def _live(snapshot: Snapshot, day: Day | None, host: str) -> str:
    sums = by_gpu(snapshot)
    cards = "".join(card(gpu, sums[gpu.info.uuid]) for gpu in snapshot.gpus)
    many = " many" if len(snapshot.gpus) > _MANY else ""
    grid = f'<div class="gpus{many}" id="gpus">{cards}</div>' if cards else _NO_GPU
    return (
        f"{_top(snapshot, host)}\n{_warnings(snapshot)}\n"
        f'<div class="pair" id="pair">{node_section(snapshot, sums)}\n'
        f"{day_section(snapshot, day, sums)}</div>\n{_PAST}\n{work_section(snapshot, sums)}\n"
        f"{overview(snapshot, sums)}{grid}"
    )


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
    '<div class="drawn"><div><canvas class="areas" hidden role="img" aria-label="Power over time, '
    'by what used it; the table beside it has the figures"></canvas>'
    '<p class="quiet" id="past-point" hidden></p><p class="quiet" id="past-at">Reading the ledger…'
    '</p></div><div id="past-table"></div></div></section>'
)


def _top(snapshot: Snapshot, host: str) -> str:
    now = datetime.fromtimestamp(snapshot.wall_ns // NS_PER_S, UTC)
    running = figures.duration(snapshot.wall_ns - snapshot.started_wall_ns)
    where = f'<span class="host">{safe(host)}</span>' if host else ""
    return (
        f'<header data-sequence="{snapshot.sequence}"><h1>submeter{where}</h1>'
        f'<p class="quiet"><span id="version">{safe(snapshot.version)}</span> · backend '
        f"{safe(snapshot.backend)} · running for {running} · "
        f"<time>{now:%Y-%m-%d %H:%M:%S} UTC</time></p></header>"
    )


def _warnings(snapshot: Snapshot) -> str:
    """What must be said loudly."""
    said = [snapshot.notice] if snapshot.notice else []
    down = [gpu.info.index for gpu in snapshot.gpus if not gpu.up]
    if not snapshot.gpus:
        said.append("BLIND: no GPU can be read.")
    elif len(down) == len(snapshot.gpus):
        said.append("BLIND: no GPU can be read. The totals below are old; nothing is made up.")
    elif down:
        said.append(f"GPU {', '.join(map(str, down))} can't be read.")
    broken = [name for name, up in snapshot.components_up.items() if not up]
    if broken:
        said.append(f"Not working: {', '.join(broken)}.")
    budget = doubt(snapshot.power_budget_mw, snapshot.gpus)
    if budget:
        said.append(f"{budget}.")
    return "".join(f'<p class="notice">{safe(each)}</p>' for each in said)
