"""What systemd says about the unit as it is shipped: 0 is closed, 10 is open."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from submeter_reliability.catalogue import ROOT
from submeter_reliability.figures import Figure, Unavailable

FIGURES: Final = (
    Figure("systemd_exposure", "`systemd-analyze security` of the service's unit", at_most=1.8),
)
MINUTES: Final = 0.1


def measure() -> Mapping[str, float]:
    """Raises Unavailable without a systemd-analyze that can look at files (since 250)."""
    if shutil.which("systemd-analyze") is None:
        raise Unavailable("systemd-analyze is missing")
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            ROOT / "deploy/systemd/submeter.service",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level.*?: ([\d.]+)", done.stdout)
    if found is None:
        raise Unavailable(done.stderr.strip()[-200:] or "it names no exposure level")
    return {"systemd_exposure": float(found[1])}
