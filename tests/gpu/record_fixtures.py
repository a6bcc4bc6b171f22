"""Loads on a real GPU in, small recordings of what its sensors say out, for tests to replay.

    python tests/gpu/record_fixtures.py tests/gpu/recordings [--seconds 30] [--gpu 0]
    python tests/gpu/record_fixtures.py DIR --torch-python /opt/torch/bin/python

Idle; a PyTorch training; a decode loop; both sharing the GPU; a 100 ms square wave, read at
100 Hz so that its aliasing with the sensor can be seen. Needs submeter in this Python, PyTorch
with CUDA in this or the named one, and a GPU that nobody else uses.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

LOADS: Final = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_loads.py"
_LARGEST_BYTES: Final = 1 << 20  # of a file that belongs into a repository


class Scene(NamedTuple):
    """One recording: loads with the phase that each declares, and how often to read."""

    name: str
    loads: tuple[tuple[str, str], ...]
    rate: str = "auto"


SCENES: Final = (
    Scene("idle", ()),
    Scene("training", (("training", "training"),)),
    Scene("decode", (("decode", "inference"),)),
    Scene("shared", (("training", "training"), ("decode", "inference"))),
    Scene("square-100ms", (("square-100", "other"),), rate="100"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each recording (30)")
    parser.add_argument("--gpu", default="0", help="CUDA's number or the UUID of it (0)")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python with PyTorch")
    parser.add_argument("--device", default="cuda:0", help="PyTorch's; cpu to try this script out")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        trace = arguments.directory / f"{scene.name}.trace.gz"
        with ExitStack() as running:
            for load, phase in scene.loads:
                running.enter_context(_load(load, phase, arguments))
            _record(trace, scene.rate, arguments.seconds)
        size = trace.stat().st_size
        print(f"{trace}: {size} bytes", flush=True)
        if size > _LARGEST_BYTES:
            print(f"{trace}: too large to commit: record for less time", file=sys.stderr)
            return 1
    return 0


@contextmanager
def _load(name: str, phase: str, arguments: argparse.Namespace) -> Iterator[None]:
    command = [
        *(arguments.torch_python, str(LOADS), name, "--device", arguments.device),
        *("--seconds", str(arguments.seconds + 120)),
    ]
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": arguments.gpu,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as NVML numbers them
        "SUBMETER_PHASE": phase,
        "SUBMETER_WORKLOAD": name,
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"ready\n":
            raise SystemExit(f"{name} does not run here (exit {process.wait()})")
        yield
    finally:
        process.terminate()
        process.wait()


def _record(trace: Path, rate: str, seconds: float) -> None:
    command = [
        *(sys.executable, "-m", "submeter", "record", str(trace), "--force"),
        *("--duration", f"{seconds:g}", "--rate", rate),
    ]
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{trace}: not recorded (exit {done.returncode})")


if __name__ == "__main__":
    sys.exit(main())
