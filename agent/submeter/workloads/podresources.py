"""Bytes of the kubelet's pod-resources answer in, which pod's container holds which devices out.

The message is `v1.ListPodResourcesResponse` of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto;
of the wire format (protobuf.dev/programming-guides/encoding) only what it uses is read, so that no
protobuf library is needed. Unknown fields are passed over, as later versions add some.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_LONGEST_VARINT: Final = 10


class Assigned(NamedTuple):
    """One container and the ids of the devices that the kubelet gave it."""

    namespace: str
    pod: str
    container: str
    devices: frozenset[str]


def assigned(message: bytes) -> tuple[Assigned, ...]:
    """Every container of a ListPodResourcesResponse. Raises ValueError where it is none."""
    found: list[Assigned] = []
    for number, pod in _fields(message):
        if number == 1 and isinstance(pod, bytes):
            found.extend(_pod(pod))
    return tuple(found)


def _pod(message: bytes) -> Iterator[Assigned]:
    """PodResources {name=1, namespace=2, containers=3}."""
    fields = list(_fields(message))
    name, namespace = _text(fields, 1), _text(fields, 2)
    for number, container in fields:
        if number == 3 and isinstance(container, bytes):
            inner = list(_fields(container))
            yield Assigned(namespace, name, _text(inner, 1), frozenset(_devices(inner)))


def _devices(container: list[tuple[int, int | bytes]]) -> Iterator[str]:
    """ContainerResources {devices=2: ContainerDevices {resource_name=1, device_ids=2}, and
    dynamic_resources=5: {claim_resources=4: {device_name=4}}}."""
    for number, value in container:
        if not isinstance(value, bytes):
            continue
        if number == 2:
            yield from (_decoded(one) for at, one in _fields(value) if at == 2)
        elif number == 5:
            for at, claim in _fields(value):
                if at == 4 and isinstance(claim, bytes):
                    yield _text(list(_fields(claim)), 4)


def _text(fields: list[tuple[int, int | bytes]], number: int) -> str:
    return next((_decoded(value) for at, value in fields if at == number), "")


def _decoded(value: int | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED32, _FIXED64}:
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(message):
            raise ValueError("cut off")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= len(message):
            raise ValueError("cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
