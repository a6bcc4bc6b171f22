"""web-config.yml: the standard's fields, errors with file and line, and nothing weak."""

import shutil
import subprocess
from pathlib import Path

import pytest

from submeter.errors import InputError
from submeter.web.webconfig import CIPHERS, Pem, Tls, WebConfig, parse

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
WHOLE = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: /etc/submeter/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example, "10.0.0.1"]
  min_version: TLS13
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  prefer_server_cipher_suites: false
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: sameorigin
basic_auth_users:
  prometheus: {HASH}
  "hans müller": {HASH}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "web-config.yml"
    path.write_text(text)
    return path


def test_everything_that_the_standard_has(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    assert parse(path) == WebConfig(
        tls=Tls(
            cert=Pem(tmp_path / "server.crt"),
            key=Pem(Path("/etc/submeter/server.key")),
            client_ca=Pem(tmp_path / "ca.crt"),
            client_auth_type="RequireAndVerifyClientCert",
            client_allowed_sans=("prometheus.example", "10.0.0.1"),
            min_version="TLS13",
            max_version="TLS13",
            ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",),
            prefer_server_ciphers=False,
        ),
        headers=(
            ("Strict-Transport-Security", "max-age=31536000"),
            ("X-Frame-Options", "sameorigin"),
        ),
        users={"prometheus": HASH.encode(), "hans müller": HASH.encode()},
    )


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert parse(written(tmp_path, text)) == WebConfig()


TLS = "tls_server_config:\n  cert_file: a\n  key_file: b\n"

WRONG = [
    ("tls_server_confg:\n  a: b\n", 1, r"unknown field tls_server_confg in the file"),
    (f"{TLS}  min_versionx: TLS12\n", 4, "unknown field min_versionx in tls_server_config"),
    (f"{TLS}  min_version: TLS11\n", 4, "TLS11 is broken and not spoken here: use TLS12"),
    (f"{TLS}  min_version: SSL3\n", 4, "min_version must be one of TLS12, TLS13; found SSL3"),
    (f"{TLS}  min_version: TLS13\n  max_version: TLS12\n", 2, "min_version is above max_version"),
    ("tls_server_config:\n  cert_file: a\n", 2, "tls_server_config needs key_file"),
    (f"{TLS}  cert: inline\n", 2, "cert and cert_file exclude each other"),
    (f"{TLS}  client_auth_type: RequireAnyClientCert\n", 4, "any certificate in, unchecked"),
    (f"{TLS}  client_auth_type: Maybe\n", 4, "client_auth_type must be one of NoClientCert"),
    (f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n", 2, "needs client_ca_file"),
    (f"{TLS}  client_ca_file: ca\n", 2, "client_ca is without effect"),
    (f"{TLS}  client_allowed_sans: [a]\n", 2, "client_allowed_sans needs client_auth_type"),
    (f"{TLS}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", 4, "RC4_128_SHA is weak or unknown"),
    (f"{TLS}  cipher_suites:\n    - {next(iter(CIPHERS))}\n    - X\n", 6, "X is weak or unknown"),
    (f"{TLS}  curve_preferences: [CurveP256]\n", 4, "curve_preferences can't be chosen here"),
    ("http_server_config:\n  headers:\n    Server: me\n", 3, "unknown field Server in headers"),
    ("http_server_config:\n  headers:\n    X-Frame-Options: no\n", 3, "one of deny, sameorigin"),
    ("http_server_config:\n  http2: perhaps\n", 2, "http2 must be true or false"),
    ("basic_auth_users:\n  me: secret\n", 2, "a password must be a bcrypt hash"),
    (f"basic_auth_users:\n  a:{HASH}\n", 2, "basic_auth_users must be a mapping"),
    (f"basic_auth_users:\n  'a:b': {HASH}\n", 2, "can't be empty or have a colon"),
    (f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n", 3, "a is there twice"),
    ("basic_auth_users:\n  - a\n", 2, "basic_auth_users must be a mapping"),
    ("rate_limit:\n  burst: 1\n", 1, "unknown field rate_limit in the file"),
    ("a: b: c\n", 1, "mapping values are not allowed here"),
    ("a: [\n", 2, "."),
    ("[1, 2]\n", 1, "the file must be a mapping"),
    ("? [1]\n: 2\n", 1, "a key must be a text"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        parse(path)
    assert str(error.value).startswith(f"{path}:{line}: ")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"web-config.yml: can't be read: No such file"):
        parse(tmp_path / "web-config.yml")
    (tmp_path / "web-config.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        parse(tmp_path / "web-config.yml")
    with pytest.raises(InputError, match="is larger than"):
        parse(written(tmp_path, "#" * (1 << 21)))
    with pytest.raises(InputError, match="no YAML"):
        parse(written(tmp_path, "[" * 100_000))


def test_promtool_takes_what_we_take(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no `promtool` here; apt-get install prometheus")
    users = WHOLE[WHOLE.index("http_server_config") :]
    parse(written(tmp_path, users))
    subprocess.run([promtool, "check", "web-config", tmp_path / "web-config.yml"], check=True)
