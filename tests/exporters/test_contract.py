"""What every exporter keeps to; one that is added is found here by itself."""

import pytest

from submeter.errors import InputError
from submeter.exporting import available, load
from submeter.testing.snapshots import empty, node


@pytest.mark.parametrize("name", available())
def test_has_its_own_name_and_refuses_unknown_options(name: str) -> None:
    with pytest.raises(InputError, match=name):
        load(name, {"no_such_option": 1})


@pytest.mark.parametrize("name", ["prometheus"])
def test_routes_are_absolute_and_answer(name: str) -> None:
    exporter = load(name, {})
    assert exporter.name == name
    assert exporter.interval_ns is None or exporter.interval_ns > 0
    assert all(path.startswith("/") for path in exporter.routes(node))
    for snapshot in (empty(), node(), node(second_gpu_up=False)):
        exporter.publish(snapshot)
    exporter.close()
    exporter.close()
