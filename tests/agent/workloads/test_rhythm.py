"""What power alone says: a beat is training, silence is idle, the rest is not known."""

import csv
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.model import Phase, ProcessFacts, ProcessKey
from submeter.units import NS_PER_S
from submeter.workloads import ProcessTable
from submeter.workloads.rhythm import WINDOW_NS, Window, judge

TRACES = Path(__file__).parents[4] / "shared/traces"
KEY = ProcessKey("boot", 1, 1)
Samples = list[tuple[int, int]]


def _samples(power_w: Callable[[float], float], seconds: int = 180) -> Samples:
    return [(at * NS_PER_S, int(1000 * power_w(at))) for at in range(seconds)]


def _beat(at: float) -> float:
    return 300 - (120 if at % 30 < 8 else 0)


def test_a_beat_is_training() -> None:
    noise = random.Random(1)
    rhythm = judge(_samples(lambda at: _beat(at) + noise.gauss(0, 10)))
    assert rhythm.phase is Phase.TRAINING
    assert rhythm.confidence < 0.7
    assert "30 s" in rhythm.evidence


@pytest.mark.parametrize(
    "power_w",
    [
        lambda _: 690.0,
        lambda at: 690 + math.sin(at),  # a ripple of the sensor
        lambda at: 200 + at,  # a board that warms up
        lambda at: 100 if at < 90 else 400,  # one step
        lambda at: 300 + 100 * math.sin(2 * math.pi * at / 120),  # too slow to be sure
        lambda at: 300 + random.Random(at).gauss(0, 60),
        lambda at: 300 if random.Random(at // 7).random() < 0.5 else 90,  # requests
        lambda _: 0.0,
    ],
)
def test_everything_else_is_not_known(power_w: Callable[[float], float]) -> None:
    assert judge(_samples(power_w)).phase is Phase.UNKNOWN


def test_silence_is_idle_where_the_floor_is_known() -> None:
    samples = _samples(lambda at: 71 + at % 2)
    assert judge(samples, idle_mw=70_000).phase is Phase.IDLE
    assert judge(samples).phase is Phase.UNKNOWN
    assert judge(_samples(lambda _: 120.0), idle_mw=70_000).phase is Phase.UNKNOWN


def test_too_little_says_nothing() -> None:
    assert judge([]).phase is Phase.UNKNOWN
    assert judge(_samples(_beat, 60)).phase is Phase.UNKNOWN


@given(
    powers=st.lists(st.integers(0, 2**40), max_size=300),
    step_ns=st.integers(0, 10**12),
)
def test_any_window_has_an_answer(powers: list[int], step_ns: int) -> None:
    rhythm = judge([(i * step_ns, power) for i, power in enumerate(powers)])
    assert rhythm.phase in {Phase.TRAINING, Phase.UNKNOWN}
    assert 0 <= rhythm.confidence < 1


def test_a_window_is_as_long_as_it_says() -> None:
    window = Window.empty()
    for at_ns, power_mw in _samples(_beat, 600):
        window.add(at_ns, power_mw)
    assert window.samples[-1][0] - window.samples[0][0] <= WINDOW_NS
    assert window.due(10**15)
    assert not window.due(10**15 + 1)


class Somebody:
    """One process that says nothing of itself."""

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, argv=("python", "main.py"))


@pytest.mark.parametrize(
    ("other", "expected"), [(KEY, Phase.TRAINING), (None, Phase.UNKNOWN)], ids=["alone", "shared"]
)
def test_the_table_hears_it_of_whoever_is_alone(other: ProcessKey | None, expected: Phase) -> None:
    table = ProcessTable(Somebody())
    for at_ns, power_mw in _samples(_beat, 260):
        table.observe([KEY], at_ns)
        whose = KEY if at_ns // NS_PER_S % 50 else other
        table.feel("GPU-1", whose, at_ns, power_mw)
    seen = table.view(KEY)
    assert seen is not None
    assert seen.owner.phase is expected
    assert seen.verdict.confidence < 0.7


def test_recordings() -> None:
    """The confusion table of docs/recognition.md: what is said is right, and most is not said."""
    if not TRACES.exists():
        pytest.skip("the recordings aren't there: ../shared/traces")
    found: Counter[tuple[str, Phase]] = Counter()
    for label, samples in _recordings():
        for start in range(0, len(samples), 30):
            window = [one for one in samples[start:] if one[0] - samples[start][0] < WINDOW_NS]
            if window[-1][0] - window[0][0] > 0.95 * WINDOW_NS:
                found[label, judge(window).phase] += 1
    assert found["training", Phase.TRAINING] >= 30
    assert found["inference", Phase.TRAINING] == 0
    assert found["inference", Phase.UNKNOWN] >= 30


def _recordings() -> list[tuple[str, Samples]]:
    rows = [
        ("training", "train_mobilenetv2_rtx3090_1s.csv", "timestamp", "gpu_power_draw"),
        ("training", "train_resnet50_rtx3090_1s.csv", "timestamp", " power.draw [W]"),
    ]
    recordings = [(label, _log(TRACES / name, at, watts)) for label, name, at, watts in rows]
    runs: dict[tuple[str, ...], Samples] = {}
    with (TRACES / "infer_vllm-mlenergy_h100_0.1s.csv").open() as file:
        for row in csv.DictReader(file):
            run = (row["model"], row["num_gpus"], row["max_num_seqs"])
            at_ns = int(float(row["relative_time_s"]) * NS_PER_S)
            power_mw = int(1000 * float(row["power_total_W"]) / int(row["num_gpus"]))
            runs.setdefault(run, []).append((at_ns, power_mw))
    return [*recordings, *(("inference", samples) for samples in runs.values())]


def _log(path: Path, at: str, watts: str) -> Samples:
    samples: Samples = []
    with path.open() as file:
        for row in csv.DictReader(file):
            if row.get(watts):
                moment = datetime.fromisoformat(row[at].strip().replace("/", "-") + "+00:00")
                power_mw = int(1000 * float(_number(row[watts].split())))
                samples.append((int(moment.timestamp() * NS_PER_S), power_mw))
    return samples


def _number(words: Sequence[str]) -> str:
    return words[0]
