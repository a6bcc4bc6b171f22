"""Every surface that parses what submeter doesn't control: a value, or the error it documents."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import InputError
from submeter_fuzz import counts, parsers
from submeter_fuzz.surface import Surface, outcome
from submeter_fuzz.surfaces import SURFACES

CORPUS = Path(__file__).parents[2] / "reliability/corpus"
TOKENS = (
    *(b'"', b"[", b"]", b"{", b"}", b"\n", b"\r\n", b"\0", b"-1", b"1e999", b"nan", b"\xff"),
    *(b"=", b"\x7f", b"\xed\xa0\x80", b"99999999999999999999", b"null", b"true", b":", b","),
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


def corpus(name: str) -> list[bytes]:
    """What fuzzing came upon, smallest first."""
    return sorted((path.read_bytes() for path in (CORPUS / name).glob("*")), key=len)


def changed(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Good inputs with pieces taken out, put in, doubled; or anything."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(0, 5))):
            at = draw(st.integers(0, len(data)))
            until = draw(st.integers(at, min(at + 12, len(data))))
            piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=6) | st.just(data[:40]))
            data = data[:at] + piece + data[until:]
        return data

    return change() | st.binary(max_size=300)


@pytest.mark.fault("F39", "F40", "F41", "F43", "F63", "F80", "F87", "F95")
@pytest.mark.parametrize("name", SURFACES)
def test_any_bytes_are_a_value_or_an_error_that_is_documented(name: str) -> None:
    surface = SURFACES[name]

    @settings(max_examples=15 if name == "ledger_file" else 60)
    @given(data=changed(surface.seeds))
    def take(data: bytes) -> None:
        outcome(surface, data)

    take()


@pytest.mark.parametrize("name", SURFACES)
def test_what_fuzzing_came_upon_is_taken_as_well(name: str) -> None:
    for data in corpus(name):
        outcome(SURFACES[name], data)


@pytest.mark.parametrize("name", SURFACES)
def test_good_inputs_lead_somewhere(name: str) -> None:
    """Seeds that are all refused at once would let nothing be found."""
    surface = SURFACES[name]
    assert "" in {outcome(surface, data) for data in (*surface.seeds, *corpus(name))}


def test_an_error_that_is_not_documented_is_a_defect() -> None:
    def take(data: bytes) -> object:
        return {b"x": 1}[data]

    surface = Surface(take, (InputError,), (b"x",))
    assert outcome(surface, b"x") == ""
    with pytest.raises(KeyError):
        outcome(surface, b"y")


def test_counts_add_up(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.json"
    counts.add({"http": 7}, path)
    counts.add({"http": 5, "rules": 1}, path)
    found = counts.read(path)
    assert {name: count.inputs for name, count in found.items()} == {"http": 12, "rules": 1}
    assert all(count.date for count in found.values())


def test_inputs_of_a_parser_that_was_changed_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fuzz.json"
    counts.add({"http": 7, "rules": 1}, path)
    monkeypatch.setattr(counts, "version", lambda _name: "another")
    assert counts.read(path) == {}
    counts.add({"http": 3}, path)
    assert {name: count.inputs for name, count in counts.read(path).items()} == {"http": 3}


def test_comments_make_no_other_parser() -> None:
    plain = parsers._code('"""A."""\n\n\ndef f(x):\n    return x + 1\n')
    assert plain == parsers._code('"""B."""\n\n\ndef f(x):\n    # why\n    return x + 1\n')
    assert plain != parsers._code('"""A."""\n\n\ndef f(x):\n    return x + 2\n')


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_names_its_parser(name: str) -> None:
    """Else nothing would be instrumented, and the search would be blind."""
    left = set(parsers.modules()) - set(parsers.others(name))
    for prefix in parsers.PARSERS[name]:
        assert any(each.startswith(f"submeter.{prefix}") for each in left), prefix


def test_what_is_kept_is_of_surfaces_that_there_are() -> None:
    assert set(counts.read()) <= set(SURFACES) == set(parsers.PARSERS)
    assert {path.name for path in CORPUS.iterdir()} <= set(SURFACES)
