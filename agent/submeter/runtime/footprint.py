"""A configuration in, the factors that this agent prices by out, noted for those who report."""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from submeter.clock import Clock
from submeter.config import Config
from submeter.errors import InputError
from submeter.footprint.factors import Factor
from submeter.footprint.history import note, note_live, read_history
from submeter.footprint.pricing import Pricer
from submeter.footprint.rates import Factors
from submeter.footprint.sources import configured
from submeter.units import NS_PER_S

if TYPE_CHECKING:
    from submeter.footprint import live

_log = logging.getLogger(__name__)

_STOP_S: Final = 0.5


def rows_of(config: Config) -> tuple[Factor, ...]:
    """What the configuration says. Raises InputError; asks codecarbon where a place is named."""
    place_of(config)
    return configured(config)


def place_of(config: Config) -> "live.Place | None":
    """Where to ask for the carbon intensity of now; None: nowhere. Raises InputError."""
    section = config.footprint
    if section.live_url is None:
        return None
    from submeter.footprint import live  # with urllib: 2 MB that only those pay who ask

    try:
        return live.place(section.live_url, section.live_token_file, int(section.live_max_age_s))
    except InputError as error:
        raise config.error("footprint.live_url", str(error)) from error


def pricer_of(config: Config, rows: tuple[Factor, ...], wall_ns: int) -> Pricer:
    """Prices at these rows from now on, and says so in the state directory."""
    try:
        note(config.state_dir, rows, wall_ns // NS_PER_S)
    except (OSError, InputError) as error:
        _log.error("the factors in use can't be noted for reports: %s", error)
    return Pricer(Factors((rows,) if rows else ()))


class LiveIntensity:
    """Owns the thread that asks for the carbon intensity of now. A good value is used until it is
    too old; then what the configuration says, or nothing."""

    def __init__(
        self,
        where: "live.Place",
        interval_s: float,
        directory: Path,
        clock: Clock,
        pricer: Pricer,
    ) -> None:
        self._where = where
        self._interval_s = interval_s
        self._directory = directory
        self._clock = clock
        self._pricer = pricer
        self._base = pricer.factors.layers
        self._last: Factor | None = None
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="carbon", daemon=True)

    @property
    def up(self) -> bool:
        """Whether a value is in use that is not too old."""
        return self._last is not None and self._last.is_valid(self._now_s())

    def start(self) -> None:
        """Begins to ask; what an agent before this one was told is used until then."""
        self._remember()
        self._thread.start()

    def stop(self) -> None:
        """Asks no more. A question that is open is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def refresh(self) -> float:
        """Asks once; how long to wait until the next time."""
        from submeter.footprint import live

        try:
            row = live.ask(self._where, self._now_s())
        except live.NoFactor as error:
            self._complain(str(error))
            return max(self._interval_s, error.again_s)
        if self._complaint:
            _log.info("%s tells the carbon intensity again", self._where.host)
            self._complaint = ""
        last = self._last
        if last is None or (last.micro, last.measured_s) != (row.micro, row.measured_s):
            self._use(row)
            try:
                note_live(self._directory, row)
            except OSError as error:
                _log.error("the carbon intensity can't be noted for reports: %s", error)
        return self._interval_s

    def _main(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.refresh())

    def _remember(self) -> None:
        try:
            rows = read_history(self._directory).rows
        except InputError:
            return
        now_s = self._now_s()
        for row in rows:
            if row.measured_s is not None and row.is_valid(now_s):
                self._use(row)

    def _use(self, row: Factor) -> None:
        self._last = row
        self._pricer.factors = Factors(((row,), *self._base))

    def _complain(self, reason: str) -> None:
        """Once for each reason: an outage is no flood of lines."""
        if reason.split(":")[0] != self._complaint:
            self._complaint = reason.split(":")[0]
            last = self._last
            using = (
                "none is used"
                if last is None or not self.up
                else f"the value of {last.dated} is used until it is too old"
            )
            _log.warning("no carbon intensity from %s: %s; %s", self._where.host, reason, using)

    def _now_s(self) -> int:
        return self._clock.wall_ns() // NS_PER_S
