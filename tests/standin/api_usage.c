/* Who uses a device and how much: processes, utilisation, memory, events. */
#define _GNU_SOURCE
#include "standin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static unsigned long long total_memory(const call_t *call)
{
    return call->mig != NULL ? call->mig->memory : call->board->mem_total;
}

API(nvmlDeviceGetMemoryInfo, nvmlDevice_t device, nvmlMemory_t *memory)
{
    BEGIN(nvmlDeviceGetMemoryInfo, device);
    NEED(memory != NULL);
    unsigned long long used = board_memory_used(call.board, call.t, call.mig);
    used += call.mig == NULL ? call.board->mem_reserved : 0; /* v1 counts it as used: nvml.h */
    PUT(&memory->total, total_memory(&call));
    PUT(&memory->used, used);
    PUT(&memory->free, total_memory(&call) - used);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetMemoryInfo_v2, nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    BEGIN(nvmlDeviceGetMemoryInfo_v2, device);
    NEED(memory != NULL);
    if (memory->version != nvmlMemory_v2) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    unsigned long long used = board_memory_used(call.board, call.t, call.mig);
    unsigned long long reserved = call.mig == NULL ? call.board->mem_reserved : 0;
    PUT(&memory->total, total_memory(&call));
    PUT(&memory->reserved, reserved);
    PUT(&memory->used, used);
    PUT(&memory->free, total_memory(&call) - used - reserved);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetBAR1MemoryInfo, nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    BEGIN(nvmlDeviceGetBAR1MemoryInfo, device);
    NEED(memory != NULL);
    PUT(&memory->bar1Total, 128ULL << 30);
    PUT(&memory->bar1Used, 1ULL << 20);
    PUT(&memory->bar1Free, (128ULL << 30) - (1ULL << 20));
    END(NVML_SUCCESS);
}

/* ---- utilisation of the device ---- */

API(nvmlDeviceGetUtilizationRates, nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    BEGIN(nvmlDeviceGetUtilizationRates, device);
    NEED(utilization != NULL);
    SUPPORT(call.board->mig == 0 && call.mig == NULL);
    double at = floor(call.t * 1e6 / call.board->util_period_us) * call.board->util_period_us / 1e6;
    PUT(&utilization->gpu, board_busy(call.board, at, false));
    PUT(&utilization->memory, board_busy(call.board, at, true));
    END(NVML_SUCCESS);
}

static nvmlReturn_t coder(enum call_id id, nvmlDevice_t device, unsigned int *utilization,
                          unsigned int *period_us, bool encoder)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(utilization != NULL && period_us != NULL);
    long long sum = 0;
    for (int i = 0; i < call.board->process_count; i++) {
        const process_t *process = &call.board->processes[i];
        if (process_alive(process, call.t)) sum += encoder ? process->enc : process->dec;
    }
    PUT(utilization, sum > 100 ? 100 : sum);
    *period_us = (unsigned)call.board->util_period_us;
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetEncoderUtilization, nvmlDevice_t device, unsigned int *utilization,
    unsigned int *period_us)
{
    return coder(CALL_nvmlDeviceGetEncoderUtilization, device, utilization, period_us, true);
}

API(nvmlDeviceGetDecoderUtilization, nvmlDevice_t device, unsigned int *utilization,
    unsigned int *period_us)
{
    return coder(CALL_nvmlDeviceGetDecoderUtilization, device, utilization, period_us, false);
}

/* ---- process lists ---- */

static bool listed(const call_t *call, const process_t *process, int modes)
{
    if (!process_alive(process, call->t) || (process->modes & modes) == 0) return false;
    return call->mig == NULL || (process->gi == call->mig->gi && process->ci == call->mig->ci);
}

/* Writes one process into the caller's array, in the layout of the version that was called. */
typedef void write_process_t(const call_t *call, void *array, unsigned place,
                             const process_t *process);

static void write_v1(const call_t *call, void *array, unsigned place, const process_t *process)
{
    nvmlProcessInfo_v1_t *info = (nvmlProcessInfo_v1_t *)array + place;
    info->pid = (unsigned)process->pid;
    info->usedGpuMemory = call_value(call, process->mem);
}

static void write_v2(const call_t *call, void *array, unsigned place, const process_t *process)
{
    nvmlProcessInfo_t *info = (nvmlProcessInfo_t *)array + place;
    info->pid = (unsigned)process->pid;
    info->usedGpuMemory = call_value(call, process->mem);
    info->gpuInstanceId = (unsigned)process->gi; /* −1 becomes the documented 0xFFFFFFFF */
    info->computeInstanceId = (unsigned)process->ci;
}

static void write_detail(const call_t *call, void *array, unsigned place, const process_t *process)
{
    nvmlProcessDetail_v1_t *info = (nvmlProcessDetail_v1_t *)array + place;
    info->pid = (unsigned)process->pid;
    info->usedGpuMemory = call_value(call, process->mem);
    info->gpuInstanceId = (unsigned)process->gi;
    info->computeInstanceId = (unsigned)process->ci;
    info->usedGpuCcProtectedMemory = 0;
}

static nvmlReturn_t list(enum call_id id, nvmlDevice_t device, unsigned int *count, void *infos,
                         int modes, write_process_t *write)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.board->list);
    NEED(count != NULL && (infos != NULL || *count == 0));
    unsigned found = 0;
    for (int i = 0; i < call.board->process_count; i++) {
        const process_t *process = &call.board->processes[i];
        if (!listed(&call, process, modes)) continue;
        if (found < *count) write(&call, infos, found, process);
        found++;
    }
    bool fits = found <= *count;
    *count = found;
    END(fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE);
}

#define PROCESS_LIST(name, type, modes, write)                                                     \
    nvmlReturn_t name(nvmlDevice_t device, unsigned int *count, type *infos)                       \
    {                                                                                              \
        return list(CALL_##name, device, count, infos, modes, write);                              \
    }
#define EXPORT __attribute__((visibility("default")))

EXPORT PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t, PROCESS_COMPUTE,
                    write_v1)
EXPORT PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, PROCESS_COMPUTE,
                    write_v2)
EXPORT PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_t, PROCESS_COMPUTE,
                    write_v2)
EXPORT PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t, PROCESS_GRAPHICS,
                    write_v1)
EXPORT PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t,
                    PROCESS_GRAPHICS, write_v2)
EXPORT PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t, PROCESS_GRAPHICS,
                    write_v2)
EXPORT PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t, PROCESS_MPS,
                    write_v1)
EXPORT PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, PROCESS_MPS,
                    write_v2)
EXPORT PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t, PROCESS_MPS,
                    write_v2)

API(nvmlDeviceGetRunningProcessDetailList, nvmlDevice_t device, nvmlProcessDetailList_t *plist)
{
    BEGIN(nvmlDeviceGetRunningProcessDetailList, device);
    NEED(plist != NULL && plist->mode < NVML_PROCESS_MODE_MAX);
    if (plist->version != nvmlProcessDetailList_v1) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    int modes = plist->mode == NVML_PROCESS_MODE_ALL ? 7 : 1 << plist->mode;
    unsigned found = 0, room = plist->procArray == NULL ? 0 : plist->numProcArrayEntries;
    for (int i = 0; i < call.board->process_count; i++) {
        const process_t *process = &call.board->processes[i];
        if (!listed(&call, process, modes)) continue;
        if (found < room) write_detail(&call, plist->procArray, found, process);
        found++;
    }
    plist->numProcArrayEntries = found;
    END(found <= room ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE);
}

/* ---- utilisation by process ---- */

/* The driver's ring holds 72 samples, 10 s (open-gpu-kernel-modules, ctrl2080perf.h). */
enum { RING = 72 };

typedef struct {
    unsigned pid;
    double newest; /* when it was last seen on an engine */
    unsigned sm, memory;
} share_t;

static share_t *share_of(share_t *shares, int *count, const process_t *process)
{
    for (int i = 0; i < *count; i++)
        if (shares[i].pid == (unsigned)process->pid) return &shares[i];
    shares[*count] = (share_t){.pid = (unsigned)process->pid};
    return &shares[(*count)++];
}

/* Every sample newer than last_seen gives its whole busy time to the one process it names; a
   process's figure is its sum over all these samples. Returns how many processes were named. */
static int take_shares(const call_t *call, unsigned long long last_seen_us, share_t *shares)
{
    const board_t *board = call->board;
    double period = board->util_period_us / 1e6;
    long long newest = (long long)floor(call->t / period);
    int count = 0;
    unsigned samples = 0;
    for (long long sample = newest - RING + 1; sample <= newest; sample++) {
        double at = (double)sample * period;
        if (call_wall_us(call, at) <= last_seen_us) continue;
        samples++;
        for (int memory = 0; memory < 2; memory++) {
            const process_t *process = board_sampled(board, sample, at, memory);
            if (process == NULL) continue;
            share_t *share = share_of(shares, &count, process);
            *(memory ? &share->memory : &share->sm) += board_busy(board, at, memory);
            share->newest = at;
        }
    }
    for (int i = 0; i < count; i++) {
        shares[i].sm = (shares[i].sm + samples / 2) / samples;
        shares[i].memory = (shares[i].memory + samples / 2) / samples;
    }
    return count;
}

static share_t *new_shares(const call_t *call)
{
    share_t *shares = calloc((size_t)call->board->process_count + 1, sizeof *shares);
    if (shares == NULL) abort();
    return shares;
}

API(nvmlDeviceGetProcessUtilization, nvmlDevice_t device, nvmlProcessUtilizationSample_t *out,
    unsigned int *count, unsigned long long last_seen_us)
{
    BEGIN_PHYSICAL(nvmlDeviceGetProcessUtilization, device);
    NEED(count != NULL);
    SUPPORT(call.board->util && call.board->mig == 0);
    share_t *shares = new_shares(&call);
    unsigned found = (unsigned)take_shares(&call, last_seen_us, shares);
    bool fits = out != NULL && found <= *count;
    for (unsigned i = 0; i < found && fits; i++) {
        memset(&out[i], 0, sizeof out[i]);
        out[i].pid = shares[i].pid;
        out[i].timeStamp = call_wall_us(&call, shares[i].newest);
        PUT(&out[i].smUtil, shares[i].sm);
        PUT(&out[i].memUtil, shares[i].memory);
    }
    free(shares);
    *count = found;
    if (found == 0) END(NVML_ERROR_NOT_FOUND);
    END(fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE);
}

API(nvmlDeviceGetProcessesUtilizationInfo, nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetProcessesUtilizationInfo, device);
    NEED(out != NULL);
    SUPPORT(call.board->util && call.board->mig == 0);
    if (out->version != nvmlProcessesUtilizationInfo_v1) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    share_t *shares = new_shares(&call);
    unsigned found = (unsigned)take_shares(&call, out->lastSeenTimeStamp, shares);
    bool fits = out->procUtilArray != NULL && found <= out->processSamplesCount;
    for (unsigned i = 0; i < found && fits; i++) {
        nvmlProcessUtilizationInfo_v1_t *info = &out->procUtilArray[i];
        memset(info, 0, sizeof *info);
        info->pid = shares[i].pid;
        info->timeStamp = call_wall_us(&call, shares[i].newest);
        PUT(&info->smUtil, shares[i].sm);
        PUT(&info->memUtil, shares[i].memory);
    }
    free(shares);
    out->processSamplesCount = found;
    if (found == 0) END(NVML_ERROR_NOT_FOUND);
    END(fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE);
}

/* ---- events ---- */

struct nvmlEventSet_st {
    unsigned long long types[MAX_GPUS];
    double seen; /* events up to this moment have been delivered */
};

API(nvmlEventSetCreate, nvmlEventSet_t *set)
{
    BEGIN_SYSTEM(nvmlEventSetCreate);
    NEED(set != NULL);
    *set = calloc(1, sizeof **set);
    if (*set == NULL) abort();
    (*set)->seen = call.t;
    END(NVML_SUCCESS);
}

API(nvmlEventSetFree, nvmlEventSet_t set)
{
    BEGIN_SYSTEM(nvmlEventSetFree);
    NEED(set != NULL);
    free(set);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetSupportedEventTypes, nvmlDevice_t device, unsigned long long *types)
{
    BEGIN_PHYSICAL(nvmlDeviceGetSupportedEventTypes, device);
    NEED(types != NULL);
    *types = nvmlEventTypeXidCriticalError;
    END(NVML_SUCCESS);
}

API(nvmlDeviceRegisterEvents, nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set)
{
    BEGIN_PHYSICAL(nvmlDeviceRegisterEvents, device);
    NEED(set != NULL);
    SUPPORT((types & ~(unsigned long long)nvmlEventTypeXidCriticalError) == 0);
    set->types[call.gpu] |= types;
    END(NVML_SUCCESS);
}

/* The first XID of a registered device after what was delivered already. */
static bool next_event(const call_t *call, nvmlEventSet_t set, nvmlEventData_t *data)
{
    double best = INFINITY;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        const board_t *board = &call->world->boards[gpu];
        for (int i = 0; i < board->xid_count && set->types[gpu] != 0; i++) {
            const xid_t *xid = &board->xids[i];
            if (xid->at <= set->seen || xid->at > call->t || xid->at >= best) continue;
            best = xid->at;
            *data = (nvmlEventData_t){device_handle(gpu, -1), nvmlEventTypeXidCriticalError,
                                      (unsigned long long)xid->code, ~0u, ~0u};
        }
    }
    if (isinf(best)) return false;
    set->seen = best;
    return true;
}

static nvmlReturn_t wait_event(enum call_id id, nvmlEventSet_t set, nvmlEventData_t *data,
                               unsigned int timeout_ms)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, NO_DEVICE);
    if (result != NVML_SUCCESS) END(result);
    NEED(set != NULL && data != NULL);
    int64_t until_ns = call.now_ns + timeout_ms * 1000000LL;
    while (!next_event(&call, set, data)) {
        if (call.now_ns >= until_ns) END(NVML_ERROR_TIMEOUT);
        nap_until(call.now_ns + 10000000 < until_ns ? call.now_ns + 10000000 : until_ns);
        call_advance(&call);
    }
    END(NVML_SUCCESS);
}

API(nvmlEventSetWait, nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_ms)
{
    return wait_event(CALL_nvmlEventSetWait, set, data, timeout_ms);
}

API(nvmlEventSetWait_v2, nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_ms)
{
    return wait_event(CALL_nvmlEventSetWait_v2, set, data, timeout_ms);
}
