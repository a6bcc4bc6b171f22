"""Every key of a TOML text is found on the line it was written on."""

import tomllib
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.toml_lines import (
    Path,
    format_path,
    key_lines,
    locate,
    parse_path,
    syntax_error_line,
)

TEXT = '''\
# a comment with [brackets] = "and" more
seed = 7
a.b = 1  # dotted
list = [
    1, 2.5,  # [[not.a.table]]
    { x = 1, y = ["]", "}"] },
]

[sampling]
rate_hz = "auto"
"odd key" = 1979-05-27T07:32:00Z

[[gpu]]
name = "H100 # not a comment"
[[gpu.process]]
argv = ["python", "x = [1]"]
[gpu.process.shape]
kind = "square"

[[gpu]]
name = """two
lines = \\"""quoted\\""" """
shape = { kind = 'ramp', to = -1.5e3 }
[[gpu.process]]
pid = 1
[[gpu.process]]
pid = 2
'''

EXPECTED = {
    "seed": 2,
    "a": 3,
    "a.b": 3,
    "list": 4,
    "list[0]": 5,
    "list[2]": 6,
    "list[2].y": 6,
    "list[2].y[1]": 6,
    "sampling": 9,
    "sampling.rate_hz": 10,
    'sampling."odd key"': 11,
    "gpu": 13,
    "gpu[0]": 13,
    "gpu[0].name": 14,
    "gpu[0].process[0]": 15,
    "gpu[0].process[0].argv[1]": 16,
    "gpu[0].process[0].shape.kind": 18,
    "gpu[1]": 20,
    "gpu[1].name": 21,
    "gpu[1].shape": 23,
    "gpu[1].shape.to": 23,
    "gpu[1].process[0].pid": 25,
    "gpu[1].process[1]": 26,
    "gpu[1].process[1].pid": 27,
}


@pytest.mark.parametrize(("key", "line"), EXPECTED.items())
def test_finds_the_line(key: str, line: int) -> None:
    assert locate(TEXT, key) == line


@pytest.mark.parametrize("key", ["nowhere", "gpu[2]", "gpu.name", "seed.x", "sampling[0]", ""])
def test_none_for_what_is_not_there(key: str) -> None:
    assert locate(TEXT, key) is None


def test_finds_exactly_what_tomllib_finds() -> None:
    assert set(key_lines(TEXT)) == set(_paths(tomllib.loads(TEXT)))


def test_the_line_of_a_syntax_error() -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads("a = 1\nb = = 2\n")
    assert syntax_error_line(caught.value) == 2


words = st.text(alphabet="abc-_09. ", min_size=1, max_size=4)
scalars = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(['"a # b"', "'[[x]]'", '"\\""', "true", "1.5", '"""\n= [\n"""', "'''\n'\n'''"]),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "# [c] = 1\n", "\n"]), scalars, st.integers(0, 2)),
        max_size=8,
    )
)
def test_agrees_with_where_it_was_written(rows: list[tuple[str, str, int]]) -> None:
    text = ""
    expected: dict[Path, int] = {}
    for index, (before, value, form) in enumerate(rows):
        text += before
        line = text.count("\n") + 1
        if form == 0:
            text += f"[[t]]\nk = {value}\n"
            element = sum(1 for path in expected if len(path) == 2)
            expected |= {("t", element): line, ("t", element, "k"): line + 1}
        elif form == 1:
            text += f"[s{index}]\nk = [{value},\n {{ z = {value} }}]\n"
            expected[f"s{index}", "k", 1, "z"] = line + 2 + value.count("\n")
        else:
            text += f'[s{index}."q.r"]\n"k k".l = {value}\n'
            expected[f"s{index}", "q.r", "k k", "l"] = line + 1
    lines = key_lines(text)
    assert set(lines) == set(_paths(tomllib.loads(text)))
    assert {path: lines[path] for path in expected} == expected


@given(st.lists(st.one_of(words, st.integers(0, 99)), min_size=1, max_size=5))
def test_paths_survive_formatting(parts: list[str | int]) -> None:
    path = ("root", *parts)
    assert parse_path(format_path(path)) == path


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))
