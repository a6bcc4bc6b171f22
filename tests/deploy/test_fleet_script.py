"""deploy/fleet.sh on a host that has nothing: one line for each host, which is its answer."""

import os
import subprocess
from pathlib import Path

FLEET = Path(__file__).parents[2] / "deploy/fleet.sh"

SSH = """#!/bin/sh
# As ssh does it where what is said on stderr comes last.
shift
sh -c "$*" 2> "$0.said"
code=$?
cat "$0.said" >&2
exit $code
"""


def test_a_host_without_configuration_says_only_what_it_has(tmp_path: Path) -> None:
    bundle, programs = tmp_path / "bundle", tmp_path / "bin"
    bundle.mkdir()
    (bundle / "VERSION").write_text("1.2.3\n")
    programs.mkdir()
    for name, text in (("ssh", SSH), ("systemctl", "#!/bin/sh\necho inactive\nexit 3\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [FLEET, "-n", "node1"],
        env={
            **os.environ,
            "BUNDLE": str(bundle),
            "SSH": str(programs / "ssh"),
            "PATH": f"{programs}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "node1: has none, inactive\n1 host(s), 0 failed\n"
