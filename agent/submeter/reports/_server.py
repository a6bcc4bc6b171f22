"""A query in, what a server with Prometheus's API answers out; or why there is no answer.

HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/. Only http and https, no
redirects (an answer must come from the server that was named), limited in time and size. A
password in the URL is sent as Basic authorisation and never shown.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final, NamedTuple

from submeter.errors import InputError, SubmeterError
from submeter.outbound import OPENER
from submeter.text import printable
from submeter.urls import asked_at

PATIENCE_S: Final = 30.0
MOST_BYTES: Final = 256 << 20
_QUOTED: Final = 200  # characters of somebody else's error


class QueryFailed(SubmeterError):
    """No usable answer. ``gone``: asking anything else is of no use, either."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Value(NamedTuple):
    """One sample of one series."""

    labels: Mapping[str, str]
    at_s: float
    number: float


class Answer(NamedTuple):
    """All samples, and what the server warned of."""

    values: list[Value]
    warnings: tuple[str, ...]


class Server(NamedTuple):
    """Where to ask."""

    base: str
    authorization: str = ""
    patience_s: float = PATIENCE_S

    def at(self, expression: str, moment_s: int) -> Answer:
        """The value of an expression at one moment. Raises QueryFailed."""
        return self._ask("query", {"query": expression, "time": moment_s})

    def over(self, expression: str, first_s: int, last_s: int, step_s: int) -> Answer:
        """Its values at several moments. Raises QueryFailed."""
        parameters = {"query": expression, "start": first_s, "end": last_s, "step": step_s}
        return self._ask("query_range", parameters)

    def _ask(self, what: str, parameters: Mapping[str, object]) -> Answer:
        url = f"{self.base}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
        if self.authorization:
            request.add_unredirected_header("Authorization", self.authorization)
        try:
            with OPENER.open(request, timeout=self.patience_s) as response:
                return _answer(_body(response))
        except urllib.error.HTTPError as error:
            with error:
                raise QueryFailed(_refusal(error)) from error
        except TimeoutError as error:
            raise QueryFailed(f"no answer within {self.patience_s:g} s") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise QueryFailed(f"no answer within {self.patience_s:g} s") from error
            raise QueryFailed(f"can't be reached: {error.reason}", gone=True) from error
        except (OSError, HTTPException) as error:
            raise QueryFailed(f"the connection failed: {error}") from error


def server(url: str, patience_s: float = PATIENCE_S) -> Server:
    """The server of a URL, as ``http://prometheus:9090/prefix``. Raises InputError."""
    parts = asked_at(url)
    if parts is None or not parts.hostname:
        raise InputError(
            "expected a URL such as http://prometheus:9090, with http or https",
            source="--prometheus",
        )
    if parts.query or parts.fragment:
        raise InputError("expected a URL without ? and #", source="--prometheus")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port is not None else ""
    base = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/').removesuffix('/api/v1')}"
    authorization = ""
    if parts.username is not None:
        pair = (
            f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        )
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Server(base, authorization, patience_s)


def _body(response: Any) -> bytes:
    content: bytes = response.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise QueryFailed(f"the answer is longer than {MOST_BYTES >> 20} MiB: ask for less")
    return content


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code in range(300, 400):
        return f"it redirects (HTTP {error.code}); name the server itself"
    try:
        said = json.loads(error.read(1 << 20))["error"]
    except (ValueError, KeyError, TypeError, OSError, HTTPException, RecursionError):
        return f"HTTP {error.code} {printable(str(error.reason))}"
    return f"HTTP {error.code}: {printable(str(said))[:_QUOTED]}"


def _answer(content: bytes) -> Answer:
    try:
        document = json.loads(content)
        if document["status"] != "success":
            raise QueryFailed(printable(str(document["error"]))[:_QUOTED])
        values = list(_values(document["data"]))
        warnings = tuple(printable(str(each))[:_QUOTED] for each in document.get("warnings") or ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise QueryFailed(f"not an answer of Prometheus's API: {error!r}"[:_QUOTED]) from error
    return Answer(values, warnings)


def _values(data: Mapping[str, Any]) -> Iterator[Value]:
    for series in data["result"]:
        labels = {str(name): str(value) for name, value in series["metric"].items()}
        samples = [series["value"]] if data["resultType"] == "vector" else series["values"]
        for at_s, number in samples:
            yield Value(labels, float(at_s), float(number))
