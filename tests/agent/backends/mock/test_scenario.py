"""Scenario files: what is right loads, what is wrong says file, line, found and expected."""

import json
import re
from pathlib import Path

import pytest

from submeter import backends
from submeter.backends.mock import built_in, create
from submeter.backends.mock.faults import CALLS
from submeter.backends.mock.presets import CHARACTERS, PRESETS
from submeter.backends.mock.scenario import load, parse
from submeter.backends.mock.schema import FAULT, FAULTS, GPU, PROCESS
from submeter.backends.mock.shapes import SHAPES
from submeter.clock import FakeClock
from submeter.errors import InputError
from submeter.units import NS_PER_S

DOCUMENT = Path(__file__).parents[4] / "docs" / "scenario.md"

GOOD = """\
seed = 1
[[gpu]]
model = "H100"
[[process]]
name = "a"
gpu = 0
pid = 1
watts = 100
shape = { kind = "square", duty = 0.5 }
[[fault]]
kind = "hang"
hang_s = 3
"""


@pytest.mark.parametrize(
    ("found", "instead", "line", "message"),
    [
        ("seed = 1", "sead = 1", 1, r'sead: unknown key; did you mean "seed"\?'),
        ("seed = 1", "seed = -1", 1, "seed: found -1, expected a whole number from 0"),
        ("seed = 1", "seed = true", 1, "found true, expected a whole number"),
        ('model = "H100"', 'model = "H1000"', 3, r'gpu\[0\].model: found "H1000", expected "V100"'),
        ('model = "H100"', "", 2, r'"model" is missing'),
        ('model = "H100"', 'model = "H100"\nnoise = 3', 4, 'did you mean "noise_watts"'),
        ('model = "H100"', 'model = "H100"\nlimit_watts = 80', 4, "expected more than idle_watts"),
        ('model = "H100"', 'model = "H100"\nmig = ["9g.1gb"]', 4, 'a profile such as "3g.40gb"'),
        ('model = "H100"', 'model = "H100"\nmig = ["4g.40gb", "4g.40gb"]', 4, "found 8 slices"),
        ('model = "H100"', 'model = "H100"\nleakage_watts_per_c = 10', 4, "would run away"),
        ('model = "H100"', 'model = "H100"\nnoise_watts = nan', 4, "found nan, expected a number"),
        ('name = "a"', "", 4, r'process\[0\]: "name" is missing; it takes a text'),
        ("gpu = 0", "gpu = 1", 6, r"found 1, but there are only GPUs 0…0"),
        ("gpu = 0", "gpu = []", 6, "an array of them"),
        ("gpu = 0", "gpu = 0\nmig_instance = 0", 7, "that GPU has 0 MIG instances"),
        ("pid = 1", 'pid = "1"', 7, 'found "1", expected a whole number'),
        ("pid = 1", "pid = 1\nend_s = 0", 8, "expected more than start_s = 0"),
        ("pid = 1", "pid = 1\nend_s = 5\nevery_s = 4", 9, "expected at least the time"),
        ("watts = 100", "", 4, '"watts" .* is missing'),
        ("watts = 100", 'watts = 100\ncharacter = "tensor"', 9, "not both"),
        ("watts = 100", "watts = 100\nuid = 1.5", 9, "found 1.5, expected a whole number"),
        ("watts = 100", "watts = 100\nenviron = { A = 1 }", 9, "expected a table of texts"),
        ("watts = 100", "watts = 100\nlisten = [0]", 9, "found an array, expected an array of"),
        ('"square"', '"squared"', 9, r'process\[0\].shape.kind: found "squared", expected "const'),
        ("duty", "duti", 9, r'process\[0\].shape.duti: unknown key; did you mean "duty"'),
        ("0.5 }", "2 }", 9, "found 2, expected a number from 0.001 to 0.999"),
        ('{ kind = "square", duty = 0.5 }', "{}", 9, '"kind" is missing'),
        ('{ kind = "square", duty = 0.5 }', "3", 9, "found 3, expected a table"),
        ('kind = "hang"', "", 10, r'fault\[0\]: "kind" is missing; known: error, hang'),
        ('kind = "hang"', 'kind = "hung"', 11, 'found "hung"'),
        ("hang_s = 3", "", 10, '"hang_s" is missing'),
        ("hang_s = 3", "hang_s = 3\nfrom = 4", 13, 'did you mean "from_s"'),
        ("hang_s = 3", "hang_s = 3\nfrom_s = 4\nto_s = 4", 14, "expected more than from_s = 4"),
        ("hang_s = 3", 'hang_s = 3\ncall = "energy"', 13, 'found "energy", expected "all"'),
        ('kind = "hang"\nhang_s = 3', 'kind = "error"\ncode = 31', 12, "1…30, 999"),
        (
            'kind = "hang"\nhang_s = 3',
            'kind = "error"\ncode = "GPU_LOST"',
            12,
            'did you mean "gpu_is_lost"',
        ),
        ("seed = 1", "seed = = 1", 1, "not TOML"),
        ("[[gpu]]", "[gpu]", 2, "found a table, expected an array of tables"),
        (GOOD, "seed = 1", None, '"gpu" is missing'),
        (GOOD, "seed = 1\ngpu = []", 2, "no GPU"),
        (
            "[[fault]]",
            '[[process]]\nname = "b"\ngpu = 0\npid = 1\nwatts = 1\n[[fault]]',
            13,
            '1 belongs to "a" at the same time',
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    found: str, instead: str, line: int | None, message: str
) -> None:
    assert GOOD.count(found) == 1
    with pytest.raises(InputError, match=message) as caught:
        parse(GOOD.replace(found, instead), "file.toml")
    assert caught.value.source == "file.toml"
    assert caught.value.line == line
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_the_good_one_loads() -> None:
    scenario = parse(GOOD)
    assert (len(scenario.boards), len(scenario.processes), len(scenario.faults)) == (1, 1, 1)


def test_built_in_scenarios_run() -> None:
    assert built_in() == ["demo", "faults", "shared", "single", "tour"]
    for name in built_in():
        clock = FakeClock()
        backend = backends.load("mock", clock, {"scenario": name})
        devices = backend.open()
        clock.advance(15 * NS_PER_S)
        for device in devices:
            (reading,) = device.readings(clock.boottime_ns())
            assert reading.energy_uj is not None
        assert "SIMULATED" in backend.notice
        backend.close()


def test_the_demo_node_shows_everything() -> None:
    backend = create(FakeClock(), {"scenario": None})
    assert [board.name for board in backend.scenario.boards] == ["NVIDIA H100 80GB HBM3"] * 8
    assert [bool(board.mig) for board in backend.scenario.boards] == [False] * 7 + [True]
    kinds = {plan.shape.kind for plan in backend.scenario.processes}
    assert {"training-step", "inference-poisson", "square"} <= kinds
    by_gpu = [sum(gpu in p.gpus for p in backend.scenario.processes) for gpu in range(8)]
    assert by_gpu == [1, 1, 1, 1, 1, 1, 2, 2]


def test_a_file_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load(path) == load(str(path)) == parse(GOOD)


@pytest.mark.parametrize("name", ["nowhere.toml", "demoo", "."])
def test_no_such_file(name: str) -> None:
    with pytest.raises(
        InputError, match="built-in scenarios are demo, faults, shared, single, tour"
    ) as caught:
        load(name)
    assert caught.value.source == name


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="can't be read: no text"):
        load(path)


def test_wrong_options() -> None:
    with pytest.raises(InputError, match='did you mean "scenario"'):
        create(FakeClock(), {"scenarios": "x"})
    with pytest.raises(InputError, match="expected a file"):
        create(FakeClock(), {"scenario": 3})


def test_the_truth_is_json() -> None:
    backend = create(FakeClock(), {"scenario": "single"})
    backend.open()
    assert json.loads(json.dumps(backend.truth())) == backend.truth()


def test_the_documents_examples_load() -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        parse(example, DOCUMENT.name)


def test_the_document_names_every_key() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    words = [*GPU, *PROCESS, *FAULT, *FAULTS, *SHAPES, *PRESETS, *CHARACTERS, *CALLS, "seed"]
    words += [name for kind in FAULTS.values() for name in kind.fields]
    words += [name for shape in SHAPES.values() for name in shape.parameters]
    assert [word for word in words if f"`{word}`" not in text] == []
