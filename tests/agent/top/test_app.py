"""The terminal view driven with Textual's pilot, at both sizes, against a golden text."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")

from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from submeter.testing.snapshots import node
from submeter.top.app import Top
from submeter.top.source import NoAnswer
from submeter.web.api import snapshot_json

GOLDEN = Path(__file__).parents[2] / "golden" / "top"
PAST = {
    "since_s": 0,
    "until_s": 3_600,
    "series": [{"phase": "inference", "joules": "1800"}, {"phase": "training", "joules": "5400"}],
    "joules_by_method": {"exclusive": "7200"},
}
Step = Callable[[Top, Pilot[None]], Awaitable[None]]


class Agent:
    """What answers: a snapshot, or nobody."""

    def __init__(self) -> None:
        self.content: dict[str, Any] | None = json.loads(snapshot_json(node(notice="SIMULATED")))

    def snapshot(self) -> dict[str, Any]:
        if self.content is None:
            raise NoAnswer("no answer from http://127.0.0.1:10046/")
        return self.content


def drive(step: Step, agent: Agent | None = None, size: tuple[int, int] = (80, 24)) -> None:
    agent = agent or Agent()

    async def main() -> None:
        app = Top(agent.snapshot, lambda: PAST, period_s=None)
        async with app.run_test(size=size) as pilot:
            await settle(app, pilot)
            await step(app, pilot)

    asyncio.run(main())


async def settle(app: Top, pilot: Pilot[None]) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()


def screen(app: Top) -> str:
    """The characters on the screen."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines) + "\n"


def names(app: Top) -> list[str]:
    table: DataTable[Any] = app.query_one("#workloads", DataTable)
    return [str(table.get_row_at(at)[0]) for at in range(table.row_count)]


def more(app: Top) -> str:
    return str(app.query_one("#more-lines", Static).render())


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_the_screen(size: tuple[int, int]) -> None:
    """UPDATE_GOLDEN=1 writes it anew."""

    async def look(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("d")
        await pilot.pause()
        golden = GOLDEN / f"{size[0]}x{size[1]}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(screen(app))
        assert screen(app) == golden.read_text()

    drive(look, size=size)


def test_sorting_and_filtering() -> None:
    async def use(app: Top, pilot: Pilot[None]) -> None:
        by_watts = names(app)
        assert by_watts[:2] == ["llama-finetune", "vllm"]
        await pilot.press("p")
        assert names(app)[0] == "(idle)"
        await pilot.press("slash", *"bob")
        await pilot.pause()
        assert names(app) == ["vllm"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(names(app)) == len(by_watts)

    drive(use)


def test_evidence_and_the_last_hour() -> None:
    async def use(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        assert "argv names torchrun" in more(app)
        await pilot.press("h")
        await settle(app, pilot)
        assert "25.0 %" in more(app)

    drive(use)


def test_the_cursor_stays_on_top_until_somebody_moves_it() -> None:
    async def use(app: Top, pilot: Pilot[None]) -> None:
        table: DataTable[Any] = app.query_one("#workloads", DataTable)
        await pilot.press("p")
        assert table.cursor_row == 0
        await pilot.press("w")
        assert table.cursor_row == 0
        await pilot.press("down")
        chosen = names(app)[table.cursor_row]
        await pilot.press("p")
        assert names(app)[table.cursor_row] == chosen

    drive(use)


def test_pause_keeps_what_is_shown() -> None:
    agent = Agent()

    async def use(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("space")
        agent.content = json.loads(snapshot_json(node(second_gpu_up=False)))
        app.refresh_now()
        await settle(app, pilot)
        assert "PAUSED" in screen(app)
        assert "not readable" not in screen(app)
        await pilot.press("space")
        app.refresh_now()
        await settle(app, pilot)
        assert "not readable" in screen(app)

    drive(use, agent)


def test_an_agent_that_goes_and_comes_back() -> None:
    agent = Agent()
    content, agent.content = agent.content, None

    async def use(app: Top, pilot: Pilot[None]) -> None:
        assert "no answer from" in screen(app)
        agent.content = content
        app.refresh_now()
        await settle(app, pilot)
        assert "no answer from" not in screen(app)
        assert "llama-finetune" in screen(app)

    drive(use, agent)


@pytest.mark.threat("T7")
def test_names_are_text_and_never_markup() -> None:
    agent = Agent()
    assert agent.content is not None
    text = json.dumps(agent.content).replace("llama-finetune", "[red]x[/]")
    agent.content = json.loads(text)

    async def use(app: Top, pilot: Pilot[None]) -> None:
        assert "[red]x[/]" in names(app)
        await pilot.press("d")
        await pilot.pause()
        assert "[red]x[/]" in screen(app)

    drive(use, agent)
