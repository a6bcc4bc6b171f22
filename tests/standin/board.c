/* A board and a time in, watts and counters out: closed forms, the same as in standin.py. */
#include "standin.h"

#include <math.h>

enum { COUNTER_BITS = 40, POWER_BITS = 32 }; /* of a cached word, for the value */

static double overlap(double from, double to, double low, double high)
{
    double a = fmax(from, low), b = fmin(to, high);
    return b > a ? b - a : 0;
}

/* Integral of a shape over the first x seconds of its life. */
static double shape_integral(const load_t *load, double x)
{
    double period = load->period_ms / 1e3, phase = load->phase_ms / 1e3;
    double duration, periods, rest, on;
    switch (load->kind) {
    case LOAD_CONSTANT:
        return load->mw * x;
    case LOAD_RAMP:
        duration = load->to - load->from;
        return load->from_mw * x + (load->to_mw - load->from_mw) * x * x / (2 * duration);
    case LOAD_SQUARE:
        periods = floor((x + phase) / period);
        rest = (x + phase) - periods * period;
        on = periods * load->duty * period + fmin(rest, load->duty * period);
        return load->low_mw * (x + phase) + (load->high_mw - load->low_mw) * on;
    case LOAD_SINE:
        return load->mean_mw * x - load->amplitude_mw * period / (2 * M_PI) *
                                       cos(2 * M_PI * (x + phase) / period);
    }
    return 0;
}

static double load_energy(const load_t *load, double from, double to)
{
    double a = fmax(from, load->from), b = fmin(to, load->to);
    if (b <= a) return 0;
    return shape_integral(load, b - load->from) - shape_integral(load, a - load->from);
}

/* True energy in mJ. */
double board_energy(const board_t *board, double from, double to)
{
    double energy = board->idle_mw * (to - from);
    for (int i = 0; i < board->held_count; i++)
        energy += board->context_mw * overlap(from, to, board->held[i].from, board->held[i].to);
    for (int i = 0; i < board->load_count; i++)
        energy += load_energy(&board->loads[i], from, to);
    return energy;
}

double board_mean_power(const board_t *board, double from, double to)
{
    return board_energy(board, from, to) / (to - from);
}

/* How many refreshes a sensor has had since time 0, and when the last one was. */
static long long refreshes(const board_t *board, double t, double refresh_ms)
{
    return (long long)floor((t - board->phase_ms / 1e3) / (refresh_ms / 1e3));
}

double board_refreshed(const board_t *board, double t, double refresh_ms)
{
    return (double)refreshes(board, t, refresh_ms) * (refresh_ms / 1e3) + board->phase_ms / 1e3;
}

/* Energy since time 0 as the counter's own integrator sees it; before time 0 the board idled. */
static double counted(const board_t *board, double t)
{
    double gain = 1 + (board->gain_ppm + board->counter_gain_ppm) / 1e6;
    return gain * (t >= 0 ? board_energy(board, 0, t) : board->idle_mw * t);
}

static unsigned long long counter_at(const board_t *board, double at)
{
    double offset = board->energy_start_mj;
    for (int i = 0; i < board->event_count; i++) {
        const counter_event_t *event = &board->events[i];
        if (event->at > at) break;
        if (event->kind == COUNTER_DIP && at < event->to) return (unsigned long long)event->mj;
        if (event->kind == COUNTER_STALL && at < event->to) {
            at = board_refreshed(board, event->at, board->counter_refresh_ms);
            break;
        }
        if (event->kind == COUNTER_RESET) offset = event->mj - counted(board, event->at);
        if (event->kind == COUNTER_JUMP) offset += event->mj;
        if (event->kind == COUNTER_BACK) offset -= event->mj;
    }
    double value = counted(board, at) + offset;
    return value > 0 ? (unsigned long long)value : 0;
}

/* The upper bits of a cache's word are the refresh's number, the lower ones the value, if it fits. */
static bool recall(atomic_ullong *cache, long long number, int bits, unsigned long long *value)
{
    unsigned long long word = atomic_load_explicit(cache, memory_order_relaxed);
    *value = word & ((1ULL << bits) - 1);
    return word != 0 && word >> bits == ((unsigned long long)number << bits) >> bits;
}

static void remember(atomic_ullong *cache, long long number, int bits, unsigned long long value)
{
    if (value >> bits == 0)
        atomic_store_explicit(cache, (unsigned long long)number << bits | value,
                              memory_order_relaxed);
}

unsigned long long board_counter(const board_t *board, double t)
{
    long long number = refreshes(board, t, board->counter_refresh_ms);
    unsigned long long value;
    if (recall(&board->cache->counter, number, COUNTER_BITS, &value)) return value;
    value = counter_at(board, board_refreshed(board, t, board->counter_refresh_ms));
    remember(&board->cache->counter, number, COUNTER_BITS, value);
    return value;
}

static unsigned sensed(const board_t *board, double t, double window, atomic_ullong *cache)
{
    long long number = refreshes(board, t, board->refresh_ms);
    unsigned long long value;
    if (recall(cache, number, POWER_BITS, &value)) return (unsigned)value;
    double at = board_refreshed(board, t, board->refresh_ms);
    double mw = board_mean_power(board, at - window, at) * (1 + board->gain_ppm / 1e6);
    value = mw > 0 ? (unsigned)(mw + 0.5) : 0;
    remember(cache, number, POWER_BITS, value);
    return (unsigned)value;
}

/* Mean of the true power over the sensor's window before its last refresh, in mW. */
unsigned board_instant(const board_t *board, double t)
{
    return sensed(board, t, board->window_ms / 1e3, &board->cache->instant);
}

/* Mean of the true power over the second before the last refresh, in mW. */
unsigned board_average(const board_t *board, double t)
{
    return sensed(board, t, 1, &board->cache->average);
}

bool board_lost(const board_t *board, double t)
{
    for (int i = 0; i < board->lost_count; i++)
        if (t >= board->lost[i].from && t < board->lost[i].to) return true;
    return false;
}

bool process_alive(const process_t *process, double t)
{
    return t >= process->from && t < process->to;
}

/* Percent of time that the engine is busy: what the processes say, or 100 while any load is on. */
unsigned board_busy(const board_t *board, double t, bool memory)
{
    long long sum = 0;
    for (int i = 0; i < board->process_count; i++) {
        const process_t *process = &board->processes[i];
        if (process_alive(process, t)) sum += memory ? process->mem_util : process->sm;
    }
    for (int i = 0; i < board->load_count && sum == 0 && !memory; i++)
        if (board->loads[i].pid == 0 && t >= board->loads[i].from && t < board->loads[i].to)
            sum = 100;
    return sum > 100 ? 100 : (unsigned)sum;
}

/* Well-mixed bits of a sample's number (splitmix64), so that a script always draws the same. */
static double draw(unsigned long long seed, unsigned long long sample)
{
    unsigned long long z = seed * 0x9e3779b97f4a7c15ULL + sample + 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return (double)(z >> 11) / 9007199254740992.0;
}

/* The one process that the driver finds on the engine when it takes a sample; NULL for none.
   Chances are as the processes' utilisation ("the process that was active on the engine when the
   sample was taken": open-gpu-kernel-modules, NV2080_CTRL_PERF_GPUMON_ENGINE_UTIL_SAMPLE). */
const process_t *board_sampled(const board_t *board, long long sample, double t, bool memory)
{
    long long sum = 0;
    for (int i = 0; i < board->process_count; i++) {
        const process_t *process = &board->processes[i];
        if (process_alive(process, t)) sum += memory ? process->mem_util : process->sm;
    }
    if (sum == 0) return NULL;
    unsigned long long seed = (unsigned long long)board->seed * 2 + memory;
    double left = draw(seed, (unsigned long long)sample) * (double)sum;
    for (int i = 0; i < board->process_count; i++) {
        const process_t *process = &board->processes[i];
        if (!process_alive(process, t)) continue;
        left -= (double)(memory ? process->mem_util : process->sm);
        if (left < 0) return process;
    }
    return NULL;
}

unsigned long long board_memory_used(const board_t *board, double t, const mig_t *mig)
{
    unsigned long long used = mig == NULL ? board->mem_used : 0;
    for (int i = 0; i < board->process_count; i++) {
        const process_t *process = &board->processes[i];
        if (!process_alive(process, t) || process->mem == ~0ULL) continue;
        if (mig == NULL || process->gi == mig->gi) used += process->mem;
    }
    return used;
}

unsigned long long board_throttled_ns(const board_t *board, double t, int reason)
{
    double seconds = 0;
    for (int i = 0; i < board->throttle_count; i++) {
        const throttle_t *throttle = &board->throttles[i];
        if (throttle->which == reason)
            seconds += overlap(-INFINITY, t, throttle->from, throttle->to);
    }
    return (unsigned long long)(seconds * 1e9);
}

/* Degrees: fixed by the script, else from 30 °C idle towards 75 °C at the limit, at once. */
unsigned board_temperature(const board_t *board, double t, bool memory)
{
    double fixed = memory ? board->mem_temp_c : board->temp_c;
    if (fixed >= 0) return (unsigned)fixed;
    return (unsigned)(30 + 45 * board_average(board, t) / board->max_limit_mw) + (memory ? 8 : 0);
}
