"""The C code under the compiler's sanitizers: memory, undefined behaviour, races."""

import subprocess
from pathlib import Path

import pytest

from submeter.ticking import compiling


@pytest.mark.parametrize(
    ("source", "sanitizers", "said"),
    [
        ("drive.c", "address,undefined", "cut short"),
        ("drive.c", "thread", "cut short"),
        ("drive_lines.c", "address,undefined", "all lines written"),
    ],
)
def test_it_is_clean_under(source: str, sanitizers: str, said: str, tmp_path: Path) -> None:
    drive = Path(__file__).with_name(source)
    program = tmp_path / "drive"
    try:
        cc = compiling.compiler()
    except compiling.NotCompiled as error:
        pytest.skip(str(error))
    flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-fsanitize={sanitizers}"]
    command = [*cc, *flags, "-fno-sanitize-recover=all", f"-I{compiling.HERE}", str(drive)]
    done = subprocess.run(
        [*command, "-pthread", "-o", str(program)], capture_output=True, text=True, check=False
    )
    if done.returncode and "cannot find" in done.stderr:
        pytest.skip(f"this compiler has no -fsanitize={sanitizers}")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([program], capture_output=True, text=True, check=False, timeout=120)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("this kernel's address layout is too random for that sanitizer")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert said in ran.stdout
