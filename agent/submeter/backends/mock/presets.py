"""What the boards that people have are like: one row a board, every number with its source.

Sources, by letter:
[S] SXM/board datasheet of NVIDIA (limit, memory). Memory in bytes is what NVML shows (MiB · 2²⁰).
[Y] Yang, Adámek, Armour, "Part-time Power Measurements", SC'24, arXiv 2312.02741, and the table in
    its repository JimZeyuYang/GPU_Power_Benchmark: refresh and window of each architecture.
[C] arXiv 2605.23918: a context adds 26…50 W on boards with HBM and 66 W on an L40S.
[K] karpathy/nanoGPT pull request 643: a 700 W Hopper SXM idles at 72…81 W.
[E] Step of the energy counter: ~10 ms on Volta (pynvml PR 18), 20…100 ms (Alumet's source),
    ~100 ms (ML.ENERGY blog), 106 ms measured on an RTX 4090.
[a] Assumed: no public measurement found; a plausible number, good for tests, not for claims.
"""

from typing import Final, NamedTuple


class Preset(NamedTuple):
    name: str  # as NVML shows it
    arch: str
    idle_watts: float
    context_watts: float
    limit_watts: float
    memory_mib: int
    hbm: bool
    refresh_ms: float
    window_ms: float
    average_ms: float  # 0: the board has no average gauge
    counter_refresh_ms: float
    sm_clock_mhz: int
    memory_clock_mhz: int
    ambient_c: float
    kelvin_per_watt: float


PRESETS: Final = {
    "V100": Preset(
        name="Tesla V100-SXM2-32GB",  # [S]
        arch="volta",
        idle_watts=40.0,  # [a]
        context_watts=15.0,  # [a]
        limit_watts=300.0,  # [S]
        memory_mib=32768,  # [S]
        hbm=True,
        refresh_ms=20.0,  # [Y]
        window_ms=10.0,  # [Y]
        average_ms=0.0,  # [Y] not supported
        counter_refresh_ms=20.0,  # [E], [Y]
        sm_clock_mhz=1530,  # [S]
        memory_clock_mhz=877,  # [S]
        ambient_c=30.0,  # [a]
        kelvin_per_watt=0.12,  # [a]
    ),
    "A100": Preset(
        name="NVIDIA A100-SXM4-80GB",  # [S]
        arch="ampere",
        idle_watts=52.0,  # [a]; [Y]'s recordings rest at 56 W with a context held
        context_watts=26.0,  # [C] lower end
        limit_watts=400.0,  # [S]
        memory_mib=81920,  # [S]
        hbm=True,
        refresh_ms=100.0,  # [Y]
        window_ms=25.0,  # [Y]
        average_ms=0.0,  # [Y] GA100 has none
        counter_refresh_ms=100.0,  # [E]
        sm_clock_mhz=1410,  # [S]
        memory_clock_mhz=1593,  # [S]
        ambient_c=30.0,  # [a]
        kelvin_per_watt=0.09,  # [a]
    ),
    "H100": Preset(
        name="NVIDIA H100 80GB HBM3",  # [S]
        arch="hopper",
        idle_watts=73.0,  # [K]
        context_watts=45.0,  # [C]
        limit_watts=700.0,  # [S], [K] plateau 690 W
        memory_mib=81559,  # [S]
        hbm=True,
        refresh_ms=100.0,  # [Y]
        window_ms=25.0,  # [Y]
        average_ms=1000.0,  # [Y]
        counter_refresh_ms=100.0,  # [E]
        sm_clock_mhz=1980,  # [S]
        memory_clock_mhz=2619,  # [S]
        ambient_c=28.0,  # [a]
        kelvin_per_watt=0.055,  # [a]
    ),
    "H200": Preset(
        name="NVIDIA H200",  # [S]
        arch="hopper",
        idle_watts=76.0,  # [K], H100 or H200
        context_watts=45.0,  # [C], measured on an H100
        limit_watts=700.0,  # [S]
        memory_mib=143771,  # [S]
        hbm=True,
        refresh_ms=100.0,  # [Y]
        window_ms=25.0,  # [Y]
        average_ms=1000.0,  # [Y]
        counter_refresh_ms=100.0,  # [E]
        sm_clock_mhz=1980,  # [S]
        memory_clock_mhz=3201,  # [S]
        ambient_c=28.0,  # [a]
        kelvin_per_watt=0.055,  # [a]
    ),
    "B200": Preset(
        name="NVIDIA B200",  # [S]
        arch="blackwell",
        idle_watts=140.0,  # [a]
        context_watts=50.0,  # [C] upper end, measured on other boards
        limit_watts=1000.0,  # [S]
        memory_mib=183359,  # [S]
        hbm=True,
        refresh_ms=100.0,  # [a] as Hopper: nothing has been published about Blackwell's sensor
        window_ms=25.0,  # [a] as Hopper: the window is UNKNOWN publicly
        average_ms=1000.0,  # nvml.h: "1 sec average on Ampere (except GA100) or newer"
        counter_refresh_ms=100.0,  # [a]
        sm_clock_mhz=1965,  # [S]
        memory_clock_mhz=3996,  # [S]
        ambient_c=28.0,  # [a]
        kelvin_per_watt=0.035,  # [a]
    ),
    "L40S": Preset(
        name="NVIDIA L40S",  # [S]
        arch="ada",
        idle_watts=34.0,  # [a]
        context_watts=66.0,  # [C]
        limit_watts=350.0,  # [S]
        memory_mib=46068,  # NVIDIA/open-gpu-kernel-modules 874
        hbm=False,
        refresh_ms=100.0,  # [Y] Ada
        window_ms=100.0,  # [Y] Ada
        average_ms=1000.0,  # [Y] Ada
        counter_refresh_ms=100.0,  # [E]
        sm_clock_mhz=2520,  # [S]
        memory_clock_mhz=9001,  # [S]
        ambient_c=28.0,  # [a]
        kelvin_per_watt=0.12,  # [a]
    ),
    "RTX 4090": Preset(
        name="NVIDIA GeForce RTX 4090",  # [S]
        arch="ada",
        idle_watts=22.0,  # [a]
        context_watts=30.0,  # [a]
        limit_watts=450.0,  # [S]
        memory_mib=24564,  # [S]
        hbm=False,
        refresh_ms=100.0,  # [Y] Ada
        window_ms=100.0,  # [Y] Ada
        average_ms=1000.0,  # [Y] Ada
        counter_refresh_ms=106.0,  # [E]
        sm_clock_mhz=2520,  # [S]
        memory_clock_mhz=10501,  # [S]
        ambient_c=26.0,  # [a]
        kelvin_per_watt=0.09,  # [a]
    ),
}

THERMAL_LAG_S: Final = 25.0
"""[a] Time constant of a board and its cooler."""

LEAKAGE_WATTS_PER_C: Final = 0.15
"""[a] Leakage rises with temperature (ML.ENERGY, "thermally stable profiling"); this much, no
source says."""

CHARACTERS: Final = {
    # Share of the board's dynamic range (limit − idle − context) drawn at full SM time. Power per
    # SM time differs several-fold between kernels: on the 700 W Hopper boards of [K] nanoGPT
    # training draws 690 W and an FP32 SGEMM filler 396 W, both at 100 % utilisation.
    "tensor": 0.95,  # [K] (690 − 118) / (700 − 118) ≈ 0.98
    "vector": 0.48,  # [K] (396 − 118) / (700 − 118)
    "decode": 0.40,  # [a] memory-bound generation at small batch
    "light": 0.12,  # [a] a notebook, small kernels
}
