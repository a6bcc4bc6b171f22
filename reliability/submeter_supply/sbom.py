"""A folder of installed packages in, its bill of materials out, in CycloneDX: `make sbom`.

The bundle's folder is what the service and the container run, beside Python itself. The same
folder gives the same bill, byte by byte.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from submeter_supply import locks

_OWN = "submeter"


def bill(folder: Path) -> str:
    """As JSON. Raises CalledProcessError where cyclonedx-py refuses."""
    with tempfile.TemporaryDirectory() as scratch:
        empty = Path(scratch) / "venv"
        venv.create(empty, with_pip=False)
        (place,) = empty.glob("lib/python*/site-packages")
        (place / "folder.pth").write_text(f"{folder.resolve()}\n", encoding="utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
                *("--pyproject", str(locks.ROOT / "pyproject.toml"), str(empty)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    return done.stdout


def strangers(bill_text: str, lock_names: Iterable[str]) -> list[str]:
    """What the bill has and none of these locks names, in that version."""
    known = {
        (each.name, str(each.version)) for name in lock_names for each in locks.read(name).values()
    }
    contents: Mapping[str, Any] = json.loads(bill_text)
    found = {
        (canonicalize_name(each["name"]), each["version"])
        for each in contents.get("components", ())
        if each["name"] != _OWN
    }
    return [f"{name} {version}" for name, version in sorted(found - known)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 1 if something is in the folder that no lock names."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="make sbom", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with the packages, as build/bundle/lib")
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    text = bill(options.folder)
    options.output.write_text(text, encoding="utf-8")
    foreign = strangers(text, locks.NAMES)
    for each in foreign:
        print(f"sbom: {each} is in no lock", file=sys.stderr)
    print(f"{options.output}: {len(json.loads(text)['components'])} packages", file=sys.stderr)
    return 1 if foreign else 0


if __name__ == "__main__":
    sys.exit(main())
