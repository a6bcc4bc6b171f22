"""A configuration in, the factors that this agent prices by out, noted for those who report."""

import logging

from submeter.config import Config
from submeter.footprint.factors import Factor
from submeter.footprint.history import note
from submeter.footprint.pricing import Pricer
from submeter.footprint.rates import Factors
from submeter.footprint.sources import configured
from submeter.units import NS_PER_S

_log = logging.getLogger(__name__)


def pricer_of(config: Config, rows: tuple[Factor, ...], wall_ns: int) -> Pricer:
    """Prices at these rows from now on, and says so in the state directory."""
    try:
        note(config.state_dir, rows, wall_ns // NS_PER_S)
    except OSError as error:
        _log.error("the factors in use can't be noted for reports: %s", error)
    return Pricer(Factors((rows,) if rows else ()))


def rows_of(config: Config) -> tuple[Factor, ...]:
    """What the configuration says. Raises InputError; asks codecarbon where a place is named."""
    return configured(config)
