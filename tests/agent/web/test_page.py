"""The page: it says what is so, and nothing from outside becomes part of it."""

import re
from dataclasses import replace
from gzip import compress
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.model import (
    Account,
    Activity,
    Component,
    Floors,
    Method,
    Phase,
    PowerPeaks,
    Snapshot,
)
from submeter.testing.snapshots import GPU_0, GPU_1, SERVER, WALL_NS, empty, node
from submeter.units import NS_PER_S, decimal
from submeter.web import page
from submeter.web.midnight import Before, since
from submeter.web.sums import is_idling

WALL_S = WALL_NS // NS_PER_S

VOID = {"meta", "link", "rect", "input"}
ATTACKS = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'-alert(1)-'",
        "</p>",
        "&lt;",
    ]
)


class Outline(HTMLParser):
    """Every tag with its attributes, and the text between them; fails where tags don't match."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(body: bytes) -> Outline:
    parsed = Outline()
    parsed.feed(body.decode())
    parsed.close()
    assert not parsed.open
    return parsed


def with_names(name: str) -> Snapshot:
    """A node where everything that others may name is called that."""
    snapshot = node(notice=name, second_gpu_up=False)
    owner = SERVER._replace(workload=name, user=name, namespace=name, pod=name, job=name)
    gpus = []
    for gpu in snapshot.gpus:
        info = replace(gpu.info, name=name, uuid=name)
        processes = tuple(
            replace(each, owner=owner, verdict=replace(each.verdict, evidence=(name,), source=name))
            for each in gpu.processes
        )
        down = "" if gpu.up else name
        gpus.append(replace(gpu, info=info, processes=processes, down_reason=down))
    account = Account(name, "", Component.DYNAMIC, owner)
    return replace(snapshot, gpus=tuple(gpus), energy_uj={account: 1}, version=name, backend=name)


@pytest.mark.threat("T7")
@given(st.text(st.characters(), min_size=1) | ATTACKS)
@settings(max_examples=60, deadline=None)
def test_names_never_become_markup(name: str) -> None:
    ours = outline(page.fragment(with_names("x"))).tags
    theirs = outline(page.fragment(with_names(name))).tags
    assert theirs == ours


def test_nothing_needs_what_the_security_policy_forbids() -> None:
    for tag, attributes in outline(page.document(node(notice="n"))).tags:
        names = {name for name, _ in attributes}
        assert "style" not in names
        assert not any(name.startswith("on") for name in names)
        assert tag != "style"
        assert tag != "script" or dict(attributes)["src"] == "/page.js"
        assert all(value is None or "//" not in value for _, value in attributes)


def test_bars_are_full_and_their_figures_add_up() -> None:
    body = page.fragment(node()).decode()
    bars = re.findall(r'<svg class="stack".*?</svg>', body)
    assert len(bars) == 2 + 2 * 3  # power and energy; of a GPU also how it was split
    for bar in bars:
        places = [(int(x), int(width)) for x, width in re.findall(r'x="(\d+)" width="(\d+)"', bar)]
        ends = [x + width for x, width in places]
        assert [x for x, _ in places] == [0, *ends[:-1]]
        assert ends[-1] == 1000


def test_the_notice_is_there_and_only_when_there_is_one() -> None:
    assert 'class="notice">simulated<' in page.fragment(node(notice="simulated")).decode()
    assert "notice" not in page.fragment(node()).decode()


def test_who_is_on_a_gpu_and_why_is_said() -> None:
    text = " ".join(outline(page.fragment(node())).text)
    for said in ("llama-finetune", "argv names torchrun", "97 % sure", "612.3 W", "3.400 kWh"):
        assert said in text


def test_a_gpu_that_is_down_says_so_and_shows_no_power() -> None:
    body = page.fragment(node(second_gpu_up=False)).decode()
    card = body[body.index('id="gpu1"') :]
    assert "Not readable: gpu_is_lost" in card
    assert " W<" not in card
    assert "305.694 Wh" in card


def test_before_the_first_snapshot_and_without_gpus() -> None:
    assert "measured nothing yet" in page.document(None).decode()
    assert "No GPU can be read" in page.document(empty()).decode()


def test_every_phase_and_method_has_a_colour() -> None:
    style = (Path(page.__file__).with_name("assets") / "style.css").read_text()
    names = [f"phase-{phase}" for phase in Phase] + [f"method-{method}" for method in Method]
    assert [name for name in names if not re.search(rf"\.{name}\b", style)] == []


def test_what_it_came_to_is_there_where_factors_are() -> None:
    assert "came to" not in page.fragment(replace(node(), footprint={})).decode()
    amounts = {
        ("carbon_ug", "", "training"): 1_500_000_000,
        ("carbon_ug", "", "idle"): 250_000_000,
        ("water_ul", "", "training"): 12_000,
        ("cost_micro", "EUR", "training"): 1_250_000,
    }
    text = " ".join(outline(page.fragment(replace(node(), footprint=amounts))).text)
    for said in ("1.750 kg", "12.0 mL", "1.25 EUR"):
        assert said in text


def test_a_gpu_that_is_held_for_nothing_is_named() -> None:
    snapshot = node()
    shared, free = snapshot.gpus
    held = replace(free, processes=shared.processes[:1])
    body = page.fragment(replace(snapshot, gpus=(shared, held))).decode()
    text = " ".join(outline(body.encode()).text)
    assert re.search(r"held, but idle now\s+GPU 1\s+\(llama-finetune, alice\)\s*:\s*71.9 W", text)
    assert "No GPU is held without being used now" in page.fragment(snapshot).decode()


def test_a_pause_between_two_bursts_is_no_idling() -> None:
    gpu = node().gpus[0]
    resting = replace(gpu, activity=Activity(0, 0), floors=Floors())
    assert not is_idling(resting)  # it drew thrice its lowest within the last seconds
    steady = replace(resting, peaks=PowerPeaks(15 * NS_PER_S, 114_000, 118_000))
    assert is_idling(steady)
    assert not is_idling(replace(steady, activity=None))
    assert not is_idling(replace(steady, processes=()))


def test_what_is_since_midnight_is_a_difference_that_adds_up() -> None:
    assert "Reading the ledger" in page.fragment(node()).decode()
    before = {(GPU_0, Phase.TRAINING): 8_000_000_000_000, (GPU_1, Phase.IDLE): 1_000_000_000_000}
    amounts = {("carbon_ug", ""): 13_000_000, ("cost_micro", "EUR"): 9_000}
    day = since(node(), Before(WALL_S - 3_600, before, amounts), is_whole=True)
    total_uj = sum(gpu.energy_uj for gpu in node().gpus)
    assert sum(day.energy_uj.values()) == total_uj - 9_000_000_000_000
    assert day.footprint["carbon_ug", ""] == 194_445
    body = page.fragment(node(), day).decode()
    assert "Since midnight" in body
    assert f'<data value="{decimal(total_uj - 9_000_000_000_000, 6)}">' in body
    assert "0.2 g" in body


def test_what_splitting_leaves_open_is_with_each_process() -> None:
    text = " ".join(outline(page.fragment(node())).text)
    assert "2.300 kWh ±0.045 kWh" in " ".join(text.split())


def test_figures_say_what_they_stand_for() -> None:
    """As `/metrics` has it: joules and watts, exactly."""
    body = page.fragment(node()).decode()
    joules = [decimal(gpu.energy_uj, 6) for gpu in node().gpus]
    for value in (*joules, "437.25", "612.256", "684.156"):
        assert f'<data value="{value}">' in body


def test_nothing_metered_is_not_shown_as_0() -> None:
    text = " ".join(outline(page.document(empty())).text)
    assert "BLIND" in text
    assert not re.search(r"\b0\.0+ ", text)


def test_blind_is_said_loudly() -> None:
    snapshot = node(second_gpu_up=False)
    down = replace(snapshot.gpus[0], up=False, down_reason="gpu_is_lost", reading=None)
    body = page.fragment(replace(snapshot, gpus=(down, snapshot.gpus[1]))).decode()
    assert 'class="notice">BLIND' in body


def test_the_whole_page_with_64_gpus_is_small() -> None:
    gpu = node().gpus[0]
    gpus = tuple(replace(gpu, info=replace(gpu.info, index=at)) for at in range(64))
    assets = Path(page.__file__).with_name("assets")
    size = len(compress(page.document(replace(node(), gpus=gpus))))
    size += sum(len(compress(each.read_bytes())) for each in assets.iterdir())
    assert size < 150_000
