"""An address and a number in, so many open pages out: what a browser asks of the agent, no more.

    python benchmarks/page_clients.py http://127.0.0.1:10046 10

Each loads the page and what belongs to it, follows /events, and asks for the past as often as its
steps want. Ends with its standard input.
"""

import asyncio
import sys
from contextlib import suppress
from urllib.parse import urlsplit

PAST_S = 10.0  # as often as a ledger of some minutes asks for it; 30 s from twenty on
FIRST = ("/", "/style.css", "/page.js", "/charts.js", "/past.js")


class Client:
    """One kept connection."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> int:
        """How many bytes the body has, as it was sent."""
        reader, _writer = await self._send(path)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            size = 0
            while length := int(await reader.readline(), 16):
                await reader.readexactly(length + 2)
                size += length
            await reader.readline()
            self.close()  # the agent does, after a stream
            return size
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        return length

    async def follow(self, path: str) -> None:
        """Reads for ever."""
        reader, _ = await self._send(path)
        while await reader.read(65_536):
            pass

    def close(self) -> None:
        """Hangs up; the next request connects anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _send(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._where)
        request = f"GET {path} HTTP/1.1\r\nHost: {self._where[0]}\r\n"
        request += (
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/156.0.0.0 Safari/537.36\r\nAccept: */*\r\nConnection: keep-alive\r\n"
            "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\r\n"
        )
        self._streams[1].write(request.encode())
        return self._streams


async def page(host: str, port: int) -> None:
    """One open page."""
    asking = Client(host, port)
    for path in FIRST:
        await asking.get(path)

    async def past() -> None:
        while True:
            await asking.get("/api/v1/history?range=1h")
            await asyncio.sleep(PAST_S)

    await asyncio.gather(Client(host, port).follow("/events?form=page"), past())


async def main() -> None:
    """Until nobody wants them any more."""
    parts = urlsplit(sys.argv[1])
    assert parts.hostname is not None
    assert parts.port is not None
    pages = [asyncio.create_task(page(parts.hostname, parts.port)) for _ in range(int(sys.argv[2]))]
    await asyncio.to_thread(sys.stdin.read)
    for each in pages:
        each.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*pages)


if __name__ == "__main__":
    asyncio.run(main())
