"""A ``web-config.yml`` in, checked settings of TLS, headers and passwords out.

The file is the one that all exporters of the Prometheus project take:
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What would be
weak is refused, and so is what can't be done; nothing is passed over in silence.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.config.notation import shortened
from submeter.errors import InputError

_MOST_BYTES: Final = 1 << 20
_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")

CLIENT_AUTH: Final = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED: Final = ("RequestClientCert", "RequireAnyClientCert")
VERSIONS: Final = ("TLS12", "TLS13")
_OLD_VERSIONS: Final = ("TLS10", "TLS11")
CIPHERS: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""Go's names and OpenSSL's of the suites of TLS 1.2 that have forward secrecy and no CBC."""
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key: a file, or the text itself."""

    file: Path | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """``tls_server_config``."""

    cert: Pem
    key: Pem
    client_ca: Pem | None = None
    client_auth_type: str = CLIENT_AUTH[0]
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = VERSIONS[0]
    max_version: str = VERSIONS[1]
    ciphers: tuple[str, ...] = tuple(CIPHERS.values())  # OpenSSL's names
    prefer_server_ciphers: bool = True

    @property
    def demands_certificate(self) -> bool:
        """Whether nobody comes in without a certificate that is checked."""
        return self.client_auth_type == CLIENT_AUTH[-1]

    def files(self) -> Iterator[Path]:
        """Every file that it names."""
        for pem in (self.cert, self.key, self.client_ca):
            if pem is not None and pem.file is not None:
                yield pem.file


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The whole file."""

    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, bytes] | None = None  # name → bcrypt hash


def parse(path: Path) -> WebConfig:
    """Reads the file. Raises InputError with file and line for all that is wrong in it."""
    from yaml import MarkedYAMLError, YAMLError, compose
    from yaml.loader import SafeLoader

    source = str(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise InputError(f"is larger than {_MOST_BYTES} bytes", source=source)
        node: Any = compose(text.decode(), SafeLoader)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", source=source) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8", source=source) from error
    except (YAMLError, RecursionError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = None if mark is None else mark.line + 1
        problem = error.problem if isinstance(error, MarkedYAMLError) else "is no YAML"
        raise InputError(f"{problem}", source=source, line=line) from error
    empty = node is None or (node.id == "scalar" and node.tag == "tag:yaml.org,2002:null")
    return WebConfig() if empty else _whole(_Place(source, path.parent, node))


class _Place(NamedTuple):
    """A node of the file, and how to say where it is."""

    source: str
    folder: Path
    node: Any
    name: str = "the file"

    def wrong(self, message: str) -> InputError:
        line = self.node.start_mark.line + 1
        return InputError(message, source=self.source, line=line)

    def table(self) -> dict[str, "_Place"]:
        """The entries of a mapping."""
        if self.node.id != "mapping":
            raise self.wrong(f"{self.name} must be a mapping")
        entries: dict[str, _Place] = {}
        for key, value in self.node.value:
            place = self._replace(node=key)
            if key.id != "scalar":
                raise place.wrong(f"{self.name}: a key must be a text")
            if key.value in entries:
                raise place.wrong(f"{key.value} is there twice")
            entries[key.value] = self._replace(node=value, name=key.value)
        return entries

    def known(self, *names: str) -> dict[str, "_Place"]:
        """The entries of a mapping that may have these only."""
        entries = self.table()
        for key in entries:
            if key not in names:
                known = ", ".join(names)
                keys = {each.value: each for each, _ in self.node.value}
                place = self._replace(node=keys[key])
                raise place.wrong(f"unknown field {shortened(key)} in {self.name}; it has {known}")
        return entries

    def text(self) -> str:
        """A scalar as it was written."""
        if self.node.id != "scalar" or self.node.tag == "tag:yaml.org,2002:null":
            raise self.wrong(f"{self.name} must be a text")
        return str(self.node.value)

    def texts(self) -> tuple[tuple["_Place", str], ...]:
        """A sequence of scalars."""
        if self.node.id != "sequence":
            raise self.wrong(f"{self.name} must be a list")
        places = [self._replace(node=each) for each in self.node.value]
        return tuple((place, place.text()) for place in places)

    def boolean(self) -> bool:
        if self.text() not in ("true", "false"):
            raise self.wrong(f"{self.name} must be true or false")
        return self.text() == "true"

    def choice(self, *allowed: str) -> str:
        if self.text() not in allowed:
            found = shortened(self.text())
            raise self.wrong(f"{self.name} must be one of {', '.join(allowed)}; found {found}")
        return self.text()


def _whole(place: _Place) -> WebConfig:
    sections = place.known("tls_server_config", "http_server_config", "basic_auth_users")
    made: dict[str, Any] = {}
    for name, section in sections.items():
        key, make = _SECTIONS[name]
        made[key] = make(section)
    return WebConfig(**made)


_TLS_FIELDS: Final = (
    "cert_file", "key_file", "cert", "key", "client_ca_file", "client_ca", "client_auth_type",
    "client_allowed_sans", "min_version", "max_version", "cipher_suites",
    "prefer_server_cipher_suites", "curve_preferences",
)  # fmt: skip


def _tls(place: _Place) -> Tls:
    entries = place.known(*_TLS_FIELDS)
    made: dict[str, Any] = {
        "cert": _pem(place, entries, "cert"),
        "key": _pem(place, entries, "key"),
        "client_ca": _pem(place, entries, "client_ca"),
    }
    for missing in ("cert", "key"):
        if made[missing] is None:
            raise place.wrong(f"tls_server_config needs {missing}_file")
    for name, entry in entries.items():
        if name in _TLS_VALUES:
            key, make = _TLS_VALUES[name]
            made[key] = make(entry)
    return _fitting(place, Tls(**made))


def _fitting(place: _Place, tls: Tls) -> Tls:
    verifies = tls.client_auth_type != CLIENT_AUTH[0]
    if verifies and tls.client_ca is None:
        raise place.wrong(f"{tls.client_auth_type} needs client_ca_file to check against")
    if tls.client_ca is not None and not verifies:
        raise place.wrong(
            f"client_ca is without effect unless client_auth_type is {CLIENT_AUTH[-1]}"
        )
    if tls.client_allowed_sans and not tls.demands_certificate:
        raise place.wrong(f"client_allowed_sans needs client_auth_type {CLIENT_AUTH[-1]}")
    if tls.min_version > tls.max_version:
        raise place.wrong("min_version is above max_version")
    return tls


def _pem(place: _Place, entries: Mapping[str, _Place], name: str) -> Pem | None:
    file, inline = entries.get(f"{name}_file"), entries.get(name)
    if file is not None and inline is not None:
        raise place.wrong(f"{name} and {name}_file exclude each other")
    if file is not None and file.text():
        return Pem(place.folder / file.text())
    return Pem(text=inline.text()) if inline is not None and inline.text() else None


def _client_auth(place: _Place) -> str:
    if place.text() in _UNVERIFIED:
        raise place.wrong(
            f"{place.text()} lets any certificate in, unchecked: use {CLIENT_AUTH[-1]}"
        )
    return place.choice(*CLIENT_AUTH)


def _version(place: _Place) -> str:
    if place.text() in _OLD_VERSIONS:
        raise place.wrong(f"{place.text()} is broken and not spoken here: use {VERSIONS[0]}")
    return place.choice(*VERSIONS)


def _ciphers(place: _Place) -> tuple[str, ...]:
    chosen = []
    for each, name in place.texts():
        if name not in CIPHERS:
            raise each.wrong(
                f"cipher suite {shortened(name)} is weak or unknown (those of TLS 1.3 are always "
                f"on); there are {', '.join(CIPHERS)}"
            )
        chosen.append(CIPHERS[name])
    return tuple(chosen) or tuple(CIPHERS.values())


def _curves(place: _Place) -> None:
    raise place.wrong("curve_preferences can't be chosen here; OpenSSL's own are X25519 and NIST's")


_TLS_VALUES: Final[Mapping[str, tuple[str, Callable[[_Place], object]]]] = {
    "client_auth_type": ("client_auth_type", _client_auth),
    "client_allowed_sans": (
        "client_allowed_sans",
        lambda place: tuple(text for _, text in place.texts()),
    ),
    "min_version": ("min_version", _version),
    "max_version": ("max_version", _version),
    "cipher_suites": ("ciphers", _ciphers),
    "prefer_server_cipher_suites": ("prefer_server_ciphers", _Place.boolean),
    "curve_preferences": ("curves", _curves),
}


def _http(place: _Place) -> tuple[tuple[str, str], ...]:
    entries = place.known("http2", "headers")
    if "http2" in entries:
        entries["http2"].boolean()  # HTTP/1.1 is spoken in any case, which every client may do
    headers = entries["headers"].known(*_HEADERS) if "headers" in entries else {}
    for name, each in headers.items():
        if _HEADERS[name]:
            each.choice(*_HEADERS[name])
        elif not (each.text().isascii() and each.text().isprintable()):
            raise each.wrong(f"{name} must be one line of ASCII")
    return tuple((name, each.text()) for name, each in headers.items())


def _users(place: _Place) -> Mapping[str, bytes]:
    users = {}
    for name, each in place.table().items():
        if not _HASH.fullmatch(each.text()):
            raise each.wrong(
                "basic_auth_users: a password must be a bcrypt hash, as `htpasswd -nBC 10 NAME` "
                "gives it"
            )
        if ":" in name or not name:
            raise each.wrong("basic_auth_users: a name can't be empty or have a colon")
        users[name] = each.text().encode()
    return users


_SECTIONS: Final[Mapping[str, tuple[str, Callable[[_Place], object]]]] = {
    "tls_server_config": ("tls", _tls),
    "http_server_config": ("headers", _http),
    "basic_auth_users": ("users", _users),
}
