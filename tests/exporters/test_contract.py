"""What every exporter keeps to; one that is added is found here by itself."""

from collections.abc import Callable

import pytest

from submeter.config.settings import Place, settings
from submeter.errors import InputError
from submeter.exporting import REQUIRED, Exporter, Option, available, load, options_of
from submeter.model import Snapshot
from submeter.testing.snapshots import empty, node
from submeter.web.http import Request, Response

NAMES = available()

Options = Callable[[str], dict[str, object]]
Later = Callable[[Snapshot, int], Snapshot]


@pytest.fixture(params=NAMES)
def exporter(request: pytest.FixtureRequest, working_options: Options) -> Exporter:
    name: str = request.param
    return load(name, working_options(name))


def test_there_are_all_that_are_promised() -> None:
    assert {
        "prometheus",
        "otlp",
        "textfile",
        "jsonl",
        "parquet",
        "codecarbon",
        "dcgm",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_refuses_unknown_options(name: str) -> None:
    with pytest.raises(InputError, match=rf"exporter {name} has no option 'no_such_option'"):
        load(name, {"no_such_option": 1})


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_checked_and_explained(name: str, working_options: Options) -> None:
    for key, option in options_of(name).items():
        assert isinstance(option, Option)
        assert option.help.endswith("."), key
        if option.default is REQUIRED:
            without = {k: v for k, v in working_options(name).items() if k != key}
            with pytest.raises(InputError, match=f"exporter {name} needs {key}: an? "):
                load(name, without)
        with pytest.raises(InputError, match=rf"exporters\.{name}\.{key} must be .*, found"):
            load(name, {**working_options(name), key: ["nobody takes a list in a list", []]})


@pytest.mark.parametrize("name", NAMES)
def test_options_pass_the_configuration_as_they_are(name: str, working_options: Options) -> None:
    table = {"exporters": {name: working_options(name)}}
    found = {each.path[2:]: each.value for each in settings(table, Place("a test"))}
    assert found == {(key,): value for key, value in working_options(name).items()} or (
        found == {(): {}}
    )


def test_says_who_it_is_and_when_it_wants_to_be_called(exporter: Exporter) -> None:
    assert exporter.name in NAMES
    assert exporter.interval_ns is None or exporter.interval_ns > 0


def test_takes_every_snapshot_again_and_again(exporter: Exporter, later: Later) -> None:
    for snapshot in (empty(), node(), node(), later(node(), 5), node(second_gpu_up=False)):
        exporter.publish(snapshot)
    exporter.close()
    exporter.close()


def test_changes_no_snapshot(exporter: Exporter) -> None:
    snapshot = node()
    before = repr(snapshot)
    exporter.publish(snapshot)
    for handler in exporter.routes(lambda: snapshot).values():
        handler(Request("/"))
    exporter.close()
    assert repr(snapshot) == before


def test_routes_are_absolute_and_answer(exporter: Exporter) -> None:
    current: list[Snapshot | None] = [None]
    handlers = exporter.routes(lambda: current[0])
    assert all(path.startswith("/") for path in handlers)
    for snapshot, status in ((None, 503), (node(), 200)):
        current[0] = snapshot
        for path, handler in handlers.items():
            response = handler(Request(path))
            assert isinstance(response, Response)
            assert response.status == status
    exporter.close()
