"""Names of containers, from the files of their managers; and whatever else those may hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from submeter.workloads.containers import ContainerNames
from submeter.workloads.placement import placement

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def in_docker(id_: str) -> str:
    return f"0::/system.slice/docker-{id_}.scope"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for id_, name in ((ONE, "/trainer"), (TWO, "/web-1")):
        folder = tmp_path / "var/lib/docker/containers" / id_
        folder.mkdir(parents=True)
        content = {"ID": id_, "Name": name, "Config": {"Labels": {"name": "evil"}}}
        (folder / "config.v2.json").write_text(json.dumps(content))
    return tmp_path


def test_docker(root: Path) -> None:
    names = ContainerNames(placement, root)
    assert names.has_manager()
    assert names.locate(in_docker(ONE)).container == "1" * 12
    assert [names.wanted, names.refresh(), names.wanted] == [True, True, False]
    assert names.locate(in_docker(ONE)).container == "trainer"
    assert names.locate(in_docker(TWO)).container == "web-1"
    assert [names.wanted, names.refresh()] == [False, False]
    assert names.locate(in_docker(THREE)).container == "3" * 12
    assert [names.wanted] == [True]


def test_docker_elsewhere(root: Path) -> None:
    (root / "etc/docker").mkdir(parents=True)
    (root / "etc/docker/daemon.json").write_text('{"data-root": "/data/docker"}')
    (root / "data").mkdir()
    (root / "var/lib/docker").rename(root / "data/docker")
    names = ContainerNames(placement, root)
    names.refresh()
    assert names.locate(in_docker(ONE)).container == "trainer"


def test_a_container_that_is_gone_is_forgotten(root: Path) -> None:
    names = ContainerNames(placement, root)
    names.refresh()
    folder = root / "var/lib/docker/containers" / ONE
    (folder / "config.v2.json").unlink()
    folder.rmdir()
    names.refresh()
    assert names.locate(in_docker(ONE)).container == "1" * 12


def test_podman(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/containers/storage/overlay-containers"
    folder.mkdir(parents=True)
    (folder / "containers.json").write_text(
        json.dumps([{"id": ONE, "names": ["jolly_turing"]}, {"id": TWO}, {"names": ["x"]}])
    )
    names = ContainerNames(placement, tmp_path)
    names.refresh()
    place = names.locate(f"0::/machine.slice/libpod-{ONE}.scope/container")
    assert place.container == "jolly_turing"


def test_nerdctl(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/nerdctl/1935db59/names/default"
    folder.mkdir(parents=True)
    (folder / "llm").write_text(ONE)
    names = ContainerNames(placement, tmp_path)
    names.refresh()
    assert names.locate(f"0::/system.slice/nerdctl-{ONE}.scope").container == "llm"


def test_pods_keep_what_the_kubelet_says(root: Path) -> None:
    uid = "12345678-1234-1234-1234-123456789abc"
    names = ContainerNames(placement, root)
    names.refresh()
    pod = f"kubepods-pod{uid.replace('-', '_')}.slice"
    path = f"0::/kubepods.slice/{pod}/cri-containerd-{ONE}.scope"
    assert names.locate(path).container == "1" * 12


@pytest.mark.parametrize(
    "content",
    ["", "null", "[]", "{", '{"Name": 5}', '{"Name": "/a b\\n"}', '{"Name": ""}', "[" * 9_000],
)
def test_what_no_manager_would_have_written(root: Path, content: str) -> None:
    (root / "var/lib/docker/containers" / ONE / "config.v2.json").write_text(content)
    (root / "etc/docker").mkdir(parents=True)
    (root / "etc/docker/daemon.json").write_text(content)
    for storage in ("overlay-containers", "vfs-containers"):
        folder = root / "var/lib/containers/storage" / storage
        folder.mkdir(parents=True)
        (folder / "containers.json").write_text(content)
    names = ContainerNames(placement, root)
    names.refresh()
    assert names.locate(in_docker(ONE)).container == "1" * 12
    assert names.locate(in_docker(TWO)).container == "web-1"


def test_a_node_without_containers(tmp_path: Path) -> None:
    names = ContainerNames(placement, tmp_path)
    assert not names.has_manager()
    assert not names.refresh()


def test_a_file_that_is_none(root: Path) -> None:
    import os

    path = root / "var/lib/docker/containers" / ONE / "config.v2.json"
    path.unlink()
    os.mkfifo(path)
    names: Any = ContainerNames(placement, root)
    names.refresh()
    assert names.locate(in_docker(ONE)).container == "1" * 12
