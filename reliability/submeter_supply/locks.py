"""pyproject.toml in, locks/*.txt out: every package that is installed, with its version and hashes.

One lock for each way to install, good for every Python from 3.11 on; all of them name the same
version of a package. `make lock` writes them, pip reads them with ``--require-hashes``.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "locks"

_ALL: Final = "dev"
_BUILD: Final = "build"
_BASE: Final = "agent"
_SHIPPED: Final = ("otlp", "otlp-grpc", "parquet", "carbon", "web", "top", "completion")
NAMES: Final = (_ALL, _BUILD, _BASE, *_SHIPPED)
"""The first has what tests and builds need; the others follow its versions."""

_ENTRY: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<rest>.*)$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class LockError(Exception):
    """A lock that isn't one."""


class Locked(NamedTuple):
    """One package of a lock."""

    name: str
    version: Version
    hashes: frozenset[str]
    wanted_by: tuple[str, ...]


def write(folder: Path = FOLDER) -> None:
    """Resolves all of them anew, to the newest versions that pyproject.toml admits.

    Raises CalledProcessError where uv finds no way or no index.
    """
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        target = folder / f"{name}.txt"
        target.unlink(missing_ok=True)
        follows = () if name == _ALL else ("--constraint", str(folder / f"{_ALL}.txt"))
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
                *("--generate-hashes", "--python-version", "3.11"),
                *("--custom-compile-command", "make lock", "--output-file", str(target)),
                *follows,
                *_sources(name),
            ],
            cwd=ROOT,
            input="\n".join(_wanted_to_build()).encode(),
            check=True,
        )


def read(name: str, folder: Path = FOLDER) -> dict[str, Locked]:
    """A lock by the names of its packages. Raises LockError."""
    return {each.name: each for each in _entries(folder / f"{name}.txt")}


def check(folder: Path = FOLDER, about: Mapping[str, Any] | None = None) -> list[str]:
    """What isn't as pyproject.toml has it, or not the same in all locks; [] if all is well."""
    about = about or tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    everything = read(_ALL, folder)
    wrong = []
    for name in NAMES:
        lock = read(name, folder)
        wrong += [
            f"{name}: {each.name} {each.version} is another one in {_ALL}"
            for each in lock.values()
            if each.name in everything and everything[each.name].version != each.version
        ]
        wrong += [f"{name}: {problem}" for problem in _differences(lock, wanted(name, about))]
    return wrong


def wanted(name: str, about: Mapping[str, Any]) -> list[Requirement]:
    """What a lock is to have by pyproject.toml, without what that needs in turn."""
    if name == _BUILD:
        return [Requirement(each) for each in _wanted_to_build(about)]
    extras: Mapping[str, Sequence[str]] = about["project"]["optional-dependencies"]
    found: list[Requirement] = [Requirement(each) for each in about["project"]["dependencies"]]
    todo = [] if name == _BASE else [name]
    for extra in todo:
        for each in map(Requirement, extras[extra]):
            if each.name == about["project"]["name"]:
                todo += each.extras
            else:
                found.append(each)
    return found


def _differences(lock: Mapping[str, Locked], needed: Sequence[Requirement]) -> Iterator[str]:
    for each in needed:
        locked = lock.get(canonicalize_name(each.name))
        if locked is None:
            yield f"{each} is missing; run `make lock`"
        elif not each.specifier.contains(locked.version, prereleases=True):
            yield f"{locked.name} {locked.version} isn't {each}; run `make lock`"
    names = {canonicalize_name(each.name) for each in needed}
    for locked in lock.values():
        if locked.name not in names and not _is_needed(locked, lock):
            yield f"nothing needs {locked.name}; run `make lock`"


def _is_needed(locked: Locked, lock: Mapping[str, Locked]) -> bool:
    return any(canonicalize_name(each) in lock for each in locked.wanted_by)


def _entries(path: Path) -> Iterator[Locked]:
    """Each entry is a line with a version, lines with hashes, and who wants it as comments."""
    blocks: list[list[str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if _ENTRY.match(line):
            blocks.append([line])
        elif line.startswith("    ") and blocks:
            blocks[-1].append(line)
        elif line and not line.startswith("#"):
            raise LockError(f"{path.name}:{number}: a pinned version or a hash is expected: {line}")
    for head, *rest in blocks:
        found = _ENTRY.match(head)
        assert found is not None
        hashes = frozenset(_HASH.findall("\n".join([head, *rest])))
        if not hashes:
            raise LockError(f"{path.name}: {head.strip()} has no hash")
        who = [line.strip().removeprefix("#").removeprefix(" ") for line in rest if "#" in line]
        wanted_by = tuple(each.removeprefix("via").strip().split(" ")[0] for each in who)
        name = canonicalize_name(found["name"])
        yield Locked(name, Version(found["version"]), hashes, tuple(filter(None, wanted_by)))


def _sources(name: str) -> Sequence[str]:
    if name == _BUILD:
        return ("-",)
    return ("pyproject.toml",) if name == _BASE else ("--extra", name, "pyproject.toml")


def _wanted_to_build(about: Mapping[str, Any] | None = None) -> list[str]:
    """The backend, and what it needs to install in place."""
    about = about or tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [*about["build-system"]["requires"], "editables"]


if __name__ == "__main__":
    write()
