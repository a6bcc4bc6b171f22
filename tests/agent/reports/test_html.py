"""The HTML report: whole without anything else, safe against names, its figures add up."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.model import Phase
from submeter.reports.calendar import buckets
from submeter.reports.ledger import from_ledger
from submeter.reports.moments import UTC_ZONE, zone
from submeter.reports.presentations._plots import over_time, stack
from submeter.reports.presentations.html import render
from submeter.reports.question import Question
from submeter.reports.record import Stretch

NOW_S = 1_774_747_815
VOID = {"meta", "br", "rect", "line"}


class Page(HTMLParser):
    """What a page consists of; fails where tags don't match."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []


def page(small: Path, *by: str) -> str:
    question = Question(by or ("workload", "gpu"), zone=zone("Europe/Berlin"), timeline=True)
    return render(from_ledger(small, question, NOW_S)).decode()


def test_it_is_one_file_without_script_and_without_a_host(small: Path) -> None:
    text = page(small)
    parsed = Page()
    parsed.feed(text)
    parsed.close()
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(parsed.tags)
    names = {name for name, _ in parsed.attributes}
    assert not names & {"src", "href", "style", "action", "xlink:href"}
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", text)


@pytest.mark.parametrize(
    ("by", "unit"), [("hour", "hour"), ("day", "hour"), ("month", "hour"), ("workload", "hour")]
)
def test_the_plot_says_what_its_bars_are(small: Path, by: str, unit: str) -> None:
    """A plot of a day has a bar an hour, whatever the lines below it are by."""
    text = page(small, by)
    assert f"One bar for every {unit} in Europe/Berlin" in text


@pytest.mark.threat("T7")
def test_the_policy_allows_its_own_style_sheet_and_nothing_else(small: Path) -> None:
    text = page(small)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'\"" in text


@pytest.mark.threat("T7")
def test_a_hostile_name_is_text(small: Path) -> None:
    text = page(small)
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_it_says_period_zone_version_and_what_the_figures_are(small: Path) -> None:
    text = page(small)
    for said in (
        "2026-03-28 23:30:00+01:00 to 2026-03-29 03:30:15+02:00 (Europe/Berlin)",
        "measured with submeter",
        "No carbon, water or cost: no factors were applied",
        "52.2 %",
        "5.750 J",
        "suspect: 21.000 J",
    ):
        assert said in text


def test_the_plot_has_every_hour_and_its_bars_are_the_total(small: Path) -> None:
    text = page(small)
    plot = text.partition('<svg class="plot"')[2].partition("</svg>")[0]
    assert plot.count("<title>") == 3
    assert "2026-03-29 03:00+02:00: 0.999 J (idle 0.999 J)" in plot


heights = st.lists(st.integers(0, 10**16), min_size=1, max_size=30)


@given(heights)
def test_no_bar_leaves_the_plot(energies_uj: list[int]) -> None:
    days = buckets("day", 0, 86_400 * len(energies_uj), UTC_ZONE)
    timeline = [
        Stretch(day, {Phase.TRAINING: part, Phase.IDLE: part // 3})
        for day, part in zip(days, energies_uj, strict=True)
    ]
    plot = over_time(timeline, "day")
    for x, y, wide, high in re.findall(
        r'x="([\d.-]+)" y="([\d.-]+)" width="([\d.-]+)" height="([\d.-]+)"', plot
    ):
        assert float(x) >= 0
        assert float(x) + float(wide) <= 1_000.01
        assert 7.9 <= float(y) <= float(y) + float(high) <= 236.02
    assert plot.count("<line") <= 6


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-5, 10**15), min_size=1))
def test_a_stack_is_filled(parts: dict[str, int]) -> None:
    widths = [int(width) for width in re.findall(r' width="(\d+)"', stack(parts, "phase"))]
    assert sum(widths) in ({1_000} if any(part > 0 for part in parts.values()) else {0})


@pytest.mark.parametrize("by", ["hour", "day", "month", "phase"])
def test_any_question_has_a_page(small: Path, by: str) -> None:
    parsed = Page()
    parsed.feed(page(small, by))
    parsed.close()
