"""Every NVML call that submeter makes. Read-only all of them; a test holds the code to this list.

Nothing here changes a setting, starts profiling, or needs root: a meter that is killed must leave
no trace on the GPU. GPM samples are buffers in this process, filled from counters that run anyway
(`nvmlGpmSetStreamingEnabled` is not called). `nvmlInit` and `nvmlShutdown` only count references
to the library.
"""

from typing import Final

INIT: Final = "nvmlInitWithFlags"
SHUTDOWN: Final = "nvmlShutdown"
FIELD_VALUES: Final = "nvmlDeviceGetFieldValues"
TOTAL_ENERGY: Final = "nvmlDeviceGetTotalEnergyConsumption"
POWER_USAGE: Final = "nvmlDeviceGetPowerUsage"
PROCESS_UTILIZATION: Final = "nvmlDeviceGetProcessUtilization"
COMPUTE_PROCESSES: Final = "nvmlDeviceGetComputeRunningProcesses"
GRAPHICS_PROCESSES: Final = "nvmlDeviceGetGraphicsRunningProcesses"
MPS_PROCESSES: Final = "nvmlDeviceGetMPSComputeRunningProcesses"

GAUGE_FIELDS: Final = "nvmlDeviceGetFieldValues:gauges"
"""Label under which the slow batch is counted: fast and slow calls come from two threads."""

ALLOWED_CALLS: Final = frozenset(
    {
        INIT,
        SHUTDOWN,
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetHandleByUUID",
        "nvmlDeviceGetHandleByPciBusId_v2",
        "nvmlDeviceGetIndex",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetPciInfo_v3",
        "nvmlDeviceGetArchitecture",
        "nvmlDeviceGetCudaComputeCapability",
        "nvmlDeviceGetPowerManagementLimitConstraints",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetMigDeviceHandleByIndex",
        "nvmlDeviceGetGpuInstanceId",
        "nvmlDeviceGetComputeInstanceId",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetClockInfo",
        FIELD_VALUES,
        TOTAL_ENERGY,
        POWER_USAGE,
        PROCESS_UTILIZATION,
        "nvmlGpmQueryDeviceSupport",
        "nvmlGpmSampleAlloc",
        "nvmlGpmSampleFree",
        "nvmlGpmMigSampleGet",
        "nvmlGpmMetricsGet",
        f"{COMPUTE_PROCESSES}_v2",
        f"{COMPUTE_PROCESSES}_v3",
        f"{GRAPHICS_PROCESSES}_v2",
        f"{GRAPHICS_PROCESSES}_v3",
        f"{MPS_PROCESSES}_v2",
        f"{MPS_PROCESSES}_v3",
    }
)
