"""locks/ is what pyproject.toml asks for, by hash; and what isn't that file isn't installed."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from submeter_supply import locks
from submeter_supply.locks import LockError

ROOT = Path(__file__).parents[2]
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.threat("T29")
def test_every_lock_has_what_is_asked_for_by_hash_and_nothing_else() -> None:
    assert locks.check() == [], "run `make lock`"


def test_there_is_one_for_each_way_to_install() -> None:
    extras = set(ABOUT["project"]["optional-dependencies"])
    assert extras - set(locks.NAMES) == {"dashboards"}, "which is a part of dev"
    assert {f"{name}.txt" for name in locks.NAMES} == {
        path.name for path in (ROOT / "locks").iterdir()
    }


def test_the_agent_needs_few() -> None:
    """Whoever adds one says why here."""
    assert set(locks.read("agent")) == {
        "h11", "isal", "nvidia-ml-py", "prometheus-client", "psutil", "tzdata",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"psutil>=5.9"', '"psutil>=99"', "agent: psutil 7.2.2 isn't psutil>=99"),
        ('"h11>=0.14"', '"h12>=0.14"', "agent: h12>=0.14 is missing"),
        ('"h11>=0.14"', '"psutil"', "agent: nothing needs h11"),
    ],
)
def test_what_pyproject_has_become_since_is_noticed(old: str, new: str, said: str) -> None:
    text = (ROOT / "pyproject.toml").read_text().replace(old, new)
    assert said in [
        each.removesuffix("; run `make lock`") for each in locks.check(about=tomllib.loads(text))
    ]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """All locks, and one of them another."""

    def change(name: str, old: str, new: str) -> Path:
        for path in (ROOT / "locks").iterdir():
            (tmp_path / path.name).write_text(path.read_text())
        text = (tmp_path / f"{name}.txt").read_text()
        assert old in text
        (tmp_path / f"{name}.txt").write_text(text.replace(old, new))
        return tmp_path

    return change


def test_two_versions_of_one_package_are_noticed(changed: Callable[[str, str, str], Path]) -> None:
    version = locks.read("otlp")["protobuf"].version
    folder = changed("otlp", f"protobuf=={version}", "protobuf==4.0.0")
    assert locks.check(folder) == ["otlp: protobuf 4.0.0 is another one in dev"]


def test_what_has_no_hash_or_version_is_no_lock(changed: Callable[[str, str, str], Path]) -> None:
    with pytest.raises(LockError, match=r"h11==\S+ .*has no hash"):
        locks.read("agent", changed("agent", "--hash=sha256:", "--hash=md5:"))
    with pytest.raises(LockError, match=r"agent.txt:\d+: a pinned version or a hash is expected"):
        locks.read("agent", changed("agent", "h11==", "h11>="))


@pytest.mark.threat("T29")
@pytest.mark.parametrize("tampered", [False, True])
def test_another_file_of_the_same_name_is_not_installed(tmp_path: Path, tampered: bool) -> None:
    wheel = tmp_path / "innocent-1.0-py3-none-any.whl"
    _wheel(wheel, "innocent", "1.0", "")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"innocent==1.0 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    if tampered:
        wheel.unlink()
        _wheel(wheel, "innocent", "1.0", "raise SystemExit('not so innocent')\n")
    target = tmp_path / "target"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index"),
            *("--find-links", tmp_path, "--require-hashes", "-r", lock, "--target", target),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is tampered, done.stderr
    assert (target / "innocent.py").exists() is not tampered
    assert ("DO NOT MATCH THE HASHES" in done.stderr) is tampered


@pytest.mark.threat("T29")
def test_make_the_bundle_and_the_wheels_install_by_hash() -> None:
    """Each call of pip that fetches anything that CI runs or that is shipped; a few tools of
    targets that somebody calls by name are not."""
    places = {
        "Makefile": (ROOT / "Makefile").read_text(),
        **{path.name: path.read_text() for path in (ROOT / "deploy/install").glob("*.sh")},
    }
    allowed = (
        "--require-hashes",
        "--no-deps --no-build-isolation",  # of submeter itself
        "--no-index",  # an operator's own folder
    )
    loose = [
        f"{place}: {line.strip()}"
        for place, text in places.items()
        for line in text.replace("\\\n", " ").splitlines()
        if ("pip install" in line or "pip wheel" in line or "$(PIP) " in line)
        and not line.lstrip().startswith("#")
        and not any(each in " ".join(line.split()) for each in allowed)
    ]
    assert [each for each in loose if not each.startswith("Makefile")] == [
        # LOCKED=0, which says so
        'bundle.sh: $pip install --quiet --no-compile --target "$to/lib" '
        '"$here${EXTRAS:+[$EXTRAS]}"',
        'wheels.sh: exec $pip wheel --quiet --wheel-dir "$to" "$here${EXTRAS:+[$EXTRAS]}"',
    ]
    tools = ("uv>=", "atheris", "kube", "--editable .", "--editable '.[dev]'")
    assert [
        each for each in loose if "Makefile" in each and not any(t in each for t in tools)
    ] == []
    image = (ROOT / "deploy/Containerfile").read_text()
    assert "pip" not in image.replace("pipe", ""), "the image takes the bundle as it is"


def _wheel(path: Path, name: str, version: str, code: str) -> None:
    about = f"{canonicalize_name(name)}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
