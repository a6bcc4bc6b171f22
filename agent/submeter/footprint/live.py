"""An address that speaks as Electricity Maps does in, the carbon intensity of now out as a factor.

``GET …/v3/carbon-intensity/latest?zone=DE`` with the header ``auth-token`` answers
``{"zone": "DE", "carbonIntensity": 302, "datetime": "2026-04-25T18:00:00.000Z", …}``
(https://portal.electricitymaps.com/docs). What is no such answer, or too old, is no factor.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.errors import InputError, SubmeterError
from submeter.footprint.factors import Factor, Quantity, micro
from submeter.footprint.history import ROW_S
from submeter.outbound import OPENER
from submeter.text import printable
from submeter.urls import asked_at

PATIENCE_S: Final = 10.0
MOST_BYTES: Final = 1 << 20
_NONSENSE: Final = (
    *(ValueError, KeyError, TypeError),
    *(AttributeError, RecursionError, OverflowError),
)
_AHEAD_S: Final = 3_600  # clocks differ, and an hour is named by its beginning
_QUOTED: Final = 120
_TOO_MANY: Final = 429
_LONGEST_S: Final = 3_600


class NoFactor(SubmeterError):
    """Nothing usable came. ``again_s``: how long the server wants to be left alone."""

    def __init__(self, message: str, again_s: float = 0.0) -> None:
        super().__init__(message)
        self.again_s = again_s


class Place(NamedTuple):
    """Where to ask, and for how long an answer is believed."""

    url: str
    token: str = ""
    max_age_s: int = 7_200
    patience_s: float = PATIENCE_S

    @property
    def zone(self) -> str:
        """The zone that the address names; "" if it names none."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.url).query)
        return query.get("zone", [""])[0]

    @property
    def host(self) -> str:
        """Whom it asks."""
        return urllib.parse.urlsplit(self.url).hostname or ""


def place(url: str, token_file: Path | None, max_age_s: int) -> Place:
    """Where to ask. Raises InputError for no address that can be asked, or no token."""
    if asked_at(url) is None:
        raise InputError(
            "expected an address such as "
            "https://api.electricitymaps.com/v3/carbon-intensity/latest?zone=DE"
        )
    if token_file is None:
        return Place(url, "", max_age_s)
    try:
        token = token_file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token can't be read: {error}", source=str(token_file)) from error
    if not token or not token.isprintable():
        raise InputError("expected a token on one line", source=str(token_file))
    return Place(url, token, max_age_s)


def ask(where: Place, now_s: int) -> Factor:
    """The carbon intensity of now, valid until it is too old. Raises NoFactor."""
    request = urllib.request.Request(where.url, headers={"Accept": "application/json"})  # noqa: S310
    if where.token:
        request.add_unredirected_header("auth-token", where.token)
    try:
        with OPENER.open(request, timeout=where.patience_s) as response:
            content = response.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise NoFactor(f"HTTP {error.code}", _again_s(error)) from error
    except TimeoutError as error:
        raise NoFactor(f"no answer within {where.patience_s:g} s") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoFactor(f"can't be reached: {printable(str(reason))[:_QUOTED]}") from error
    return parse(content, where, now_s)


def parse(content: bytes, where: Place, now_s: int) -> Factor:
    """What an answer says. Raises NoFactor where that is nothing, absurd, of somewhere else, or of
    another time."""
    try:
        said: Any = json.loads(content[:MOST_BYTES])
        value = micro(Quantity.CARBON, said["carbonIntensity"])
        zone = str(said.get("zone", ""))
        at = datetime.fromisoformat(said["datetime"])
        measured_s = int(at.timestamp()) if at.tzinfo is not None else None
    except _NONSENSE as error:
        raise NoFactor(f"no carbon intensity: {printable(repr(error))[:_QUOTED]}") from error
    if measured_s is None:
        raise NoFactor("its datetime has no offset")
    if where.zone and zone and zone != where.zone:
        raise NoFactor(f"asked for {where.zone}, answered for {printable(zone)[:_QUOTED]}")
    if measured_s > now_s + _AHEAD_S:
        raise NoFactor(f"of a time to come: {at.isoformat()}")
    if measured_s + where.max_age_s <= now_s:
        raise NoFactor(f"stale: of {at.isoformat()}, {(now_s - measured_s) // 60} minutes ago")
    kind = ", estimated" if said.get("isEstimated") is True else ""
    source = printable(f"{where.host}{f', {zone}' if zone else ''}{kind}")[:_QUOTED]
    return Factor(
        *(Quantity.CARBON, value, source, at.isoformat()),
        from_s=now_s // ROW_S * ROW_S,
        until_s=measured_s + where.max_age_s,
        measured_s=measured_s,
    )


def _again_s(error: urllib.error.HTTPError) -> float:
    """What a 429 or 503 says in Retry-After, in seconds; an hour at most."""
    wanted = error.headers.get("Retry-After", "") if error.headers else ""
    if wanted.isascii() and wanted.isdigit():
        return min(float(wanted[:9]), _LONGEST_S)
    return 60.0 if error.code == _TOO_MANY else 0.0
