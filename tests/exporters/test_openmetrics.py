"""Both exposition formats: equal in meaning to prometheus-client's own, exact, and never double.

Golden files are rewritten by ``SUBMETER_UPDATE_GOLDEN=1 pytest tests/exporters``.
"""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as om_exposition
from prometheus_client.openmetrics import parser as om_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from submeter import lines
from submeter.metrics import Distribution, Family, Kind, families
from submeter.model import Account, Component, Owner, Phase, Snapshot
from submeter.testing.snapshots import GPU_0, empty, node
from submeter.text import UNSAFE
from submeter_exporters._openmetrics import pieces, render

GOLDEN = Path(__file__).parents[1] / "golden"

UNITS = ("", "joules", "watts", "seconds")
LABEL_NAMES = ("gpu", "uuid", "phase", "workload", "_x9")
HOSTILE = st.characters()  # everything Python can hold, lone surrogates included
KIND = st.characters(exclude_characters="".join(map(chr, UNSAFE.keys() - {0x0A})))


def names(draw: st.DrawFn, kind: Kind) -> tuple[str, str]:
    unit = draw(st.sampled_from(UNITS))
    stem = draw(st.from_regex(r"[a-z][a-z0-9_]{0,6}[a-z]", fullmatch=True))
    tail = "_total" if kind is Kind.COUNTER else ""
    return f"t_{stem}_v{'_' if unit else ''}{unit}{tail}", unit


@st.composite
def a_family(draw: st.DrawFn, letters: st.SearchStrategy[str] = KIND) -> Family:
    kind = draw(st.sampled_from(Kind))
    name, unit = names(draw, kind)
    label_names = tuple(draw(st.lists(st.sampled_from(LABEL_NAMES), unique=True, max_size=4)))
    labels = st.tuples(*(st.text(letters, max_size=12) for _ in label_names))
    some = draw(st.lists(labels, min_size=1, max_size=4, unique=True))
    help_text = draw(st.text(KIND, max_size=20)).strip()
    family = Family(name, kind, help_text, unit, label_names, draw(st.integers(0, 9)))
    if kind is Kind.HISTOGRAM:
        # Of one family all have the same bounds: two of them may be added up.
        bounds = draw(BOUNDS)
        return replace(family, distributions=[draw(a_distribution(each, bounds)) for each in some])
    return replace(family, samples=[(each, draw(a_value(kind))) for each in some])


def a_value(kind: Kind) -> st.SearchStrategy[int | float]:
    if kind is Kind.COUNTER:
        return st.integers(0, 2**63)
    return st.integers(-(2**63), 2**63) | st.floats()


# As floats, which bucket bounds are to readers, larger ones could be the same number.
BOUNDS = st.sets(st.integers(0, 2**53), min_size=1, max_size=5).map(sorted)


@st.composite
def a_distribution(draw: st.DrawFn, labels: tuple[str, ...], bounds: list[int]) -> Distribution:
    counts = draw(
        st.lists(st.integers(0, 10**6), min_size=len(bounds) + 1, max_size=len(bounds) + 1)
    )
    return Distribution(labels, tuple(bounds), tuple(counts), draw(st.integers(0, 2**63)))


def _base(family: Family) -> str:
    """A gauge may not have the name that a counter has without its suffix."""
    return family.name.removesuffix("_total")


SOME_FAMILIES = st.lists(a_family(), max_size=4, unique_by=_base)
HOSTILE_FAMILIES = st.lists(a_family(HOSTILE), max_size=4, unique_by=_base)


@pytest.mark.threat("T6")
@given(SOME_FAMILIES)
@settings(max_examples=150)
def test_text_means_what_prometheus_client_would_say(made: list[Family]) -> None:
    theirs = exposition.generate_latest(_Registry(map(their_metric, made))).decode()
    assert meaning(parse_text(render(made).decode())) == meaning(parse_text(theirs))


@pytest.mark.threat("T6")
@given(SOME_FAMILIES)
@settings(max_examples=150)
def test_openmetrics_means_what_prometheus_client_would_say(made: list[Family]) -> None:
    registry = _Registry(map(their_metric, made))
    theirs = om_exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    ours = render(made, openmetrics=True).decode()
    assert meaning(parse_openmetrics(ours)) == meaning(parse_openmetrics(theirs))


@pytest.mark.fault("F82")
@pytest.mark.threat("T6")
@given(HOSTILE_FAMILIES, st.booleans())
@settings(max_examples=150)
def test_hostile_names_neither_break_nor_double_anything(
    made: list[Family], openmetrics: bool
) -> None:
    body = render(made, openmetrics=openmetrics)
    lines = body.decode().split("\n")
    series = [line.rpartition(" ")[0] for line in lines if line and line[0] != "#"]
    assert len(set(series)) == len(series)
    assert not any(ord(char) in UNSAFE for line in lines for char in line)
    parse = parse_openmetrics if openmetrics else parse_text
    parsed = sum(len(family.samples) for family in parse(body.decode()))
    assert parsed == len(series)


@given(
    st.dictionaries(st.text(HOSTILE, max_size=3), st.integers(0, 2**63), min_size=1), st.booleans()
)
def test_counters_keep_their_sum_whatever_their_names(
    parts: dict[str, int], openmetrics: bool
) -> None:
    samples = [((name,), value) for name, value in parts.items()]
    family = Family("t_joules_total", Kind.COUNTER, "", "joules", ("workload",), 6, samples)
    body = render([family], openmetrics=openmetrics)
    assert sum(values(body, "t_joules_total")) * 10**6 == sum(parts.values())
    series = [line.rpartition(" ")[0] for line in body.decode().split("\n") if line[:2] == "t_"]
    assert len(set(series)) == len(series)


@pytest.mark.fault("F73")
@pytest.mark.parametrize("value", [0, 1, 999_999, 2**53 - 1, 2**53 + 1, 2**63 - 1])
def test_energy_is_printed_without_rounding(value: int) -> None:
    family = Family("t_joules_total", Kind.COUNTER, "", "joules", (), 6, [((), value)])
    assert values(render([family]), "t_joules_total") == [Decimal(value).scaleb(-6)]


@given(
    st.lists(st.integers(-(10**7), 10**18) | st.sampled_from([0, 10, 10**6, 10**9]), min_size=1),
    st.integers(0, 9),
)
def test_whatever_stands_beside_a_number_it_is_printed_shortest(
    numbers: list[int], exponent: int
) -> None:
    samples = [((str(place),), number) for place, number in enumerate(numbers)]
    family = Family("t", Kind.GAUGE, "", "", ("place",), exponent, samples)
    printed = [line.rpartition(b" ")[2].decode() for line in render([family]).splitlines()[2:]]
    assert [Decimal(each).scaleb(exponent) for each in printed] == numbers
    assert not [each for each in printed if "." in each and each[-1] in "0."]


LABELS = st.lists(st.text(HOSTILE, max_size=2), max_size=8, unique=True)


@given(st.lists(LABELS, min_size=2), st.booleans())
def test_what_was_rendered_before_changes_nothing(moments: list[list[str]], doubled: bool) -> None:
    for moment, names_ in enumerate(moments):
        samples = [((name, "\x00"[:doubled]), moment + at) for at, name in enumerate(names_)]
        known = Family("t_kept_total", Kind.COUNTER, "", "", ("a", "b"), 0, samples)
        fresh = replace(known, name=f"t_{uuid4().hex}_total")
        body = render([fresh]).replace(fresh.name.encode(), b"t_kept_total")
        assert render([known]) == body


def test_pieces_are_the_whole_and_not_large() -> None:
    samples = [((f"{place:064}",), place) for place in range(5_000)]
    many = Family("t_many", Kind.GAUGE, "", "", ("place",), 3, samples)
    made = [*families(node()), many, replace(many, name="t_more")]
    cut = list(pieces(made, openmetrics=True))
    assert b"".join(cut) == render(made, openmetrics=True)
    assert max(map(len, cut)) < 128 * 1024
    assert len(cut) < 60


@pytest.mark.parametrize("openmetrics", [False, True])
def test_parts_sum_to_the_total_in_the_printed_scrape(openmetrics: bool) -> None:
    body = render(families(node()), openmetrics=openmetrics)
    total = sum(values(body, "submeter_gpu_energy_joules_total"))
    assert sum(values(body, "submeter_energy_joules_total")) == total
    assert sum(values(body, "submeter_attribution_energy_joules_total")) == total


def test_a_gauge_that_comes_twice_keeps_its_last_value() -> None:
    samples = [(("a\x00",), 1), (("a\x01",), 2)]
    family = Family("t_info", Kind.GAUGE, "", "", ("name",), 0, samples)
    assert values(render([family]), "t_info") == [2]


def test_histograms_of_one_name_are_added() -> None:
    twice = [Distribution((name,), (5,), (1, 2), 7) for name in ("\x00", "\x01")]
    family = Family("t_seconds", Kind.HISTOGRAM, "", "seconds", ("name",), 0, (), twice)
    assert values(render([family]), "t_seconds_count") == [6]
    other = twice[1]._replace(bounds=(6,))
    with pytest.raises(ValueError, match="different bounds"):
        render([replace(family, distributions=[twice[0], other])])


@pytest.mark.parametrize(
    "family",
    [
        Family("9t", Kind.GAUGE, "", "", (), 0, [((), 1)]),
        Family("t", Kind.COUNTER, "", "", (), 0, [((), 1)]),
        Family("t_total", Kind.GAUGE, "", "", (), 0, [((), 1)]),
        Family("t", Kind.GAUGE, "", "", ("a-b",), 0, [(("x",), 1)]),
        Family("t", Kind.GAUGE, "", "", ("a", "a"), 0, [(("x", "y"), 1)]),
        Family("t", Kind.GAUGE, "", "", ("a",), 0, [((), 1)]),
    ],
)
def test_names_that_no_parser_takes_are_refused(family: Family) -> None:
    with pytest.raises(ValueError, match=r"name|argument"):
        render([family])


@pytest.mark.fault("F82")
def test_a_family_cannot_come_twice() -> None:
    family = Family("t", Kind.GAUGE, "", "", (), 0, [((), 1)])
    with pytest.raises(ValueError, match="twice"):
        render([family, family])


@pytest.mark.parametrize(
    ("name", "snapshot"),
    [
        ("node", node()),
        ("gpu-down", node(second_gpu_up=False)),
        ("no-gpu", empty()),
        (
            "hostile-names",
            replace(
                empty(),
                energy_uj={
                    Account(GPU_0, "1g.10gb/7", Component.DYNAMIC, Owner(Phase.OTHER, name)): 1
                    for name in ('"} 1\nup 1', "C:\\tmp", "a\x00b", "\ud800", "\x1b[2J", "ü 🜂", "")
                },
            ),
        ),
    ],
)
@pytest.mark.parametrize("ending", ["prom", "om"])
def test_golden(name: str, snapshot: Snapshot, ending: str) -> None:
    snapshot = replace(snapshot, version="0")
    body = render(families(snapshot), openmetrics=ending == "om")
    body = re.sub(rb'python="[\d.]+"', b'python="3"', body)
    golden = GOLDEN / f"{name}.{ending}"
    if os.environ.get("SUBMETER_UPDATE_GOLDEN"):
        golden.write_bytes(body)
    assert body == golden.read_bytes()


@pytest.mark.fault("F82")
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("snapshot", [node(), node(second_gpu_up=False), empty()])
def test_promtool_finds_nothing(snapshot: Snapshot) -> None:
    body = render(families(snapshot))
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


class _Registry(Collector):
    """What generate_latest takes for a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def their_metric(family: Family) -> Metric:
    name = family.name.removesuffix("_total")
    metric = Metric(name, family.help, family.kind.value, family.unit)
    scale = Decimal(1).scaleb(-family.exponent)
    for labels, value in family.samples:
        number = float(value * scale) if isinstance(value, int) else value
        metric.add_sample(family.name, dict(zip(family.label_names, labels, strict=True)), number)
    for labels, bounds, counts, total in family.distributions:
        pairs = dict(zip(family.label_names, labels, strict=True))
        limits = [_go(bound / 10**family.exponent) for bound in bounds]
        for limit, count in zip([*limits, "+Inf"], accumulate(counts), strict=True):
            metric.add_sample(f"{name}_bucket", {**pairs, "le": limit}, count)
        metric.add_sample(f"{name}_count", pairs, sum(counts))
        metric.add_sample(f"{name}_sum", pairs, float(total * scale))
    return metric


def parse_openmetrics(text: str) -> Iterable[Metric]:
    parsed: Iterable[Metric] = om_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return parsed


def _go(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def meaning(metrics: Iterable[Metric]) -> list[object]:
    """What a parser made of an exposition; NaN is equal to NaN here."""
    return [
        (metric.name, metric.type, metric.documentation, metric.unit, sorted(
            (sample.name, sorted(sample.labels.items()), _number(sample.value))
            for sample in metric.samples
        ))
        for metric in metrics
    ]  # fmt: skip


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(float(value))


def values(body: bytes, name: str) -> list[Decimal]:
    """The values of all series of a name, as printed."""
    lines = body.decode().split("\n")
    return [Decimal(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line)]


@given(family=a_family(HOSTILE), openmetrics=st.booleans())
def test_it_is_the_same_without_the_compiled_library(family: Family, openmetrics: bool) -> None:
    written = render([family], openmetrics=openmetrics)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "compiled", lambda: None)
        assert render([family], openmetrics=openmetrics) == written


def test_a_whole_node_is_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(families(node()))
    written = render(made)
    monkeypatch.setattr(lines, "compiled", lambda: None)
    assert render(made) == written
