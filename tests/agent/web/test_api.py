"""The JSON of a snapshot: exact, complete and readable by strict readers."""

import json
from collections import defaultdict
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.model import Owner, ProcessKey, Verdict
from submeter.testing.snapshots import empty, node
from submeter.web.api import snapshot_json

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


def test_parts_sum_to_each_gpus_total() -> None:
    content = json.loads(snapshot_json(node()))
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for part in content["energy"]:
        sums[part["uuid"]] += Decimal(part["joules"])
    for gpu in content["gpus"]:
        assert sums[gpu["uuid"]] == Decimal(gpu["joules"])
        assert sum(map(Decimal, gpu["joules_by_method"].values())) == Decimal(gpu["joules"])


def test_values_are_in_the_units_of_their_names() -> None:
    gpu, down = json.loads(snapshot_json(node(second_gpu_up=False)))["gpus"]
    assert gpu["power_watts"] == 612.256
    assert gpu["crosscheck_ratio"] == 0.997213
    assert gpu["processes"][0]["watts"] == 437.25
    assert gpu["suspect_joules"] == {"jump": "9000"}
    assert (down["up"], down["down_reason"]) == (False, "gpu_is_lost")
    assert down["power_watts"] is None
    assert down["utilization_percent"] is None


def test_an_empty_node_is_no_error() -> None:
    content = json.loads(snapshot_json(empty()))
    assert content["schema"] == 1
    assert content["gpus"] == content["energy"] == []
    assert content["power_watts"] is None


def test_every_field_is_documented() -> None:
    documented = DOCS.read_text()
    content = json.loads(snapshot_json(node()))
    names = {*content, *content["gpus"][0], *content["gpus"][0]["processes"][0]}
    names |= {*content["energy"][0], *content["power"][0]}
    names |= {field.name for record in (Verdict,) for field in fields(record)}
    names |= {*Owner._fields, *ProcessKey._fields}
    assert sorted(name for name in names if f"`{name}`" not in documented) == []


@given(st.text(st.characters()))
@settings(max_examples=50)
def test_hostile_names_are_still_json(name: str) -> None:
    body = snapshot_json(replace(node(), notice=name, components_up={name: True}))
    decoded: Any = json.loads(body)
    decoded["notice"].encode()  # a lone surrogate would not
