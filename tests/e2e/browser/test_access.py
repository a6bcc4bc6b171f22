"""For everybody: axe-core finds no serious fault, and a keyboard is enough."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Tab

ROOT = Path(__file__).parents[3]
AXE = ROOT / ".venv/tools/axe/axe_playwright_python/axe.min.js"
FOCUS = (
    "(() => { const e = document.activeElement; const card = e.closest('[id]'); "
    "return [e.tagName, e.textContent.trim().slice(0, 40), card?.id ?? '', e.value ?? '']; })()"
)


def opened(tab: Tab, url: str, width: int, *, dark: bool = False) -> None:
    tab.look(width, 1_400, dark=dark)
    tab.call("Page.navigate", url=url)
    tab.wait("document.querySelector('#past-at')?.textContent.includes('steps of')")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
@pytest.mark.parametrize("state", ["two", "sixty-four", "blind", "none"])
def test_axe_finds_no_serious_fault(
    still: Callable[[str], str], tab: Tab, state: str, width: int, dark: bool
) -> None:
    if not AXE.exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have axe-core: make tools")
        pytest.skip("no axe-core here: make tools")
    opened(tab, still(state), width, dark=dark)
    tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.call("Runtime.evaluate", expression=AXE.read_text())  # past the page's own policy
    passed: int
    found: list[dict[str, Any]]
    passed, found = tab.value(
        "axe.run(document).then(({ passes, violations }) => [passes.length, violations"
        ".map((each) => ({ id: each.id, impact: each.impact, help: each.help, "
        "where: each.nodes.slice(0, 5).map((node) => node.html.slice(0, 160)) }))])"
    )
    assert passed > 15  # it did look
    assert [each for each in found if each["impact"] in {"serious", "critical"}] == []


def test_a_keyboard_is_enough(still: Callable[[str], str], tab: Tab) -> None:
    opened(tab, still("two"), 1280)
    stops = []
    for _ in range(40):
        tab.press("Tab")
        stops.append(tab.value(FOCUS))
        if stops[-1][0] == "BODY":
            break
    texts = [stop[1] for stop in stops]
    assert texts[0] == "To the GPUs"  # past everything before
    assert "GPU 1" in texts  # the one that idles, from the node's card
    assert texts.count("how sure?") == 4
    assert [stop[3] for stop in stops if stop[0] == "INPUT"] == ["1h", "phase"]
    assert any("vllm" in text for text in texts)
    assert texts.index("metrics") > texts.index("To the GPUs")
    where = [stop[2] for stop in stops if stop[0] == "SUMMARY"]
    assert where == ["day-ever", "gpu0-energy", "gpu1-energy"]


def test_what_a_key_does(still: Callable[[str], str], tab: Tab) -> None:
    opened(tab, still("two"), 1280)
    tab.value("document.querySelector('[value=\"1h\"]').focus()")
    tab.press("ArrowRight")
    tab.wait("document.querySelector('[value=\"6h\"]').checked")
    tab.until(lambda event: "range=6h" in str(event.get("params")))
    tab.value("document.querySelector('#gpu0 summary').focus()")
    tab.press("Enter")
    tab.wait("document.querySelector('#gpu0 details').open")
    tip = "getComputedStyle(document.getElementById('gpu0-sure')).display"
    assert tab.value(tip) == "none"
    tab.value("document.querySelector('#gpu0 .hint button').focus()")
    assert tab.value(tip) == "block"
    said = tab.value("document.getElementById('gpu0-sure').textContent")
    assert "Cross-check" in said
    assert "proportional" in said
    assert "2 standard errors" in said


def test_a_page_that_is_renewed_keeps_the_focus(still: Callable[[str], str], tab: Tab) -> None:
    opened(tab, still("two"), 1280)
    tab.value("document.querySelector('#gpu0 .hint button').focus()")
    tab.value(
        "(() => { const parse = DOMParser.prototype.parseFromString; window.renewed = 0; "
        "DOMParser.prototype.parseFromString = function (...what) { window.renewed += 1; "
        "return parse.apply(this, what); }; })()"
    )
    tab.wait("window.renewed > 1")
    assert tab.value(FOCUS)[1] == "how sure?"
