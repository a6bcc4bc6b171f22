/* Power, energy, temperature, clocks, throttling: one by one and as field values. */
#define _GNU_SOURCE
#include "standin.h"

#include <stdlib.h>
#include <string.h>

/* ---- power and energy, one by one ---- */

API(nvmlDeviceGetTotalEnergyConsumption, nvmlDevice_t device, unsigned long long *energy)
{
    BEGIN_PHYSICAL(nvmlDeviceGetTotalEnergyConsumption, device);
    NEED(energy != NULL);
    SUPPORT(call.board->energy);
    PUT(energy, board_counter(call.board, call.t));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPowerUsage, nvmlDevice_t device, unsigned int *power)
{
    BEGIN_PHYSICAL(nvmlDeviceGetPowerUsage, device);
    NEED(power != NULL);
    SUPPORT(call.board->power);
    /* 1-s average on Ampere (except GA100) and newer, else instantaneous: nvml.h */
    PUT(power, call.board->average ? board_average(call.board, call.t)
                                   : board_instant(call.board, call.t));
    END(NVML_SUCCESS);
}

enum limit { LIMIT_NOW, LIMIT_DEFAULT };

static nvmlReturn_t limit(enum call_id id, nvmlDevice_t device, unsigned int *out, enum limit which)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(out != NULL);
    PUT(out, which == LIMIT_NOW ? call.board->limit_mw : call.board->default_limit_mw);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPowerManagementLimit, nvmlDevice_t device, unsigned int *out)
{
    return limit(CALL_nvmlDeviceGetPowerManagementLimit, device, out, LIMIT_NOW);
}

API(nvmlDeviceGetEnforcedPowerLimit, nvmlDevice_t device, unsigned int *out)
{
    return limit(CALL_nvmlDeviceGetEnforcedPowerLimit, device, out, LIMIT_NOW);
}

API(nvmlDeviceGetPowerManagementDefaultLimit, nvmlDevice_t device, unsigned int *out)
{
    return limit(CALL_nvmlDeviceGetPowerManagementDefaultLimit, device, out, LIMIT_DEFAULT);
}

API(nvmlDeviceGetPowerManagementLimitConstraints, nvmlDevice_t device, unsigned int *low,
    unsigned int *high)
{
    BEGIN_PHYSICAL(nvmlDeviceGetPowerManagementLimitConstraints, device);
    NEED(low != NULL && high != NULL);
    PUT(low, call.board->min_limit_mw);
    PUT(high, call.board->max_limit_mw);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPowerManagementMode, nvmlDevice_t device, nvmlEnableState_t *mode)
{
    BEGIN_PHYSICAL(nvmlDeviceGetPowerManagementMode, device);
    NEED(mode != NULL);
    *mode = NVML_FEATURE_ENABLED;
    END(NVML_SUCCESS);
}

static nvmlReturn_t pstate(enum call_id id, nvmlDevice_t device, nvmlPstates_t *state)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(state != NULL);
    PUT(state, NVML_PSTATE_0);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPerformanceState, nvmlDevice_t device, nvmlPstates_t *state)
{
    return pstate(CALL_nvmlDeviceGetPerformanceState, device, state);
}

API(nvmlDeviceGetPowerState, nvmlDevice_t device, nvmlPstates_t *state)
{
    return pstate(CALL_nvmlDeviceGetPowerState, device, state);
}

/* ---- temperature, clocks, fans ---- */

API(nvmlDeviceGetTemperature, nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
    unsigned int *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetTemperature, device);
    NEED(out != NULL && sensor == NVML_TEMPERATURE_GPU);
    PUT(out, board_temperature(call.board, call.t, false));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetTemperatureV, nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    BEGIN_PHYSICAL(nvmlDeviceGetTemperatureV, device);
    NEED(temperature != NULL);
    if (temperature->version != nvmlTemperature_v1) END(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    NEED(temperature->sensorType == NVML_TEMPERATURE_GPU);
    PUT(&temperature->temperature, board_temperature(call.board, call.t, false));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetTemperatureThreshold, nvmlDevice_t device, nvmlTemperatureThresholds_t type,
    unsigned int *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetTemperatureThreshold, device);
    NEED(out != NULL);
    SUPPORT(type == NVML_TEMPERATURE_THRESHOLD_SHUTDOWN ||
            type == NVML_TEMPERATURE_THRESHOLD_SLOWDOWN);
    PUT(out, type == NVML_TEMPERATURE_THRESHOLD_SHUTDOWN ? 92 : 89);
    END(NVML_SUCCESS);
}

static unsigned clock_mhz(const call_t *call, nvmlClockType_t type)
{
    if (type == NVML_CLOCK_MEM) return (unsigned)call->board->mem_mhz;
    if (type == NVML_CLOCK_VIDEO) return 1545;
    /* 345 MHz: what idle data-centre boards show */
    return board_busy(call->board, call->t, false) > 0 ? (unsigned)call->board->sm_mhz : 345;
}

API(nvmlDeviceGetClockInfo, nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    BEGIN_PHYSICAL(nvmlDeviceGetClockInfo, device);
    NEED(mhz != NULL && type < NVML_CLOCK_COUNT);
    PUT(mhz, clock_mhz(&call, type));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetClock, nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id,
    unsigned int *mhz)
{
    BEGIN_PHYSICAL(nvmlDeviceGetClock, device);
    NEED(mhz != NULL && type < NVML_CLOCK_COUNT);
    SUPPORT(id == NVML_CLOCK_ID_CURRENT);
    PUT(mhz, clock_mhz(&call, type));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetMaxClockInfo, nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    BEGIN_PHYSICAL(nvmlDeviceGetMaxClockInfo, device);
    NEED(mhz != NULL && type < NVML_CLOCK_COUNT);
    PUT(mhz, type == NVML_CLOCK_MEM ? call.board->mem_mhz : call.board->sm_mhz);
    END(NVML_SUCCESS);
}

/* ---- throttling ---- */

static const unsigned long long reason_bits[] = {
    nvmlClocksEventReasonSwPowerCap,          nvmlClocksEventReasonSwThermalSlowdown,
    nvmlClocksThrottleReasonHwThermalSlowdown, nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    nvmlClocksEventReasonBoardLimit,
};

static nvmlReturn_t reasons(enum call_id id, nvmlDevice_t device, unsigned long long *out)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(out != NULL);
    unsigned long long bits = 0;
    if (board_busy(call.board, call.t, false) == 0) bits |= nvmlClocksEventReasonGpuIdle;
    for (int i = 0; i < call.board->throttle_count; i++) {
        const throttle_t *throttle = &call.board->throttles[i];
        if (call.t >= throttle->from && call.t < throttle->to) bits |= reason_bits[throttle->which];
    }
    PUT(out, bits);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetCurrentClocksEventReasons, nvmlDevice_t device, unsigned long long *out)
{
    return reasons(CALL_nvmlDeviceGetCurrentClocksEventReasons, device, out);
}

API(nvmlDeviceGetCurrentClocksThrottleReasons, nvmlDevice_t device, unsigned long long *out)
{
    return reasons(CALL_nvmlDeviceGetCurrentClocksThrottleReasons, device, out);
}

static nvmlReturn_t supported_reasons(enum call_id id, nvmlDevice_t device, unsigned long long *out)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(out != NULL);
    *out = nvmlClocksEventReasonGpuIdle;
    for (size_t i = 0; i < sizeof reason_bits / sizeof *reason_bits; i++) *out |= reason_bits[i];
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetSupportedClocksEventReasons, nvmlDevice_t device, unsigned long long *out)
{
    return supported_reasons(CALL_nvmlDeviceGetSupportedClocksEventReasons, device, out);
}

API(nvmlDeviceGetSupportedClocksThrottleReasons, nvmlDevice_t device, unsigned long long *out)
{
    return supported_reasons(CALL_nvmlDeviceGetSupportedClocksThrottleReasons, device, out);
}

API(nvmlDeviceGetViolationStatus, nvmlDevice_t device, nvmlPerfPolicyType_t policy,
    nvmlViolationTime_t *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetViolationStatus, device);
    NEED(out != NULL && policy < NVML_PERF_POLICY_COUNT);
    int reason = policy == NVML_PERF_POLICY_POWER         ? 0
                 : policy == NVML_PERF_POLICY_THERMAL     ? 1
                 : policy == NVML_PERF_POLICY_BOARD_LIMIT ? 4
                                                          : -1;
    out->referenceTime = call_wall_us(&call, call.t);
    PUT(&out->violationTime, board_throttled_ns(call.board, call.t, reason));
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPcieThroughput, nvmlDevice_t device, nvmlPcieUtilCounter_t counter,
    unsigned int *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetPcieThroughput, device);
    NEED(out != NULL && counter < NVML_PCIE_UTIL_COUNT);
    nap_until(call.now_ns + 20000000); /* it measures for 20 ms inside the call: nvml.h */
    PUT(out, board_busy(call.board, call.t, false) * 1000);
    END(NVML_SUCCESS);
}

/* ---- field values ---- */

static bool scope_known(const board_t *board, unsigned scope)
{
    return scope < NVML_POWER_SCOPE_COUNT && strchr(board->scopes, '0' + (int)scope) != NULL;
}

/* A module is the GPU and a constant rest; memory is a constant part of the GPU. */
static unsigned scoped(const board_t *board, unsigned scope, unsigned mw)
{
    if (scope == NVML_POWER_SCOPE_MODULE) return mw + (unsigned)board->module_mw;
    if (scope == NVML_POWER_SCOPE_MEMORY) return (unsigned)board->memory_mw;
    if (scope == NVML_POWER_SCOPE_GPU_BASE) return mw - (unsigned)board->memory_mw;
    return mw;
}

typedef struct {
    bool known, lasting; /* lasting: comes from the sensor at its refresh */
    nvmlValueType_t type;
    unsigned long long value;
} answer_t;

static answer_t uint_answer(bool known, unsigned value)
{
    return (answer_t){known, true, NVML_VALUE_TYPE_UNSIGNED_INT, value};
}

static answer_t ull_answer(bool known, unsigned long long value)
{
    return (answer_t){known, true, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, value};
}

static answer_t power_answer(const call_t *call, unsigned field, unsigned scope)
{
    const board_t *board = call->board;
    bool known = scope_known(board, scope);
    if (field == NVML_FI_DEV_POWER_INSTANT)
        return uint_answer(known && board->instant,
                           scoped(board, scope, board_instant(board, call->t)));
    return uint_answer(known && board->average,
                       scoped(board, scope, board_average(board, call->t)));
}

static answer_t energy_answer(const call_t *call, unsigned field, unsigned scope)
{
    const board_t *board = call->board;
    if (!board->energy) return ull_answer(false, 0);
    unsigned long long mj = board_counter(board, call->t);
    if (field == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION) return ull_answer(true, mj);
    if (scope > NVML_POWER_SCOPE_MODULE) return ull_answer(false, 0);
    double t = board_refreshed(board, call->t, board->counter_refresh_ms);
    if (scope == NVML_POWER_SCOPE_MODULE && t > 0) mj += (unsigned long long)(board->module_mw * t);
    return ull_answer(scope_known(board, scope), mj);
}

static answer_t throttle_answer(const call_t *call, int reason)
{
    return ull_answer(true, board_throttled_ns(call->board, call->t, reason));
}

static answer_t answer(const call_t *call, unsigned field, unsigned scope)
{
    const board_t *board = call->board;
    switch (field) {
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
    case NVML_FI_DEV_ENERGY:
        return energy_answer(call, field, scope);
    case NVML_FI_DEV_POWER_INSTANT:
    case NVML_FI_DEV_POWER_AVERAGE:
        return power_answer(call, field, scope);
    case NVML_FI_DEV_POWER_MIN_LIMIT:
        return uint_answer(scope_known(board, scope), (unsigned)board->min_limit_mw);
    case NVML_FI_DEV_POWER_MAX_LIMIT:
        return uint_answer(scope_known(board, scope), (unsigned)board->max_limit_mw);
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
        return uint_answer(scope_known(board, scope), (unsigned)board->default_limit_mw);
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
        return uint_answer(scope_known(board, scope), (unsigned)board->limit_mw);
    case NVML_FI_DEV_MEMORY_TEMP: /* mem_temp_c=-2: a board that doesn't say */
        return uint_answer(board->mem_temp_c > -2, board_temperature(board, call->t, true));
    case NVML_FI_DEV_PERF_POLICY_POWER:
        return throttle_answer(call, 0);
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN:
        return throttle_answer(call, 1);
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN:
        return throttle_answer(call, 2);
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN:
        return throttle_answer(call, 3);
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT:
        return throttle_answer(call, 4);
    default:
        return (answer_t){.known = false};
    }
}

static void fill(call_t *call, nvmlFieldValue_t *out)
{
    const fault_t *fault = call_fault_for_field(call, out->fieldId);
    answer_t found = answer(call, out->fieldId, out->scopeId);
    out->nvmlReturn = out->fieldId == 0 || out->fieldId >= NVML_FI_MAX
                          ? NVML_ERROR_INVALID_ARGUMENT
                          : (found.known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED);
    if (fault != NULL && fault->has_error) out->nvmlReturn = (nvmlReturn_t)fault->error;
    if (out->nvmlReturn != NVML_SUCCESS) return; /* the value is then undefined: left alone */
    unsigned long long value = call_value(call, found.value);
    if (fault != NULL && fault->has_garbage) value = fault->garbage;
    out->valueType = found.type;
    if (found.type == NVML_VALUE_TYPE_UNSIGNED_INT)
        out->value.uiVal = (unsigned)value;
    else
        out->value.ullVal = value;
}

API(nvmlDeviceGetFieldValues, nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    BEGIN_PHYSICAL(nvmlDeviceGetFieldValues, device);
    NEED(values != NULL && count > 0);
    long long read_us = wall_ns() / 1000;
    bool refreshed = strcmp(call.board->stamp, "refresh") == 0;
    for (int i = 0; i < count; i++) {
        bool energy = values[i].fieldId == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION ||
                      values[i].fieldId == NVML_FI_DEV_ENERGY;
        double period_ms = energy ? call.board->counter_refresh_ms : call.board->refresh_ms;
        fill(&call, &values[i]);
        values[i].timestamp =
            refreshed ? (long long)call_wall_us(
                            &call, board_refreshed(call.board, call.t, period_ms))
                      : read_us;
    }
    long long latency_us = (boottime_ns() - call.start_ns) / 1000;
    for (int i = 0; i < count; i++) values[i].latencyUsec = latency_us;
    END(NVML_SUCCESS);
}

/* ---- samples ---- */

API(nvmlDeviceGetSamples, nvmlDevice_t device, nvmlSamplingType_t type,
    unsigned long long last_seen_us, nvmlValueType_t *value_type, unsigned int *count,
    nvmlSample_t *samples)
{
    BEGIN_PHYSICAL(nvmlDeviceGetSamples, device);
    NEED(count != NULL && value_type != NULL && (samples == NULL || *count > 0));
    SUPPORT(type <= NVML_MEMORY_UTILIZATION_SAMPLES);
    SUPPORT(type == NVML_TOTAL_POWER_SAMPLES || call.board->mig_count == 0);
    enum { RING = 120 }; /* not documented; some ring */
    double period_ms = type == NVML_TOTAL_POWER_SAMPLES ? call.board->refresh_ms
                                                        : call.board->util_period_us / 1e3;
    double newest = board_refreshed(call.board, call.t, period_ms);
    unsigned found = 0, room = samples == NULL ? RING : *count;
    for (int i = RING - 1; i >= 0; i--) {
        double at = newest - i * period_ms / 1e3;
        if (call_wall_us(&call, at) <= last_seen_us || found == room) continue;
        if (samples != NULL) {
            samples[found].timeStamp = call_wall_us(&call, at);
            PUT(&samples[found].sampleValue.uiVal,
                type == NVML_TOTAL_POWER_SAMPLES
                    ? board_instant(call.board, at + period_ms / 2e3)
                    : board_busy(call.board, at, type == NVML_MEMORY_UTILIZATION_SAMPLES));
        }
        found++;
    }
    *count = found;
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    END(found == 0 ? NVML_ERROR_NOT_FOUND : NVML_SUCCESS);
}
