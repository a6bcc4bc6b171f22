"""What the kubelet knows of pods in, a process's place with the pod's names out.

A cgroup says which pod (its UID) and container (its id) a process is in, and no more. Names come
from the kubelet alone, never from a tenant:

* its pod-resources service names pods and their devices, without UIDs; its device checkpoint has
  UIDs and devices, without names: joined by the devices;
* its log folders, ``/var/log/pods/NAMESPACE_NAME_UID`` and ``/var/log/containers/
  POD_NAMESPACE_CONTAINER-ID.log``, where they are visible.

Where neither is, the pod keeps its UID for a name.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.errors import ReadFailed
from submeter.workloads.files import content, entries
from submeter.workloads.placement import SHORT_ID, Placement, placement
from submeter.workloads.podresources import Assigned, assigned
from submeter.workloads.unary import call

METHOD: Final = "/v1.PodResourcesLister/List"
CHECKPOINT: Final = Path("/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint")
POD_LOGS: Final = Path("/var/log/pods")
CONTAINER_LOGS: Final = Path("/var/log/containers")
_TIMEOUT_S: Final = 2.0
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_ENTRIES: Final = 20_000

# Names are DNS labels (RFC 1123): they can't hold the "_" that the kubelet puts between them.
_LABEL: Final = r"[a-z0-9](?:[-.a-z0-9]{0,252})"
_POD_FOLDER: Final = re.compile(rf"({_LABEL})_({_LABEL})_([0-9a-f-]{{32,36}})")
_CONTAINER_LOG: Final = re.compile(rf"{_LABEL}_{_LABEL}_({_LABEL})-([0-9a-f]{{64}})\.log")


class PodName(NamedTuple):
    """A pod, as people know it."""

    namespace: str
    name: str


class Names(NamedTuple):
    """Pods by UID, containers by the beginning of their id."""

    pods: Mapping[str, PodName] = {}
    containers: Mapping[str, str] = {}


class PodNames:
    """Owns the names known now. `refresh` (slow: files, a socket) from one thread, `locate` from
    another."""

    def __init__(
        self,
        socket: Path,
        *,
        checkpoint: Path = CHECKPOINT,
        pod_logs: Path = POD_LOGS,
        container_logs: Path = CONTAINER_LOGS,
        ask: Callable[[str, str, float], bytes] = call,
    ) -> None:
        self.error = ""
        self.wanted = True  # somebody asked for a pod that isn't known
        self._socket = socket
        self._checkpoint = checkpoint
        self._pod_logs = pod_logs
        self._container_logs = container_logs
        self._ask = ask
        self._names = Names()

    def has_kubelet(self) -> bool:
        """Whether anything of a kubelet is visible here."""
        return self._socket.exists() or self._pod_logs.is_dir()

    def locate(self, cgroup: str) -> Placement:
        """`placement`, with the names of the pod and its container where they are known."""
        place = placement(cgroup)
        names = self._names
        if not place.pod:
            return place
        pod = names.pods.get(place.pod)
        if pod is None:
            self.wanted = True
            return place
        container = names.containers.get(place.container, place.container)
        return place._replace(namespace=pod.namespace, pod=pod.name, container=container)

    def refresh(self) -> bool:
        """Asks again; whether anything is known now that wasn't."""
        self.wanted = False
        pods = dict(_logged_pods(self._pod_logs))
        pods.update(_joined(self._listed(), _checkpointed(self._checkpoint)))
        names = Names(pods, dict(_logged_containers(self._container_logs)))
        before, self._names = self._names, names
        return names != before

    def _listed(self) -> tuple[Assigned, ...]:
        if not self._socket.exists():
            self.error = "no pod-resources socket"
            return ()
        try:
            found = assigned(self._ask(os.fspath(self._socket), METHOD, _TIMEOUT_S))
        except (ReadFailed, OSError, ValueError) as error:
            self.error = str(error)
            return ()
        self.error = ""
        return found


def _joined(
    listed: Iterable[Assigned], checkpointed: Mapping[frozenset[str], str]
) -> Iterable[tuple[str, PodName]]:
    """UID and name of each pod whose devices are in both; a set of devices is one container's."""
    for one in listed:
        uid = checkpointed.get(one.devices) if one.devices else None
        if uid is not None:
            yield uid, PodName(one.namespace, one.pod)


def _checkpointed(path: Path) -> Mapping[frozenset[str], str]:
    """Devices of each container → its pod's UID, from the kubelet's own file: {"Data":
    {"PodDeviceEntries": [{"PodUID", "ContainerName", "DeviceIDs": {"<numa>": […]}}]}}."""
    said = content(path, _MOST_BYTES)
    try:
        data: Any = json.loads(said) if said else {}
        devices: dict[tuple[str, str], set[str]] = {}
        for entry in data.get("Data", {}).get("PodDeviceEntries") or ():
            ids = entry["DeviceIDs"]
            flat = [one for some in ids.values() for one in some] if isinstance(ids, dict) else ids
            whose = devices.setdefault((entry["PodUID"], entry["ContainerName"]), set())
            whose.update(flat)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {frozenset(ids): uid for (uid, _), ids in devices.items() if ids}


def _logged_pods(folder: Path) -> Iterable[tuple[str, PodName]]:
    for name in entries(folder, _MOST_ENTRIES):
        match = _POD_FOLDER.fullmatch(name)
        if match is not None:
            yield match[3], PodName(match[1], match[2])


def _logged_containers(folder: Path) -> Iterable[tuple[str, str]]:
    for name in entries(folder, _MOST_ENTRIES):
        match = _CONTAINER_LOG.fullmatch(name)
        if match is not None:
            yield match[2][:SHORT_ID], match[1]
