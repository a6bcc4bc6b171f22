"""One process that looks like many nodes: what one agent says, told by each at its own moment.

    python benchmarks/fleet_nodes.py --agent http://127.0.0.1:10046 --port 20100

`/node/17/metrics` answers as node 17 would: the text that the agent gave some seconds ago (each
node is at another second), with boards and workloads of its own. So counters rise and compress
as real ones do, and 200 nodes cost a fraction of a processor.
"""

import argparse
import contextlib
import http.server
import re
import threading
import time
import urllib.request
from collections import deque
from typing import Final

_LAGS: Final = 60  # so many seconds are nodes apart
_SHARE: Final = 8  # so many nodes work on the same job


class Recent:
    """Owns the newest answers of the agent, one a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._texts: deque[str] = deque(maxlen=_LAGS)

    def read(self) -> None:
        """Adds what the agent says now. Raises OSError where it does not answer."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:
            self._texts.append(answer.read().decode())

    def of_node(self, node: int) -> bytes:
        """The text of a node: the newest of the first one, a second older of the next, and so on.

        Until so much has been read, the oldest there is: no node's counters ever go back.
        """
        texts = list(self._texts)
        return as_node(texts[-1 - min(node % _LAGS, len(texts) - 1)], node).encode()


def as_node(text: str, node: int) -> str:
    """The same figures with the node's own boards, and with the name of its job."""
    text = re.sub(r'uuid="GPU-[0-9a-f]{8}', f'uuid="GPU-{node:08x}', text)
    return re.sub(r'workload="([^"(]+)"', rf'workload="\1-{node // _SHARE}"', text)


def serve(recent: Recent, port: int) -> http.server.ThreadingHTTPServer:
    """A server on loopback, already running."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match = re.fullmatch(r"/node/(\d+)/metrics", self.path)
            body = recent.of_node(int(match[1])) if match else b"not a node\n"
            self.send_response(200 if match else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a scrape that waits no longer
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 256  # all nodes may be scraped at once

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="http://127.0.0.1:10046")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    recent = Recent(arguments.agent)
    recent.read()
    server = serve(recent, arguments.port)
    print(f"nodes at http://127.0.0.1:{server.server_port}/node/N/metrics", flush=True)
    while True:
        time.sleep(1)
        recent.read()


if __name__ == "__main__":
    main()
