"""Names of pods: from a kubelet that speaks the real protocol, and from its files."""

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import ReadFailed
from submeter.workloads.podresources import Assigned, assigned
from submeter.workloads.pods import METHOD, PodNames
from submeter.workloads.unary import call

UID = "1f0e9d8c-0000-4000-8000-000000000001"
CONTAINER = "a" * 64
CGROUP = (
    f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{CONTAINER}.scope"
)
KUBELET = Path(__file__).with_name("kubelet.py")


def _field(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def _pod(namespace: str, name: str, container: str, *devices: str) -> bytes:
    held = _field(1, "nvidia.com/gpu") + b"".join(_field(2, device) for device in devices)
    inner = _field(1, container) + _field(2, held) + _field(3, b"\x01\x02")
    return _field(1, _field(1, name) + _field(2, namespace) + _field(3, inner))


MESSAGE = (
    _pod("prod", "search-7c9", "api", "GPU-1")
    + _pod("batch", "train-0", "main", "GPU-2", "GPU-3")
    + _pod("kube-system", "dns", "dns")
)


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Starts the service with that answer; where it listens."""
    pytest.importorskip("grpc", reason="needs grpcio, as `pip install .[dev]` brings")
    running: list[subprocess.Popen[bytes]] = []

    def start(message: bytes) -> Path:
        path = tmp_path / "kubelet.sock"
        process = subprocess.Popen(
            [sys.executable, str(KUBELET), str(path), str(len(message))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message)
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        return path

    yield start
    for process in running:
        process.communicate(timeout=20)


def test_a_kubelet_that_speaks_grpc(kubelet: Callable[[bytes], Path]) -> None:
    path = kubelet(MESSAGE)
    for _ in range(3):
        assert call(str(path), METHOD, 5) == MESSAGE
    with pytest.raises(ReadFailed, match="no message"):
        call(str(path), "/v1.PodResourcesLister/Nonsense", 5)


def test_an_answer_of_many_frames(kubelet: Callable[[bytes], Path]) -> None:
    message = b"".join(_pod("ns", f"pod-{n}", "c", f"GPU-{n}") for n in range(20_000))
    assert len(message) > 500_000
    assert len(assigned(call(str(kubelet(message)), METHOD, 20))) == 20_000


def test_an_empty_node(kubelet: Callable[[bytes], Path]) -> None:
    assert call(str(kubelet(b"")), METHOD, 5) == b""


def test_what_the_message_says() -> None:
    assert assigned(MESSAGE) == (
        Assigned("prod", "search-7c9", "api", frozenset({"GPU-1"})),
        Assigned("batch", "train-0", "main", frozenset({"GPU-2", "GPU-3"})),
        Assigned("kube-system", "dns", "dns", frozenset()),
    )


def test_devices_of_dynamic_resource_allocation() -> None:
    claim = _field(1, "cdi") + _field(4, "gpu-0")
    dynamic = _field(1, "claim") + _field(4, claim)
    pod = _field(1, "p") + _field(2, "n") + _field(3, _field(1, "c") + _field(5, dynamic))
    assert assigned(_field(1, pod)) == (Assigned("n", "p", "c", frozenset({"gpu-0"})),)


@given(data=st.binary(max_size=200))
def test_a_message_of_anything(data: bytes) -> None:
    with suppress(ValueError):
        assigned(data)


@given(keep=st.integers(0, len(MESSAGE) - 1), byte=st.integers(0, 255))
def test_a_damaged_message(keep: int, byte: int) -> None:
    for damaged in (MESSAGE[:keep], MESSAGE[:keep] + bytes([byte]) + MESSAGE[keep + 1 :]):
        with suppress(ValueError):
            assigned(damaged)


def _names(folder: Path, ask: Callable[[str, str, float], bytes] | None = None) -> PodNames:
    (folder / "sock").touch()
    return PodNames(
        folder / "sock",
        checkpoint=folder / "checkpoint",
        pod_logs=folder / "pods",
        container_logs=folder / "containers",
        ask=ask or (lambda *_: b""),
    )


@pytest.mark.fault("F43")
def test_the_service_and_the_checkpoint_together_name_a_pod(tmp_path: Path) -> None:
    entries = [
        {"PodUID": UID, "ContainerName": "main", "DeviceIDs": {"0": ["GPU-2"], "1": ["GPU-3"]}},
        {"PodUID": "other", "ContainerName": "x", "DeviceIDs": {"-1": ["GPU-9"]}},
    ]
    (tmp_path / "checkpoint").write_text(json.dumps({"Data": {"PodDeviceEntries": entries}}))
    names = _names(tmp_path, lambda *_: MESSAGE)
    assert names.locate(CGROUP).pod == UID  # nothing is known yet
    assert names.wanted
    assert names.refresh()
    place = names.locate(CGROUP)
    assert (place.namespace, place.pod, place.container) == ("batch", "train-0", "a" * 12)
    assert not names.refresh()
    assert not names.wanted


def test_the_log_folders_name_a_pod_and_its_container(tmp_path: Path) -> None:
    (tmp_path / "pods" / f"prod_search-7c9_{UID}").mkdir(parents=True)
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / f"search-7c9_prod_api-{CONTAINER}.log").touch()
    names = _names(tmp_path)
    names.refresh()
    place = names.locate(CGROUP)
    assert (place.namespace, place.pod, place.container) == ("prod", "search-7c9", "api")
    assert names.locate("0::/docker/" + "b" * 64).container == "b" * 12


@pytest.mark.parametrize(
    "checkpoint",
    ["", "{", "[]", "null", '{"Data": null}', '{"Data": {"PodDeviceEntries": [5]}}', "[" * 50_000],
)
def test_a_checkpoint_of_anything(tmp_path: Path, checkpoint: str) -> None:
    (tmp_path / "checkpoint").write_text(checkpoint)
    names = _names(tmp_path, lambda *_: MESSAGE)
    names.refresh()
    assert names.locate(CGROUP).pod == UID


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\4\0\0\0\0\0",
        b"\xff\xff\xff\0\0\0\0\0\1",
        b"\0\0\0\7\0\0\0\0\0",
        b"\0\0\0\0\x08\0\0\0\1",
        struct.pack("!I", 2)[1:] + b"\0\1\0\0\0\1ab",
        (b"\0\0\0\6\0\0\0\0\0") * 20_000,
    ],
)
def test_somebody_else_on_the_socket(tmp_path: Path, bytes_: bytes) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(bytes_)
                connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises((ReadFailed, OSError)):
            call(str(path), METHOD, 2)
        thread.join()
