"""Checked settings of TLS in, an SSL context out; nothing weak in it whatever the settings."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from submeter.errors import InputError
from submeter.web.webconfig import Pem, Tls

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def context(tls: Tls) -> ssl.SSLContext:
    """Raises InputError, with the file, where a certificate or key can't be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[tls.min_version]
    made.maximum_version = _VERSIONS[tls.max_version]
    made.set_ciphers(":".join(tls.ciphers))
    made.set_alpn_protocols(["http/1.1"])
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    if tls.prefer_server_ciphers:
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    with _file(tls.cert) as cert, _file(tls.key) as key:
        try:
            # A password function, or else OpenSSL asks for one on the terminal, and waits.
            made.load_cert_chain(cert, key, password=lambda: "")
        except (OSError, ValueError) as error:
            names = f"{_name(tls.cert)} and {_name(tls.key)}"
            raise InputError(f"{names} are no certificate and its key: {error}") from error
    if tls.client_ca is not None:
        with _file(tls.client_ca) as authorities:
            try:
                made.load_verify_locations(authorities)
            except (OSError, ValueError) as error:
                name = _name(tls.client_ca)
                raise InputError(f"{name} has no certificates to check with: {error}") from error
    made.verify_mode = _VERIFY[tls.client_auth_type]
    return made


def is_allowed(tls: Tls, certificate: Mapping[str, Any] | None) -> bool:
    """Whether a client of that certificate, which was verified, may come in."""
    if not tls.client_allowed_sans:
        return True
    names = (certificate or {}).get("subjectAltName", ())
    return any(name in tls.client_allowed_sans for _, name in names)


@contextmanager
def _file(pem: Pem) -> Iterator[str]:
    """A path to the content: `ssl` reads files only, so a text is put into memory that has one."""
    if pem.file is not None:
        if not os.access(pem.file, os.R_OK):
            raise InputError("can't be read, or is not there", source=str(pem.file))
        yield str(pem.file)
        return
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem.text.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _name(pem: Pem) -> Path | str:
    return pem.file or "what the file has inline"
