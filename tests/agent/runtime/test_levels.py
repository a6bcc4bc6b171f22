"""The page that jobs read levels from, over a real socket and real shared memory."""

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import submeter
from submeter.client import link as link_module
from submeter.client.page import PAGE_BYTES, copied, levels_in
from submeter.clock import SystemClock
from submeter.model import Reading
from submeter.runtime.address import listening
from submeter.runtime.labels import LabelServer
from submeter.runtime.levels import WANTED_NS, LevelPage
from submeter.units import NS_PER_S
from submeter.workloads import ProcfsSource
from submeter.workloads.labels import Labels


def watch(uuid: str, index: int, reading: Reading | None) -> Any:
    return SimpleNamespace(info=SimpleNamespace(uuid=uuid, index=index), latest=reading, up=True)


def reading(at_ns: int, energy_uj: int) -> Reading:
    return Reading(at_ns, energy_uj, None, 100_000, None, None, None)


@pytest.fixture
def page() -> Iterator[LevelPage]:
    made = LevelPage(lambda: [watch("GPU-a", 0, None), watch("GPU-b", 1, None)])
    yield made
    made.close()


def mapped(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, PAGE_BYTES, prot=mmap.PROT_READ)


def test_only_what_is_wanted_is_written(page: LevelPage) -> None:
    page.publish("GPU-a", reading(1, 5))
    descriptor = page.hand_out(NS_PER_S)
    assert descriptor is not None
    with mapped(descriptor) as memory:
        assert levels_in(cast("bytes", copied(memory)), 1) == []
        page.publish("GPU-b", reading(NS_PER_S, 7))
        page.publish("GPU-c", reading(NS_PER_S, 7))
        page.publish("GPU-a", reading(NS_PER_S + WANTED_NS + 1, 8))
        (level,) = levels_in(cast("bytes", copied(memory)), NS_PER_S)
    assert (level.uuid, level.gpu, level.energy_uj, level.power_mw) == ("GPU-b", 1, 7, 100_000)


def test_nobody_else_can_change_or_cut_it(page: LevelPage) -> None:
    descriptor = page.hand_out(NS_PER_S)
    assert descriptor is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(descriptor, b"x")
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, PAGE_BYTES)
    with pytest.raises(OSError, match=r"Invalid argument|not permitted"):
        os.ftruncate(descriptor, 0)
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    for change in (lambda: os.ftruncate(again, 0), lambda: os.pwrite(again, b"x", 0)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        mmap.mmap(again, PAGE_BYTES)
    os.close(again)


def test_measure_asks_once_and_looks_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    one = watch("GPU-a", 0, reading(clock.boottime_ns(), 5_000_000))
    page = LevelPage(lambda: [one])
    path = tmp_path / "s"
    server = LabelServer(
        listening(path, None), Labels(), ProcfsSource(), clock, lambda *_: None, page=page.hand_out
    )
    server.start()
    monkeypatch.setenv("SUBMETER_SOCKET", str(path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = link_module.use(link_module.Link())
    try:
        for _ in range(100):
            with submeter.measure() as measured:
                page.publish("GPU-a", reading(clock.boottime_ns(), 6_000_000))
            page.publish("GPU-a", reading(clock.boottime_ns(), 5_000_000))
        assert measured.source == "agent"
        assert measured.joules == pytest.approx(1, abs=0.9)
        assert server.requests()["answered", ""] == 1
    finally:
        link_module.use(before)
        server.stop()
        page.close()


def test_without_such_memory_the_socket_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    clock = SystemClock()
    page = LevelPage(list)
    level = {"uuid": "GPU-a", "gpu": 0, "energy_uj": 5, "at_ns": 0, "power_mw": 0}
    path = tmp_path / "s"
    server = LabelServer(
        listening(path, None),
        Labels(),
        ProcfsSource(),
        clock,
        lambda *_: {"gpus": [level]},
        page=page.hand_out,
    )
    server.start()
    monkeypatch.setenv("SUBMETER_SOCKET", str(path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = link_module.use(link_module.Link())
    try:
        with submeter.measure() as measured:
            pass
        assert measured.source == "agent"
        assert not math.isnan(measured.joules)
    finally:
        link_module.use(before)
        server.stop()
