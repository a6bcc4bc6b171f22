/* The least that metering can cost: the NVML calls that the agent makes, at the same rate, with
 * nothing done about their results. One thread, absolute deadlines, one wake-up a tick.
 *
 *   loop RATE_HZ SECONDS  ->  "gpus N ticks T cpu_seconds C late_p50_us L late_p99_us M"
 */
#define _GNU_SOURCE
#include <nvml.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIELDS 3
#define MOST_GPUS 64
#define LIST 256

static const unsigned FIELD_IDS[FIELDS] = {
    NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_POWER_AVERAGE};

static long long now_ns(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static void look(nvmlDevice_t gpu)
{
    nvmlUtilization_t rates;
    nvmlMemory_v2_t memory = {.version = nvmlMemory_v2};
    nvmlDeviceGetUtilizationRates(gpu, &rates);
    nvmlDeviceGetMemoryInfo_v2(gpu, &memory);
}

static void survey(nvmlDevice_t gpu)
{
    static nvmlProcessInfo_t list[LIST];
    unsigned count = LIST;
    nvmlDeviceGetComputeRunningProcesses_v3(gpu, &count, list);
    count = LIST;
    nvmlDeviceGetGraphicsRunningProcesses_v3(gpu, &count, list);
    count = LIST;
    nvmlDeviceGetMPSComputeRunningProcesses_v3(gpu, &count, list);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: loop RATE_HZ SECONDS\n");
        return 2;
    }
    const double rate = atof(argv[1]);
    const long long period = (long long)(1e9 / rate), ticks = (long long)(rate * atof(argv[2]));
    static nvmlDevice_t gpus[MOST_GPUS];
    static nvmlFieldValue_t values[MOST_GPUS][FIELDS];
    unsigned count = 0;

    if (nvmlInit_v2() != NVML_SUCCESS || nvmlDeviceGetCount_v2(&count) != NVML_SUCCESS)
        return 69;
    if (count > MOST_GPUS)
        count = MOST_GPUS;
    for (unsigned i = 0; i < count; i++) {
        nvmlDeviceGetHandleByIndex_v2(i, &gpus[i]);
        for (int f = 0; f < FIELDS; f++)
            values[i][f].fieldId = FIELD_IDS[f];
    }
    long long *late = malloc(sizeof *late * (size_t)ticks);
    if (late == NULL)
        return 1;
    const long long before = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    long long due = now_ns(CLOCK_MONOTONIC);
    const long long per_second = rate > 1 ? (long long)rate : 1;
    for (long long t = 0; t < ticks; t++) {
        due += period;
        struct timespec at = {.tv_sec = due / 1000000000LL, .tv_nsec = due % 1000000000LL};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        late[t] = now_ns(CLOCK_MONOTONIC) - due;
        for (unsigned i = 0; i < count; i++) {
            nvmlDeviceGetFieldValues(gpus[i], FIELDS, values[i]);
            if (t % per_second == 0)
                look(gpus[i]);
            if (t % (10 * per_second) == 0)
                survey(gpus[i]);
        }
    }
    const long long used = now_ns(CLOCK_PROCESS_CPUTIME_ID) - before;
    qsort(late, (size_t)ticks, sizeof *late, by_size);
    printf("gpus %u ticks %lld cpu_seconds %.6f late_p50_us %lld late_p99_us %lld\n", count, ticks,
           1e-9 * (double)used, late[ticks / 2] / 1000, late[ticks * 99 / 100] / 1000);
    nvmlShutdown();
    return 0;
}
