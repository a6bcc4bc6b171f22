"""The C files beside this one in, a shared library out, where there is a C compiler.

Used by the build (`hatch_build.py`), which loads this file by its path, and by tests.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = ("ticking.c", "understanding.c", "lines.c")  # the last one: `submeter.lines`
LIBRARY: Final = "libsubmeter_ticking.so"
FLAGS: Final = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-fno-strict-aliasing", "-Wl,-z,relro,-z,now", "-Wl,--build-id=none", "-s"),
)


class NotCompiled(Exception):
    """There is no compiler, or it refused: the agent does without."""


def compiler() -> list[str]:
    """$CC, else cc, gcc or clang. Raises NotCompiled."""
    import shlex
    import shutil

    named = shlex.split(os.environ.get("CC", ""))
    if named and shutil.which(named[0]):
        return named
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise NotCompiled("no C compiler (cc, gcc or clang, or name one in CC)")


def build(folder: Path, flags: Sequence[str] = FLAGS) -> Path:
    """The library in that folder, replaced in one step: a process that has the old one keeps it.
    Raises NotCompiled."""
    import shlex
    import subprocess  # never in the agent, which imports this file for a name

    target = folder / LIBRARY
    new = folder / f".{LIBRARY}.{os.getpid()}"
    command = [*compiler(), *flags, *SOURCES, "-o", str(new.absolute())]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603 - the user's own compiler
            command, cwd=HERE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotCompiled(f"{shlex.join(command)}:\n{done.stderr.strip()}")
        new.replace(target)
    except OSError as error:
        raise NotCompiled(f"{shlex.join(command)}: {error}") from error
    finally:
        new.unlink(missing_ok=True)
    return target
