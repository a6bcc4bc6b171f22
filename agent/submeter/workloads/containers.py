"""What container managers keep on disk in, a process's place with its container's name out.

A cgroup gives a container's id. Its name is in files that only root's managers write:

* Docker: ``<data-root>/containers/ID/config.v2.json``, ``"Name": "/NAME"``;
* Podman as root: ``/var/lib/containers/storage/*-containers/containers.json``, a list of
  ``{"id", "names"}`` (github.com/containers/storage, containers.go);
* nerdctl on containerd: ``/var/lib/nerdctl/HASH/names/NAMESPACE/NAME``, files that hold the id.

Where they aren't visible, as from within a pod, a container keeps the beginning of its id. Rootless
containers are their user's own and have no name here.
"""

import json
import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from submeter.workloads.files import content, entries
from submeter.workloads.placement import SHORT_ID, Placement

ROOT: Final = Path("/")
_DOCKER: Final = "var/lib/docker"
_DOCKER_SETTINGS: Final = "etc/docker/daemon.json"
_STORAGE: Final = "var/lib/containers/storage"
_NERDCTL: Final = "var/lib/nerdctl"
_ID: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
"""What Docker, Podman and nerdctl accept as a name."""
_MOST_CONTAINERS: Final = 2_000
_ID_BYTES: Final = 64
_MOST_BYTES: Final = 4 * 1024 * 1024


class ContainerNames:
    """Owns the names known now. `refresh` (slow: files) from one thread, `locate` from another."""

    def __init__(self, locate: Callable[[str], Placement], root: Path = ROOT) -> None:
        """``locate`` finds the place, pods' names included."""
        self.wanted = True  # somebody asked for a container that isn't known
        self._inner = locate
        self._root = root
        self._names: Mapping[str, str] = {}

    def has_manager(self) -> bool:
        """Whether the files of any manager are visible here."""
        folders = (self._docker() / "containers", self._root / _STORAGE, self._root / _NERDCTL)
        return any(folder.is_dir() for folder in folders)

    def locate(self, cgroup: str) -> Placement:
        """The place, with the name of a container outside of pods where it is known."""
        place = self._inner(cgroup)
        if not place.container or place.pod:
            return place
        name = self._names.get(place.container)
        if name is None:
            self.wanted = True
            return place
        return place._replace(container=name)

    def refresh(self) -> bool:
        """Looks again; whether anything is known now that wasn't."""
        self.wanted = False
        before = self._names
        self._names = {**self._by_docker(before), **self._by_podman(), **self._by_nerdctl()}
        return self._names != before

    def _docker(self) -> Path:
        settings = _json(self._root / _DOCKER_SETTINGS)
        given = settings.get("data-root") if isinstance(settings, dict) else None
        plain = isinstance(given, str) and given.startswith("/")
        return self._root / (given.lstrip("/") if plain and isinstance(given, str) else _DOCKER)

    def _by_docker(self, known: Mapping[str, str]) -> Mapping[str, str]:
        """Each file is read once: a container is renamed seldom, and then it is known by what it
        was called."""
        folder = self._docker() / "containers"
        found: dict[str, str] = {}
        for entry in entries(folder, _MOST_CONTAINERS):
            id_ = entry[:SHORT_ID]
            if not _ID.fullmatch(entry):
                continue
            settings = None if id_ in known else _json(folder / entry / "config.v2.json")
            name = settings.get("Name") if isinstance(settings, dict) else known.get(id_)
            _note(found, entry, name)
        return found

    def _by_podman(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for driver in entries(self._root / _STORAGE, _MOST_CONTAINERS):
            if driver.endswith("-containers"):
                listed = _json(self._root / _STORAGE / driver / "containers.json")
                for one in islice(listed if isinstance(listed, list) else (), _MOST_CONTAINERS):
                    names = one.get("names") if isinstance(one, dict) else None
                    if isinstance(names, list) and names:
                        _note(found, one.get("id"), names[0])
        return found

    def _by_nerdctl(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for daemon in entries(self._root / _NERDCTL, _MOST_CONTAINERS):
            names = self._root / _NERDCTL / daemon / "names"
            for namespace in entries(names, _MOST_CONTAINERS):
                for name in entries(names / namespace, _MOST_CONTAINERS):
                    id_ = content(names / namespace / name, _ID_BYTES).decode("ascii", "replace")
                    _note(found, id_, name)
        return found


def _note(found: dict[str, str], id_: object, name: object) -> None:
    """A name as people know it; nothing for what no manager would have written."""
    if isinstance(id_, str) and isinstance(name, str) and len(found) < _MOST_CONTAINERS:
        plain = name.removeprefix("/")
        if _ID.fullmatch(id_) and _NAME.fullmatch(plain):
            found[id_[:SHORT_ID]] = plain


def _json(path: Path) -> Any:
    try:
        return json.loads(content(path, _MOST_BYTES) or b"null")
    except (ValueError, RecursionError):
        return None
