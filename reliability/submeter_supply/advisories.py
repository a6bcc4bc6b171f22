"""A folder of advisories as osv.dev publishes them in, a service that answers as osv.dev does out.

So that an audit needs no network: https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip,
unpacked, is such a folder. The format: https://ossf.github.io/osv-schema/
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_ECOSYSTEM: Final = "PyPI"

_Advisory = Mapping[str, Any]


def read(folder: Path) -> dict[str, list[_Advisory]]:
    """The advisories by the package that they are about. Raises OSError, ValueError."""
    found: dict[str, list[_Advisory]] = {}
    for path in sorted(folder.rglob("*.json")):
        advisory = json.loads(path.read_text(encoding="utf-8"))
        for name in {_name(each) for each in advisory.get("affected", ())} - {""}:
            found.setdefault(name, []).append(advisory)
    return found


def about(known: Mapping[str, Sequence[_Advisory]], name: str, version: str) -> list[_Advisory]:
    """Those that hold for this version of a package."""
    name = canonicalize_name(name)
    return [
        advisory
        for advisory in known.get(name, ())
        if any(_name(each) == name and _holds(each, version) for each in advisory["affected"])
    ]


@contextmanager
def serving(known: Mapping[str, Sequence[_Advisory]]) -> Iterator[str]:
    """The address at which /v1/query is answered, on loopback, meanwhile."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = about(known, asked["package"]["name"], asked["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _name(affected: Mapping[str, Any]) -> str:
    package = affected.get("package", {})
    return canonicalize_name(package["name"]) if package.get("ecosystem") == _ECOSYSTEM else ""


def _holds(affected: Mapping[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = [each for each in affected.get("ranges", ()) if each["type"] == "ECOSYSTEM"]
    return any(_is_within(each["events"], Version(version)) for each in ranges)


def _is_within(events: Sequence[Mapping[str, str]], version: Version) -> bool:
    """Events in any order: introduced (from there on), fixed (there no more), last_affected."""
    inside = False
    for kind, at in sorted(_dated(events), key=lambda event: event[1]):
        if kind == "introduced" and at <= version:
            inside = True
        elif (kind == "fixed" and at <= version) or (kind == "last_affected" and at < version):
            inside = False
    return inside


def _dated(events: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, at in event.items():
            try:
                yield kind, Version(at)
            except InvalidVersion:  # a few old ones are none: those versions are listed instead
                continue
