"""The layers together: who wins, where each value comes from, and what a key may be used for."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter import backends
from submeter.config import (
    Address,
    Config,
    Origin,
    Override,
    backend_options,
    load,
    parse_override,
)
from submeter.config.notation import value_text
from submeter.config.schema import KEYS
from submeter.errors import InputError

HOME: Final[Mapping[str, str]] = {"HOME": "/home/somebody"}

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# Good values for some keys, as TOML has them and as the configuration keeps them.
VALUES: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "sampling.rate_hz": st.one_of(st.just("auto"), st.integers(1, 200).map(float)),
    "settle.interval_s": st.floats(0.1, 60),
    "max_series": st.integers(10, 100_000),
    "backend": st.sampled_from(["nvml", "mock"]),
    "require_gpu": st.booleans(),
    "web.allow_remote": st.booleans(),
    "node.power_budget_watts": st.floats(1, 10_000_000),
}
layers = st.fixed_dictionaries({}, optional=dict(VALUES))


def value_of(config: Config, key: str) -> object:
    section, _, name = key.rpartition(".")
    return getattr(getattr(config, section) if section else config, name)


def as_variable(key: str) -> str:
    section, _, name = key.upper().rpartition(".")
    return f"SUBMETER_{section}__{name}" if section else f"SUBMETER__{name}"


def written(path: Path, layer: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{key} = {value_text(value)}\n" for key, value in layer.items()))
    return path


@in_one_folder
@given(layers, layers, layers)
def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path,
    in_file: dict[str, object],
    in_env: dict[str, object],
    on_line: dict[str, object],
) -> None:
    file = written(tmp_path / "submeter.toml", in_file)
    environ = {as_variable(key): value_text(value) for key, value in in_env.items()}
    overrides = [parse_override(f"{key}={value_text(value)}") for key, value in on_line.items()]

    config = load(file, overrides, {**HOME, **environ})

    for key in VALUES:
        line = list(in_file).index(key) + 1 if key in in_file else 0
        value, origin = next(
            (layer[key], origin)
            for layer, origin in (
                (on_line, Origin("--set")),
                (in_env, Origin(f"environment {as_variable(key)}")),
                (in_file, Origin(str(file), line)),
                ({key: KEYS[key].default}, Origin("default")),
            )
            if key in layer
        )
        assert value_of(config, key) == value
        assert config.origin(key) == origin


def loaded(file: Path | None, *overrides: Override) -> Config | InputError:
    try:
        return load(file, overrides, HOME)
    except InputError as error:
        return error


toml_text = st.recursive(
    st.one_of(
        st.integers(-(2**70), 2**70).map(str),
        st.floats().map(repr),
        st.booleans().map(value_text),
        st.text().map(value_text),
        st.sampled_from(["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", '"mock"', '"auto"']),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.text(max_size=5).map(value_text), inner, max_size=4).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=8,
)
documents = st.dictionaries(
    st.one_of(
        st.sampled_from([*KEYS, "exporters.jsonl", "exporters.prometheus.a", "web", "exporters"]),
        st.text(max_size=8).map(value_text),
    ),
    toml_text,
    max_size=4,
).map(lambda table: "".join(f"{key} = {value}\n" for key, value in table.items()))


@pytest.mark.fault("F87")
@in_one_folder
@given(st.one_of(documents, st.text(), st.binary()))
def test_any_file_is_a_configuration_or_an_input_error(
    tmp_path: Path, content: str | bytes
) -> None:
    file = tmp_path / "any.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    outcome = loaded(file)
    if isinstance(outcome, InputError):
        assert str(outcome).startswith(str(file))
    else:
        assert all(origin.line for origin in outcome.origins.values())


@given(
    st.one_of(st.sampled_from([*KEYS, "exporters.x.y", "web", "exporters"]), st.text()),
    st.one_of(st.text(), toml_text),
)
def test_any_text_on_the_command_line_is_a_configuration_or_an_input_error(
    key: str, text: str
) -> None:
    outcome = loaded(None, Override(key, text))
    assert isinstance(outcome, Config) or str(outcome).startswith("--set: ")


def test_a_later_override_of_a_key_wins() -> None:
    overrides = [Override("max_series", "10"), Override("max_series", "20", "--series")]
    config = load(None, overrides, HOME)
    assert config.max_series == 20
    assert config.origin("max_series") == Origin("--series")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("state_dir=/srv/a b", Path("/srv/a b")),
        ('state_dir="/srv/a b"', Path("/srv/a b")),
        ("state_dir='/srv'", Path("/srv")),
        ("state_dir=2024", Path("2024")),
        ("state_dir=it's", Path("it's")),
        ("state_dir='odd", Path("'odd")),
        ("state_dir=/a=b", Path("/a=b")),
    ],
)
def test_texts_need_no_quotes_on_the_command_line(text: str, value: Path) -> None:
    assert load(None, [parse_override(text)], HOME).state_dir == value


@pytest.mark.parametrize(
    ("text", "address", "remote"),
    [
        ("127.0.0.1:10046", Address("127.0.0.1", 10046), False),
        ("127.9.9.9:0", Address("127.9.9.9", 0), False),
        ("localhost:80", Address("localhost", 80), False),
        ("[::1]:65535", Address("::1", 65535), False),
        ("[::]:1", Address("::", 1), True),
        ("10.1.2.3:1", Address("10.1.2.3", 1), True),
        ("127.example.org:1", Address("127.example.org", 1), False),
    ],
)
def test_addresses(text: str, address: Address, remote: bool) -> None:
    overrides = [Override("web.listen", text), Override("web.allow_remote", "true")]
    listen = load(None, overrides, HOME).web.listen
    assert listen == address
    assert listen.is_remote is remote
    assert str(listen) == text


def test_a_single_word_is_the_name_of_a_scenario_wherever_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text("mock.scenario = 'demo'\n")
    assert load(file, (), HOME).mock.scenario == "demo"


def test_paths_in_a_file_start_at_its_folder_and_others_where_the_command_runs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text("mock.scenario = 'a.toml'\nstate_dir = '/srv/state'\n")
    config = load(file, [Override("replay.trace", "b.trace")], HOME)
    assert config.mock.scenario == tmp_path / "a.toml"
    assert config.state_dir == Path("/srv/state")
    assert config.replay.trace == Path("b.trace")


@pytest.mark.parametrize(
    ("uid", "environ", "expected"),
    [
        (0, HOME, "/var/lib/submeter"),
        (1000, HOME, "/home/somebody/.local/state/submeter"),
        (1000, {**HOME, "XDG_STATE_HOME": "/xdg"}, "/xdg/submeter"),
        (1000, {**HOME, "XDG_STATE_HOME": "relative"}, "/home/somebody/.local/state/submeter"),
    ],
)
def test_where_the_state_goes_by_default(
    monkeypatch: pytest.MonkeyPatch, uid: int, environ: Mapping[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert load(None, (), environ).state_dir == Path(expected)


def test_without_any_home_the_state_needs_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="state_dir must be set where neither XDG_STATE_HOME nor"):
        load(None, (), {})
    assert load(None, [Override("state_dir", "/srv")], {}).state_dir == Path("/srv")


def test_exporters_are_merged_option_by_option(tmp_path: Path) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text(
        "[exporters.jsonl]\npath = 'a.jsonl'\n\n[exporters.jsonl.limits]\nlines = 5\nbytes = 7\n"
    )
    environ = {**HOME, "SUBMETER_EXPORTERS__JSONL__LIMITS__LINES": "6"}
    config = load(file, [Override("exporters.jsonl.limits.bytes", "8")], environ)
    assert config.exporters == {
        "prometheus": {},
        "jsonl": {"path": "a.jsonl", "limits": {"lines": 6, "bytes": 8}},
    }
    assert config.origin("exporters.jsonl.path") == Origin(str(file), 2)
    assert str(config.error("exporters.jsonl.path", "no")) == f"{file}:2: no"


def test_an_empty_table_takes_nothing_away(tmp_path: Path) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text("exporters.jsonl.path = 'a.jsonl'\n")
    config = load(file, [Override("exporters.jsonl", "{}")], HOME)
    assert config.exporters["jsonl"] == {"path": "a.jsonl"}


def test_an_exporter_can_be_turned_off_and_on_again(tmp_path: Path) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text("[exporters.prometheus]\nenabled = false\nprefix = 'x'\n")
    assert load(file, (), HOME).exporters == {}
    on = load(file, [Override("exporters.prometheus.enabled", "true")], HOME)
    assert on.exporters == {"prometheus": {"prefix": "x"}}


def test_integers_for_the_inside() -> None:
    texts = ["sampling.rate_hz=30", "settle.interval_s=0.5", "node.power_budget_watts=7999.5"]
    config = load(None, map(parse_override, texts), HOME)
    assert config.sampling.period_ns == 33_333_333
    assert config.settle.interval_ns == 500_000_000
    assert config.node.power_budget_mw == 7_999_500
    assert load(None, (), HOME).sampling.period_ns is None
    assert load(None, (), HOME).node.power_budget_mw is None


def test_a_backend_is_created_with_the_section_of_its_name() -> None:
    replay = [Override("backend", "replay"), Override("replay.trace", "a.trace")]
    assert backend_options(load(None, replay, HOME)) == {"trace": Path("a.trace"), "speed": 1.0}
    assert backend_options(load(None, [Override("backend", "mock")], HOME)) == {}
    assert backend_options(load(None, (), HOME)) == {}


def test_the_backends_offered_are_those_there_are() -> None:
    accepted = [name for name in backends.NAMES if KEYS["backend"].kind.convert(name)]
    assert accepted == list(backends.NAMES)
    assert all(f'"{name}"' in KEYS["backend"].accepts for name in backends.NAMES)
