"""A load's name in, that load on a GPU out, until told to stop or its parent has gone.

    python benchmarks/gpu_loads.py gemm [--seconds 60] [--device cuda:0]

Needs PyTorch, nothing else. Says "ready" when the load runs. `--device cpu` is there to try the
script out where there is no GPU.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True)
class Gpu:
    """PyTorch and the device that the load runs on; sizes are small where that is a CPU."""

    torch: Any
    device: Any

    @property
    def small(self) -> bool:
        return str(self.device.type) == "cpu"

    def wait(self) -> None:
        """Until everything launched has run."""
        if not self.small:
            self.torch.cuda.synchronize(self.device)

    def matrix(self, rows: int, columns: int) -> Any:
        """Random, in bf16: zeros would draw less power."""
        scale = 16 if self.small else 1
        options = {"device": self.device, "dtype": self.torch.bfloat16}
        return self.torch.randn(rows // scale, columns // scale, **options)

    def free_bytes(self) -> int:
        return 1 << 24 if self.small else int(self.torch.cuda.mem_get_info(self.device)[0])


def gemm(gpu: Gpu) -> Iterator[None]:
    """Dense matrix products without a pause: what draws most."""
    a, b = gpu.matrix(8192, 8192), gpu.matrix(8192, 8192)
    while True:
        for _ in range(4):
            gpu.torch.matmul(a, b)
        gpu.wait()
        yield


def square(gpu: Gpu, period_ms: int) -> Iterator[None]:
    """Matrix products for half of each period, nothing for the other; no drift."""
    a, b = gpu.matrix(2048, 2048), gpu.matrix(2048, 2048)  # some 20 µs each: a sharp edge
    period_ns = period_ms * _NS_PER_MS
    start_ns = time.monotonic_ns()
    while True:
        now_ns = time.monotonic_ns()
        begun_ns = now_ns - (now_ns - start_ns) % period_ns
        while time.monotonic_ns() < begun_ns + period_ns // 2:
            for _ in range(8):
                gpu.torch.matmul(a, b)
            gpu.wait()
        yield
        left_ns = begun_ns + period_ns - time.monotonic_ns()
        if left_ns > 2 * _NS_PER_MS:
            time.sleep((left_ns - _NS_PER_MS) / 1e9)
        while time.monotonic_ns() < begun_ns + period_ns:
            pass


def decode(gpu: Gpu) -> Iterator[None]:
    """Tokens one at a time: every weight is read for each, so memory is what is busy."""
    each = gpu.matrix(8192, 8192)
    layers = max(2, min(32, gpu.free_bytes() // 2 // (each.numel() * 2)))
    weights = [each, *(gpu.matrix(8192, 8192) for _ in range(layers - 1))]
    state = each[:, :1].clone()
    while True:
        for weight in weights:
            state = gpu.torch.nn.functional.normalize(weight @ state, dim=0)
        gpu.wait()
        yield


def training(gpu: Gpu) -> Iterator[None]:
    """A transformer's encoder trained on random numbers, with a pause for the next batch."""
    torch = gpu.torch
    width, heads, layers, batch = (64, 4, 2, (2, 16)) if gpu.small else (2048, 16, 8, (8, 512))
    layer = torch.nn.TransformerEncoderLayer(width, heads, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    model = model.to(gpu.device, torch.bfloat16)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randn(*batch, width, device=gpu.device, dtype=torch.bfloat16)
    while True:
        optimiser.zero_grad(set_to_none=True)
        model(tokens).float().pow(2).mean().backward()
        optimiser.step()
        gpu.wait()
        time.sleep(0.02)
        yield


def context(gpu: Gpu) -> Iterator[None]:
    """Holds a context and does nothing: what that alone costs."""
    gpu.torch.zeros(1, device=gpu.device)
    gpu.wait()
    while True:
        time.sleep(0.1)
        yield


def memory(gpu: Gpu) -> Iterator[None]:
    """Holds 40 GB, or half of what is free, and does nothing."""
    held = gpu.torch.zeros(
        min(40 * 10**9, gpu.free_bytes() // 2), dtype=gpu.torch.uint8, device=gpu.device
    )
    gpu.wait()
    while held.numel():
        time.sleep(0.1)
        yield


LOADS: Final[dict[str, Callable[[Gpu], Iterator[None]]]] = {
    "context": context,
    "memory": memory,
    "gemm": gemm,
    "square-100": partial(square, period_ms=100),
    "square-97": partial(square, period_ms=97),
    "square-200": partial(square, period_ms=200),
    "decode": decode,
    "training": training,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--device", default="cuda:0")
    arguments = parser.parse_args()
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        print("no PyTorch in this Python", file=sys.stderr)
        return 69
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device", file=sys.stderr)
        return 69
    parent, deadline = os.getppid(), time.monotonic() + arguments.seconds
    for number, _ in enumerate(LOADS[arguments.load](Gpu(torch, device))):
        if number == 0:
            print("ready", flush=True)
        if os.getppid() != parent or time.monotonic() > deadline:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
