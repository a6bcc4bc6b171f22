"""Addresses are opened as named: nobody is led elsewhere."""

import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from submeter.outbound import OPENER


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/again")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as it is called
        """Nothing."""


@pytest.mark.threat("T34")
def test_a_redirect_is_an_error() -> None:
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(urllib.error.HTTPError) as raised:
            OPENER.open(f"http://127.0.0.1:{server.server_port}/", timeout=10)
        with raised.value:
            assert raised.value.code == 302
