"""Everything a configuration can be wrong in, and the exact words that are said about it."""

from pathlib import Path

import pytest

from submeter.config import load, parse_override
from submeter.errors import EXIT_USAGE, InputError

ENVIRON = {"HOME": "/home/somebody"}
TOP = (
    "known are backend, classify, exporters, footprint, ledger, max_series, mock, node, replay, "
    "require_gpu, sampling, settle, state_dir, throughput, web"
)
RATE = 'sampling.rate_hz must be "auto" or a number from 0.1 to 200 (Hz), found'
INTERVAL = "settle.interval_s must be a number from 0.1 to 60 (s), found"
SERIES = "max_series must be a whole number from 10 to 100000, found"
BACKEND = 'backend must be "nvml", "mock" or "replay", found'
STATE = 'state_dir must be a path, with any "~" written out, found'
LISTEN = 'web.listen must be "HOST:PORT", such as "127.0.0.1:10046" or "[::1]:10046", found'
BUDGET = "node.power_budget_watts must be a number from 1 to 10000000 (W), found"
REMOTE = (
    "can be reached from other machines and nobody is asked who they are: "
    "set web.config_file or web.bearer_tokens_file so that they are, or "
    "web.allow_remote = true if that is meant"
)

FILES = [
    # unknown keys: the nearest known one, or what there is
    (
        "sampling.rate_hertz = 10",
        1,
        "unknown key sampling.rate_hertz; did you mean sampling.rate_hz?",
    ),
    ("[sampling]\nrate = 10", 2, "unknown key sampling.rate; did you mean sampling.rate_hz?"),
    ("rate_hz = 10", 1, "unknown key rate_hz; did you mean sampling.rate_hz?"),
    ("listen = '127.0.0.1:9'", 1, "unknown key listen; did you mean web.listen?"),
    (
        "[web]\n\nallow_remotes = 1",
        3,
        "unknown key web.allow_remotes; did you mean web.allow_remote?",
    ),
    ("state-dir = '/x'", 1, "unknown key state-dir; did you mean state_dir?"),
    ("\n\n[samplng]\nrate_hz = 1", 3, "unknown key samplng; did you mean sampling?"),
    ("[climate]\npue = 1.2", 1, f"unknown key climate; {TOP}"),
    ("colour = 'red'", 1, f"unknown key colour; {TOP}"),
    (
        "[web]\ncolour = 'red'",
        2,
        "unknown key web.colour; known are web.allow_remote, web.bearer_tokens_file, "
        "web.config_file, web.listen",
    ),
    ('"web.listen" = "127.0.0.1:1"', 1, 'unknown key "web.listen"; did you mean web.listen?'),
    ('"" = 1', 1, f'unknown key ""; {TOP}'),
    (f"{'k' * 99} = 1", 1, f"unknown key {'k' * 60}…; {TOP}"),
    # numbers
    ("[sampling]\n# why\n\nrate_hz = 'fast'", 4, f'{RATE} "fast"'),
    ("[sampling]\nrate_hz = 0", 2, f"{RATE} 0"),
    ("[sampling]\nrate_hz = 201", 2, f"{RATE} 201"),
    ("[sampling]\nrate_hz = 200.5", 2, f"{RATE} 200.5"),
    ("[sampling]\nrate_hz = true", 2, f"{RATE} true"),
    ("[sampling]\nrate_hz = nan", 2, f"{RATE} nan"),
    ("[sampling]\nrate_hz = -inf", 2, f"{RATE} -inf"),
    ("[sampling]\nrate_hz = [10]", 2, f"{RATE} an array"),
    ("[sampling.rate_hz]\nvalue = 1", 1, f"{RATE} a table"),
    ("sampling = { rate_hz = -1 }", 1, f"{RATE} -1"),
    ("settle.interval_s = '1s'", 1, f'{INTERVAL} "1s"'),
    ("settle.interval_s = 61", 1, f"{INTERVAL} 61"),
    ("settle.interval_s = 1979-05-27", 1, f"{INTERVAL} 1979-05-27"),
    ("node.power_budget_watts = 0", 1, f"{BUDGET} 0"),
    ("node.power_budget_watts = '8 kW'", 1, f'{BUDGET} "8 kW"'),
    ("replay.speed = 0", 1, "replay.speed must be a number from 0.001 to 100000, found 0"),
    ("max_series = 2000.0", 1, f"{SERIES} 2000.0"),
    ("max_series = 9", 1, f"{SERIES} 9"),
    ("max_series = '2000'", 1, f'{SERIES} "2000"'),
    ("max_series = true", 1, f"{SERIES} true"),
    (f"max_series = {'9' * 100}", 1, f"{SERIES} {'9' * 60}…"),
    # words and switches
    ("backend = 'nvidia'", 1, f'{BACKEND} "nvidia"'),
    ("backend = 1", 1, f"{BACKEND} 1"),
    ("backend = ['nvml']", 1, f"{BACKEND} an array"),
    ('backend = "a\\u001b[31m\\n"', 1, f'{BACKEND} "a\\u001b[31m\\n"'),
    ("require_gpu = 'yes'", 1, 'require_gpu must be true or false, found "yes"'),
    ("require_gpu = 1", 1, "require_gpu must be true or false, found 1"),
    # paths and addresses
    ("state_dir = ''", 1, f'{STATE} ""'),
    ("state_dir = '~/state'", 1, f'{STATE} "~/state"'),
    ("state_dir = 7", 1, f"{STATE} 7"),
    ('state_dir = "a\\u0000b"', 1, f'{STATE} "a\\u0000b"'),
    (
        "mock.scenario = { file = 'a' }",
        1,
        'mock.scenario must be a name or a path, with any "~" written out, found a table',
    ),
    ("web.listen = ':10046'", 1, f'{LISTEN} ":10046"'),
    ("web.listen = '127.0.0.1'", 1, f'{LISTEN} "127.0.0.1"'),
    ("web.listen = '127.0.0.1:65536'", 1, f'{LISTEN} "127.0.0.1:65536"'),
    ("web.listen = '::1:10046'", 1, f'{LISTEN} "::1:10046"'),
    ("web.listen = '127.0.0.1:١'", 1, f'{LISTEN} "127.0.0.1:١"'),
    ("web.listen = 10046", 1, f"{LISTEN} 10046"),
    # what doesn't fit together
    ("\nweb.listen = '0.0.0.0:1'", 2, f"web.listen 0.0.0.0:1 {REMOTE}"),
    ("web.listen = '[::]:1'", 1, f"web.listen [::]:1 {REMOTE}"),
    (
        "backend = 'replay'",
        1,
        'backend "replay" needs a recording to play: set replay.trace (--trace FILE)',
    ),
    # tables
    ("sampling = 10", 1, "sampling must be a table, [sampling], found 10"),
    ("[[sampling]]\nrate_hz = 10", 1, "sampling must be a table, [sampling], found an array"),
    ("exporters = ['prometheus']", 1, "exporters must be a table, [exporters], found an array"),
    (
        "[exporters]\nprometheus = true",
        2,
        "exporters.prometheus must be a table, [exporters.prometheus], found true",
    ),
    (
        "[exporters.jsonl]\n\nenabled = 'no'",
        3,
        'exporters.jsonl.enabled must be true or false, found "no"',
    ),
    ("[exporters.'a b']", 1, 'exporters."a b": an exporter is named in letters, digits, _ and -'),
    (f"exporters.{'.'.join('a' * 40)} = 1", 1, "exporters.a is nested too deeply"),
    (f"[exporters.a]\nb = {'[' * 30}{']' * 30}", 1, "exporters.a is nested too deeply"),
]

SYNTAX = [
    ("backend = nvml", 1),
    ("backend = 'nvml'\nbackend = 'mock'", 2),
    ("[web]\n[web]", 2),
    ("\n[web", 2),
    ("max_series = ", 1),
    ("\n\n\nexporters.a.b = [", 4),
    ("backend = 'nv\0ml'", 1),
    ("- yaml: true", 1),
    ("a = &anchor [*anchor]", 1),
]

TEXTS = [
    ("sampling.rate_hz=fast", f'{RATE} "fast"'),
    ("sampling.rate=10", "unknown key sampling.rate; did you mean sampling.rate_hz?"),
    ("max_series=1e3", f"{SERIES} 1000.0"),
    ("max_series=5 \n x=2", f'{SERIES} "5 \\n x=2"'),
    ("web.listen=0.0.0.0:80", f"web.listen 0.0.0.0:80 {REMOTE}"),
    ("sampling=5", "sampling must be a table, [sampling], found 5"),
    ("require_gpu=True", 'require_gpu must be true or false, found "True"'),
    ("backend=", f'{BACKEND} ""'),
    (".=1", f'unknown key ""; {TOP}'),
    ("node={power_budget_watts=0}", f"{BUDGET} 0"),
    ("exporters..a=1", 'exporters."": an exporter is named in letters, digits, _ and -'),
    ("max_series.x=1", f"{SERIES} a table"),
]


@pytest.mark.fault("F87")
@pytest.mark.parametrize(("text", "line", "message"), FILES)
def test_a_wrong_file_is_told_line_found_and_expected(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text(f"{text}\n")
    with pytest.raises(InputError) as caught:
        load(file, (), ENVIRON)
    assert str(caught.value) == f"{file}:{line}: {message}"
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(("text", "line"), SYNTAX)
def test_what_is_no_toml_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(file, (), ENVIRON)
    assert str(caught.value).startswith(f"{file}:{line}: not valid TOML: ")
    assert "(at " not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_text_from_the_command_line_is_held_to_the_same(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(None, [parse_override(text)], ENVIRON)
    assert str(caught.value) == f"--set: {message}"


@pytest.mark.parametrize("text", ["max_series", "=5", "", " = 5"])
def test_an_override_without_key_or_value_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_override(text)
    assert str(caught.value) == (
        f'--set: expected KEY=VALUE, such as sampling.rate_hz=10, found "{text}"'
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SUBMETER_SAMPLING__RATE_HZ", "fast", f'{RATE} "fast"'),
        ("SUBMETER_SAMPLNG__RATE_HZ", "1", "unknown key samplng; did you mean sampling?"),
        ("SUBMETER__MAX_SERIES", "1", f"{SERIES} 1"),
        ("SUBMETER__MAX_SERIE", "1", "unknown key max_serie; did you mean max_series?"),
        ("SUBMETER_MAX_SERIES__", "5", f"{SERIES} a table"),
        ("SUBMETER__", "", f'unknown key ""; {TOP}'),
        ("SUBMETER_A___B", "", f"unknown key a; {TOP}"),
        ("SUBMETER_WEB__LISTEN", "[::]:5", f"web.listen [::]:5 {REMOTE}"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(None, (), {**ENVIRON, name: value})
    assert str(caught.value) == f"environment {name}: {message}"


@pytest.mark.parametrize(
    "name",
    [
        "SUBMETER_PHASE",
        "SUBMETER_WORKLOAD",
        "SUBMETER_DEBUG",
        "SUBMETER_PORT_10046_TCP",
        "SUBMETERX__Y",
    ],
)
def test_variables_that_only_look_like_ours_are_left_alone(name: str) -> None:
    assert load(None, (), {**ENVIRON, name: "anything"}).origins == {}
