"""The locks in, the known weaknesses of what they name out: `make audit`.

pip-audit asks osv.dev, or a folder of its advisories (``--advisories``). An audit that can't reach
anybody is easily taken for one that found nothing: so each begins with a package that is known to
be weak, and is only believed if that one is found.

Exit status: 0 nothing is known, 1 something is, 75 nothing could be found out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from submeter_supply import advisories, locks
from submeter_supply.locks import Locked

OSV: Final = "https://api.osv.dev/v1/query"
BAIT: Final = ("jinja2", "2.4.1")
"""CVE-2014-1402 and others."""
_BLIND: Final = 75
_NO_FILE: Final = "0" * 64  # nothing is fetched, so nothing is compared


class Blind(Exception):
    """The audit found nothing out."""


class Weakness(NamedTuple):
    """An advisory that holds for something that is installed."""

    package: str
    version: str
    id: str
    fixed_in: str


def audit(packages: Iterable[tuple[str, str]], url: str = OSV) -> list[Weakness]:
    """What is known of them. Raises Blind where the service doesn't even know the bait."""
    if not _ask([BAIT], url):
        raise Blind(f"{url} knows nothing against {'=='.join(BAIT)}: nothing was audited")
    todo, found = sorted(set(packages)), []
    while todo:  # pip-audit takes each package once
        now = dict(todo)
        found += _ask(now.items(), url)
        todo = [(name, version) for name, version in todo if now[name] != version]
    return sorted(found)


def everything(folder: Path = locks.FOLDER) -> Iterator[tuple[str, str]]:
    """Name and version of every package that any lock names."""
    for name in locks.NAMES:
        each: Locked
        for each in locks.read(name, folder).values():
            yield each.name, str(each.version)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__.splitlines()[0])
    parser.add_argument("--advisories", type=Path, help="folder of advisories, instead of osv.dev")
    parser.add_argument("--locks", type=Path, default=locks.FOLDER)
    options = parser.parse_args(arguments)
    try:
        with _service(options.advisories) as url:
            packages = set(everything(options.locks))
            found = audit(packages, url)
    except (Blind, OSError, ValueError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return _BLIND
    for each in found:
        fixed = f", fixed in {each.fixed_in}" if each.fixed_in else ""
        print(f"{each.package} {each.version}: {each.id}{fixed}")
    print(f"audit: {len(packages)} packages, {len(found)} weaknesses known", file=sys.stderr)
    return 1 if found else 0


@contextmanager
def _service(folder: Path | None) -> Iterator[str]:
    with nullcontext(OSV) if folder is None else advisories.serving(advisories.read(folder)) as url:
        yield url


def _ask(packages: Iterable[tuple[str, str]], url: str) -> list[Weakness]:
    with tempfile.TemporaryDirectory() as scratch:
        asked = Path(scratch) / "requirements.txt"
        lines = [f"{name}=={version} --hash=sha256:{_NO_FILE}" for name, version in packages]
        asked.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"),
                *("--osv-url", url, "--cache-dir", scratch, "--progress-spinner", "off"),
                *("--strict", "--require-hashes", "--disable-pip", "--format", "json"),
                *("--requirement", str(asked)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout.strip():
        said = done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"]
        raise Blind(f"{url} can't be asked: {said[-1]}")
    return [
        Weakness(each["name"], each["version"], weak["id"], ", ".join(weak["fix_versions"]))
        for each in json.loads(done.stdout)["dependencies"]
        for weak in each["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main())
