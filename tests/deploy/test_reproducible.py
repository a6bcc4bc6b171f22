"""The same sources give the same wheel and the same sdist, wherever and whenever they are built."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Copies the sources somewhere and builds there; the files that came out, by name."""

    def made(where: str, mtime_s: int, **environ: str) -> dict[str, bytes]:
        source = tmp_path / where
        named = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if named.returncode:
            pytest.skip("no git here, or no checkout")
        for name in named.stdout.decode().rstrip("\0").split("\0"):
            if not (ROOT / name).is_file():
                continue
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
            (source / name).chmod((ROOT / name).stat().st_mode & (0o755 if where == "a" else 0o700))
            os.utime(source / name, (mtime_s, mtime_s))
        out = source / "out"
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--directory", out],
            cwd=source,
            env={**os.environ, **environ},
            stdout=sys.stderr,
            check=True,
        )
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    return made


@pytest.mark.threat("T29")
def test_two_builds_are_the_same_to_the_byte(build: Callable[..., dict[str, bytes]]) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1767225600"}
    one = build("a", 1_600_000_000, TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1", **epoch)
    other = build(
        "elsewhere/and-deeper", 1_700_000_001, TZ="Asia/Tokyo", PYTHONHASHSEED="2", **epoch
    )
    assert [name.rpartition(".")[2] for name in one] == ["whl", "gz"]
    assert list(one) == list(other)
    differing = [name for name in one if one[name] != other[name]]
    assert differing == []


def test_what_is_compiled_says_nothing_of_where_that_was(
    build: Callable[..., dict[str, bytes]], ticking_functions: object, tmp_path: Path
) -> None:
    (wheel,) = [
        tmp_path / "somewhere/out" / name
        for name in build("somewhere", 1_600_000_000)
        if name.endswith(".whl")
    ]
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read("submeter/ticking/libsubmeter_ticking.so")
    assert library.startswith(b"\x7fELF")
    assert str(tmp_path).encode() not in library
    assert b"submeter-" not in library, "the temporary folder"
