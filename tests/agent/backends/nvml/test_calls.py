"""Only reading: what the source may name, and what the library was really asked for."""

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submeter.backends import nvml
from submeter.backends.nvml.calls import ALLOWED_CALLS

if TYPE_CHECKING:
    from tests.agent.backends.nvml.conftest import Node

PACKAGE = Path(str(nvml.__file__)).parent
CALL = re.compile(r"\bnvml[A-Z]\w*")
WRITES = re.compile(r"Set|Reset|Clear|Create|Destroy|Remove|Modify|Freeze|Inject")
VERSIONS = ("", "_v2", "_v3")
BINDING = {"nvmlInit": "nvmlInitWithFlags", "nvmlLib": None, "nvmlReturn": None}
"""A wrapper; a handle and a field of a structure, which are no calls at all."""


def named() -> set[str]:
    """Every NVML call that the package's code names: attributes and whole strings."""
    found = set()
    for path in PACKAGE.glob("*.py"):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = item.attr if isinstance(item, ast.Attribute) else getattr(item, "value", None)
            if isinstance(text, str) and CALL.fullmatch(text):
                found.add(text)
    return found


@pytest.mark.fault("F25")
def test_the_code_names_only_allowed_calls() -> None:
    names = named()
    assert "nvmlDeviceGetMigDeviceHandleByIndex" in names  # the scan sees something
    strange = {
        name
        for name in names
        if (call := BINDING.get(name, name)) is not None
        and not any(call + version in ALLOWED_CALLS for version in VERSIONS)
    }
    assert strange == set()


@pytest.mark.fault("F25")
def test_no_allowed_call_changes_anything() -> None:
    assert [call for call in ALLOWED_CALLS if WRITES.search(call)] == []


def test_no_allowed_call_is_unused() -> None:
    used = {BINDING.get(name, name) for name in named()}
    unused = {
        call
        for call in ALLOWED_CALLS
        if call not in used and re.sub(r"_v\d$", "", call) not in used
    }
    assert unused == set()


@pytest.mark.fault("F25")
def test_a_full_exercise_stays_within_the_list(node: "Node") -> None:
    devices = node.open(
        "gpu 0",
        "gpu 1 arch=ga100",
        "gpu 2 arch=pascal",
        "gpu 3",
        "process 0 pid=11 mem=1G sm=50",
        "mig 1 gi=7 ci=0 slices=1 memory=10G",
        "process 1 pid=12 mem=1G gi=7 ci=0",
        "gpu 4 arch=hopper",
        "mig 4 gi=7 ci=0 slices=1 memory=10G",
        "fault call=nvmlDeviceGetFieldValues gpu=3 error=13",
        "fault call=nvmlDeviceGetTemperatureV gpu=3 error=13",
        "fault call=nvmlDeviceGetMemoryInfo_v2 gpu=3 error=13",
    )
    for device in devices:
        device.readings(node.now())
        device.activity(node.now())
        device.gauges(node.now())
        device.holders(node.now())
        device.utilisation(node.now())
        device.instances(node.now())
        node.settle()
        node.settle()
        device.instances(node.now())
        node.backend.reopen(device.info.uuid)
    node.backend.rescan()
    node.backend.close()
    assert set(node.world.calls()) <= ALLOWED_CALLS
    assert node.world.offences() == {}
