"""Snapshots in, the screen of ``submeter top`` out. Textual does the terminal; `view` the words."""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.widgets import DataTable, Footer, Input, Static

from submeter.top import view
from submeter.top.source import NoAnswer
from submeter.units import NS_PER_S

Ask = Callable[[], dict[str, Any]]

_PERIOD_S: Final = 1.0
_KEPT: Final = 120  # values of a sparkline
_COLUMNS: Final = ("workload", "phase", "watts", "energy", "GPUs", "sure", "who", "why")
_ROOMY: Final = 120  # columns from which the evidence has a place in the table
_LOW: Final = 36  # lines below which more than a few GPUs make way for details
_FEW: Final = 3
_THIN: Final = 100  # columns below which what power is used for may take two lines
_KEYS: Final = """\
↑ ↓        choose a workload              enter, d   details, with the evidence for its phase
s          next order                     w j p      by watts, joules, phase
/          filter by label or phase       space      pause
h          the last hour, by phase        esc        back
q          quit                           ?          this"""
_MOVES: Final = ("up", "down", "pageup", "pagedown", "home", "end")
_COLOURS: Final = {
    "training": "dodger_blue1",
    "inference": "orange3",
    "other": "green",
    "unknown": "magenta",
    "idle": "grey62",
    "unattributed": "grey62",
}


class Top(App[None]):
    """Owns the screen and what it has seen. ``ask`` gives the newest snapshot, ``ask_past`` the
    last hour; both may block and raise NoAnswer. ``period_s`` None: only when told to."""

    TITLE = "submeter"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: auto; text-style: bold; }
    #loud { height: auto; color: $warning; text-style: bold; }
    #phases { height: auto; margin-bottom: 1; }
    #gpus { height: auto; max-height: 50%; margin-bottom: 1; }
    .thin #phases { height: 2; margin-bottom: 0; }
    .low.with-more #gpus { display: none; }
    #workloads { height: 1fr; min-height: 4; }
    #more { height: auto; max-height: 40%; border-top: solid $secondary; display: none; }
    #filter { display: none; height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "sort"),
        Binding("w", "sort_by('watts')", "watts", show=False),
        Binding("j", "sort_by('joules')", "joules", show=False),
        Binding("p", "sort_by('phase')", "phase", show=False),
        Binding("d", "details", "details"),
        Binding("h", "past", "last hour"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("space", "pause", "pause"),
        Binding("question_mark", "keys", "keys", key_display="?"),
        Binding("escape", "leave", "back", show=False),
    ]

    def __init__(self, ask: Ask, ask_past: Ask, *, period_s: float | None = _PERIOD_S) -> None:
        super().__init__()
        self._ask = ask
        self._ask_past = ask_past
        self._period_s = period_s
        self._snapshot: dict[str, Any] | None = None
        self._past: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._shown: list[view.Workload] = []
        self._trouble = ""
        self._sort = view.SORTS[0]
        self._wanted = ""
        self._paused = False
        self._moved = False  # the cursor, by somebody: until then it stays on the first row
        self._more = ""  # "", "details", "past" or "keys"

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="loud", markup=False)
        yield Static(id="phases", markup=False)
        with VerticalScroll(id="gpus"):
            yield Static(id="gpu-lines", markup=False)
        yield DataTable(id="workloads", cursor_type="row", zebra_stripes=False)
        with VerticalScroll(id="more"):
            yield Static(id="more-lines", markup=False)
        yield Input(id="filter", placeholder="show only what has this in its labels or phase")
        yield Footer()

    def on_mount(self) -> None:
        self._table.focus()
        self.refresh_now()
        if self._period_s is not None:
            self.set_interval(self._period_s, self.refresh_now)

    def on_resize(self) -> None:
        self._draw()

    def refresh_now(self) -> None:
        """Asks the agent, without holding up the keyboard."""
        if not self._paused:
            self.run_worker(self._fetch, thread=True, exclusive=True, group="snapshot")

    # What keys do

    def action_sort(self) -> None:
        self.action_sort_by(view.SORTS[(view.SORTS.index(self._sort) + 1) % len(view.SORTS)])

    def action_sort_by(self, key: str) -> None:
        self._sort = key
        self._draw()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._draw()

    def action_details(self) -> None:
        self._show_more("details")

    def action_keys(self) -> None:
        self._show_more("keys")
        if self._more == "keys":
            self._say(_KEYS)

    def action_past(self) -> None:
        self._show_more("past")
        if self._more == "past":
            self._say("asking the ledger …")
            self.run_worker(self._fetch_past, thread=True, exclusive=True, group="past")

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_leave(self) -> None:
        field = self.query_one("#filter", Input)
        if field.display:
            field.value = ""
            field.display = False
            self._table.focus()
        elif self._more:
            self._show_more(self._more)

    def on_key(self, event: Key) -> None:
        self._moved |= event.key in _MOVES

    def on_click(self) -> None:
        self._moved = True

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self._draw()

    def on_input_submitted(self) -> None:
        self.query_one("#filter", Input).display = bool(self._wanted)
        self._table.focus()

    def on_data_table_row_selected(self) -> None:
        if self._more != "details":
            self.action_details()

    def on_data_table_row_highlighted(self) -> None:
        if self._more == "details":
            self._draw_details()

    # Asking

    def _fetch(self) -> None:
        try:
            snapshot = self._ask()
        except NoAnswer as error:
            self.call_from_thread(self._failed, str(error))
        else:
            self.call_from_thread(self._take, snapshot)

    def _fetch_past(self) -> None:
        try:
            lines = "\n".join(view.share_lines(self._ask_past()))
        except NoAnswer as error:
            lines = str(error)
        self.call_from_thread(self._told_past, lines)

    def _failed(self, trouble: str) -> None:
        self._trouble = trouble
        self._draw()

    def _take(self, snapshot: dict[str, Any]) -> None:
        self._trouble = ""
        self._snapshot = snapshot
        for gpu in snapshot["gpus"]:
            if gpu["up"] and gpu["power_watts"] is not None:
                self._past[gpu["uuid"]].append(gpu["power_watts"])
        self._draw()

    def _told_past(self, lines: str) -> None:
        if self._more == "past":
            self._say(lines)

    # Drawing

    @property
    def _table(self) -> "DataTable[Text]":
        table: DataTable[Text] = self.query_one("#workloads", DataTable)
        return table

    def _draw(self) -> None:
        loud = [self._trouble] if self._trouble else []
        snapshot = self._snapshot
        if snapshot is None:
            self._set("head", "submeter · waiting for the agent")
            self._set("loud", "\n".join(loud))
            return
        clock = f"{datetime.fromtimestamp(snapshot['wall_ns'] // NS_PER_S, UTC):%H:%M:%S} UTC"
        self._set("head", view.headline(snapshot, clock, self._sort, paused=self._paused))
        self._set("loud", "\n".join([*loud, *view.warnings(snapshot)]))
        many = len(snapshot["gpus"]) > _FEW
        self.screen.set_class(many and self.size.height < _LOW, "low")
        self.screen.set_class(self.size.width < _THIN, "thin")
        self._draw_phases(snapshot)
        width = max(self.query_one("#gpu-lines").size.width or self.size.width, 40)
        self._set("gpu-lines", "\n".join(view.gpu_lines(snapshot, self._past, width)))
        self._draw_table(snapshot)
        if self._more == "details":
            self._draw_details()

    def _draw_phases(self, snapshot: dict[str, Any]) -> None:
        shares = view.phase_shares(snapshot)
        line = Text("now " if shares else "", end="")
        for at, (phase, said) in enumerate(shares):
            line.append(" · " if at else "").append(phase, _COLOURS.get(phase, ""))
            line.append(f" {said}")
        self.query_one("#phases", Static).update(line)

    def _draw_table(self, snapshot: dict[str, Any]) -> None:
        table = self._table
        chosen = self._chosen()
        everybody = view.workloads(snapshot)
        self._shown = view.arranged(everybody, self._sort, self._wanted)
        hidden = sum(each.joules for each in everybody) - sum(each.joules for each in self._shown)
        wanted = len(_COLUMNS) - (self.size.width < _ROOMY)
        table.clear(columns=len(table.columns) != wanted)
        if not table.columns:
            for name in _COLUMNS[:wanted]:
                table.add_column(name, key=name)
        for workload, texts in zip(
            self._shown, view.rows(self._shown, Decimal(hidden)), strict=True
        ):
            cells = [Text(cell, no_wrap=True, overflow="ellipsis") for cell in texts]
            cells[1].stylize(_COLOURS.get(workload.phase, ""))
            for at in (2, 3):
                cells[at].justify = "right"
            table.add_row(*cells[:wanted], key=workload.key)
        keys = [workload.key for workload in self._shown]
        if self._moved and chosen is not None and chosen.key in keys:
            table.move_cursor(row=keys.index(chosen.key), animate=False)

    def _draw_details(self) -> None:
        chosen = self._chosen()
        self._say("nothing chosen" if chosen is None else "\n".join(view.details(chosen)))

    def _chosen(self) -> view.Workload | None:
        at = self._table.cursor_row
        return self._shown[at] if 0 <= at < len(self._shown) else None

    def _show_more(self, what: str) -> None:
        self._more = "" if self._more == what else what
        self.query_one("#more").display = bool(self._more)
        self.screen.set_class(bool(self._more), "with-more")
        if self._more == "details":
            self._draw_details()

    def _say(self, text: str) -> None:
        self._set("more-lines", text)

    def _set(self, name: str, text: str) -> None:
        widget = self.query_one(f"#{name}", Static)
        widget.update(Text(text, no_wrap=name == "gpu-lines", overflow="ellipsis"))
        if name == "loud":
            widget.display = bool(text)
