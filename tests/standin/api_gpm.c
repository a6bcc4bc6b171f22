/* Activity of a GPU or of one of its MIG instances between two samples: GPM, Hopper and newer. */
#define _GNU_SOURCE
#include "standin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE = -1, EMPTY = -2 };

struct nvmlGpmSample_st {
    int gpu; /* EMPTY: nothing was read into it yet */
    long long gi;
    double t;
};

API(nvmlGpmQueryDeviceSupport, nvmlDevice_t device, nvmlGpmSupport_t *support)
{
    BEGIN(nvmlGpmQueryDeviceSupport, device);
    NEED(support != NULL);
    if (support->version != NVML_GPM_SUPPORT_VERSION) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    PUT(&support->isSupportedDevice, call.board->gpm);
    END(NVML_SUCCESS);
}

API(nvmlGpmSampleAlloc, nvmlGpmSample_t *sample)
{
    BEGIN_SYSTEM(nvmlGpmSampleAlloc);
    NEED(sample != NULL);
    *sample = calloc(1, sizeof **sample);
    if (*sample == NULL) abort();
    (*sample)->gpu = EMPTY;
    END(NVML_SUCCESS);
}

API(nvmlGpmSampleFree, nvmlGpmSample_t sample)
{
    BEGIN_SYSTEM(nvmlGpmSampleFree);
    NEED(sample != NULL);
    free(sample);
    END(NVML_SUCCESS);
}

API(nvmlGpmSampleGet, nvmlDevice_t device, nvmlGpmSample_t sample)
{
    BEGIN(nvmlGpmSampleGet, device);
    SUPPORT(call.board->gpm);
    NEED(sample != NULL);
    *sample = (struct nvmlGpmSample_st){call.gpu, call.mig == NULL ? WHOLE : call.mig->gi, call.t};
    END(NVML_SUCCESS);
}

API(nvmlGpmMigSampleGet, nvmlDevice_t device, unsigned int gi, nvmlGpmSample_t sample)
{
    BEGIN_PHYSICAL(nvmlGpmMigSampleGet, device);
    SUPPORT(call.board->gpm);
    NEED(sample != NULL);
    bool there = false;
    for (int i = 0; i < call.board->mig_count; i++)
        there = there || call.board->migs[i].gi == (long long)gi;
    NEED(there);
    *sample = (struct nvmlGpmSample_st){call.gpu, gi, call.t};
    END(NVML_SUCCESS);
}

/* Percent of the time between both samples, of the instance's own: what its processes say. */
static double mean_percent(const board_t *board, const struct nvmlGpmSample_st *a,
                           const struct nvmlGpmSample_st *b, bool memory)
{
    double sum = 0;
    for (int i = 0; i < board->process_count; i++) {
        const process_t *process = &board->processes[i];
        if (a->gi != WHOLE && process->gi != a->gi) continue;
        double from = fmax(a->t, process->from), to = fmin(b->t, process->to);
        double percent = (double)(memory ? process->mem_util : process->sm);
        if (to > from) sum += percent * (to - from) / (b->t - a->t);
    }
    return sum > 100 ? 100 : sum;
}

API(nvmlGpmMetricsGet, nvmlGpmMetricsGet_t *get)
{
    BEGIN_SYSTEM(nvmlGpmMetricsGet);
    NEED(get != NULL && get->sample1 != NULL && get->sample2 != NULL);
    if (get->version != NVML_GPM_METRICS_GET_VERSION) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    const struct nvmlGpmSample_st *a = get->sample1, *b = get->sample2;
    NEED(a->gpu >= 0 && a->gpu == b->gpu && a->gi == b->gi && b->t - a->t >= 0.1);
    NEED(get->numMetrics <= NVML_GPM_METRIC_MAX);
    const board_t *board = &call.world->boards[a->gpu];
    for (unsigned i = 0; i < get->numMetrics; i++) {
        nvmlGpmMetric_t *metric = &get->metrics[i];
        bool memory = metric->metricId == NVML_GPM_METRIC_DRAM_BW_UTIL;
        bool known = memory || metric->metricId == NVML_GPM_METRIC_SM_UTIL ||
                     metric->metricId == NVML_GPM_METRIC_GRAPHICS_UTIL;
        metric->nvmlReturn = known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        metric->value = 0;
        if (!known) continue;
        metric->value = mean_percent(board, a, b, memory);
        if (call.garbled) memcpy(&metric->value, &call.garbage, sizeof metric->value);
    }
    END(NVML_SUCCESS);
}
