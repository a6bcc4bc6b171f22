"""Events reach everybody who listens, from any thread, and pile up for nobody."""

import asyncio
import json
import threading
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from submeter.model import Reading
from submeter.units import NS_PER_MS, NS_PER_S
from submeter.web.broadcast import Broadcast, encode

READING = Reading(7, 1_500_001, 11, 612_256, 12, None, None)


def reading(number: int) -> Reading:
    return READING._replace(at_ns=number)


def run(scene: Callable[[Broadcast], Awaitable[None]], size: int = 4096) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scene(Broadcast(size))

    asyncio.run(main())


async def numbers(events: AsyncGenerator[bytes, None], last: int) -> list[int]:
    """The readings up to a given one."""
    found: list[int] = []
    while not found or found[-1] != last:
        lines = (await anext(events)).decode().split("\n")
        data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        found += [event["boottime_ns"] for event in data]
    return found


def test_an_event_is_exact_and_says_what_is_not_known() -> None:
    lines = encode("GPU-1", READING).decode().split("\n")
    assert lines[0] == "event: reading"
    assert lines[2:] == ["", ""]
    assert json.loads(lines[1].removeprefix("data: ")) == {
        "gpu_uuid": "GPU-1", "boottime_ns": 7, "energy_joules": "1.500001", "energy_at_us": 11,
        "power_watts": 612.256, "power_at_us": 12, "power_average_watts": None,
        "power_average_at_us": None,
    }  # fmt: skip


def test_everybody_gets_every_event_of_every_thread_in_order() -> None:
    async def scene(hub: Broadcast) -> None:
        async with aclosing(hub.events()) as one, aclosing(hub.events()) as two:
            await anext(one)
            await anext(two)

            def publish() -> None:
                for number in range(1000):
                    hub.publish("GPU-1", reading(number))

            thread = threading.Thread(target=publish)
            thread.start()
            expected = list(range(1000))
            assert await numbers(one, 999) == expected
            assert await numbers(two, 999) == expected
            await asyncio.to_thread(thread.join)

    run(scene)


def test_nothing_is_kept_while_nobody_listens() -> None:
    async def scene(hub: Broadcast) -> None:
        hub.publish("GPU-1", reading(1))
        async with aclosing(hub.events()) as events:
            await anext(events)
            hub.publish("GPU-1", reading(2))
            assert await numbers(events, 2) == [2]
        hub.publish("GPU-1", reading(3))
        async with aclosing(hub.events()) as events:
            await anext(events)
            hub.publish("GPU-1", reading(4))
            assert await numbers(events, 4) == [4]

    run(scene)


def test_a_slow_client_misses_the_oldest_and_goes_on() -> None:
    async def scene(hub: Broadcast) -> None:
        async with aclosing(hub.events()) as slow, aclosing(hub.events()) as quick:
            await anext(slow)
            await anext(quick)
            for number in range(100):
                hub.publish("GPU-1", reading(number))
                if number % 10 == 9:
                    await numbers(quick, number)
            assert await numbers(slow, 99) == list(range(80, 100))

    run(scene, size=20)


def test_publishing_after_the_server_has_gone_is_no_error() -> None:
    hub = Broadcast()

    async def leave() -> None:
        events = hub.events()
        await anext(events)
        hub.publish("GPU-1", READING)
        await events.aclose()

    asyncio.run(leave())
    hub.publish("GPU-1", READING)


def test_a_page_gets_the_last_minute_and_then_all_gpus_together() -> None:
    async def scene(hub: Broadcast) -> None:
        for at_s in range(100):
            hub.remember(at_s * NS_PER_S, {"GPU-1": 100_400 + at_s})
        async with aclosing(hub.pages(pack=False)) as one, aclosing(hub.pages(pack=False)) as two:
            past = powers(await anext(one))
            assert past["t0_ms"] == 39_000
            assert past["watts"] == {"GPU-1": [x for at in range(61) for x in (1000 * at, 100)]}
            await anext(two)
            for number in range(3):
                hub.publish("GPU-1", READING._replace(at_ns=number * 10 * NS_PER_MS))
            hub.publish("GPU-2", READING._replace(instant_mw=None, average_mw=5_100))
            hub.publish("GPU-3", READING._replace(instant_mw=None))
            first = await anext(one) or await anext(one)
            assert (await anext(two) or await anext(two)) is first  # made once
            assert powers(first) == {
                "t0_ms": 0,
                "watts": {"GPU-1": [0, 612.256, 10, 612.256, 20, 612.256], "GPU-2": [0, 5.1]},
            }

    run(scene)


def test_pages_and_programs_listen_side_by_side() -> None:
    async def scene(hub: Broadcast) -> None:
        async with aclosing(hub.pages(pack=False)) as page, aclosing(hub.events()) as program:
            await anext(page)
            await anext(program)
            for number in range(200):
                hub.publish("GPU-1", reading(number))
                await asyncio.sleep(0.005)
            assert await numbers(program, 199) == list(range(200))
            seen: list[float] = []
            while len(seen) < 100:
                for event in (await anext(page)).split(b"\n\n")[:-1]:
                    seen += powers(event)["watts"]["GPU-1"][1::2]

    run(scene)


def test_a_packed_stream_is_gzip_whoever_joins_when() -> None:
    async def scene(hub: Broadcast) -> None:
        hub.state = lambda: b"<p>one</p>\n<p>two</p>"
        hub.remember(0, {"GPU-1": 5_000})
        async with aclosing(hub.pages(pack=True)) as early, aclosing(hub.pages(pack=True)) as late:
            readers = zlib.decompressobj(31), zlib.decompressobj(31)
            texts = [b"", b""]
            texts[0] += readers[0].decompress(await anext(early))
            for number in range(4):
                hub.publish("GPU-1", reading(number * NS_PER_MS))
                while not (piece := await anext(early)):
                    pass
                texts[0] += readers[0].decompress(piece)
                if number == 1:  # in the middle of the others' stream
                    texts[1] += readers[1].decompress(await anext(late))
                elif number > 1:
                    while not (piece := await anext(late)):
                        pass
                    texts[1] += readers[1].decompress(piece)
            assert texts[0].count(b"event: power") == 5
            assert texts[1].count(b"event: power") == 3
            assert b"event: live\ndata: <p>one</p> <p>two</p>\n\n" in texts[0]

    run(scene)


def powers(event: bytes) -> dict[str, Any]:
    lines = event.decode().split("\n")
    assert "event: power" in lines
    found: dict[str, Any] = json.loads(next(line[6:] for line in lines if line[:6] == "data: "))
    return found
