/* What the parts of the stand-in NVML library share: the scripted world, one call, the boards. */
#ifndef STANDIN_H
#define STANDIN_H

#define NVML_NO_UNVERSIONED_FUNC_DEFS /* both nvmlInit and nvmlInit_v2 are symbols here */
#include <nvml.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls.h" /* made by the build from nvml.h: enum call_id, call_names[] */

#define MAX_GPUS 64
#define MAX_MIGS 8
#define ALL_GPUS (-1)
#define NO_DEVICE ((nvmlDevice_t)-1) /* for calls that have none */

/* Times are seconds since the script's time 0, power is mW, energy is mJ. */

enum load_kind { LOAD_CONSTANT, LOAD_SQUARE, LOAD_RAMP, LOAD_SINE };

typedef struct {
    enum load_kind kind;
    double from, to;
    double mw, low_mw, high_mw, from_mw, to_mw, mean_mw, amplitude_mw;
    double period_ms, duty, phase_ms;
    long long pid;
} load_t;

enum { PROCESS_COMPUTE = 1, PROCESS_GRAPHICS = 2, PROCESS_MPS = 4 };

typedef struct {
    long long pid;
    char type[24];
    int modes; /* from type: a sum of PROCESS_* */
    unsigned long long mem;
    double from, to;
    long long sm, mem_util, enc, dec;
    long long gi, ci;
} process_t;

typedef struct {
    long long gi, ci, slices, compute; /* slices of its GPU instance, and its own */
    unsigned long long memory;
    char uuid[96];
} mig_t;

enum counter_kind { COUNTER_RESET, COUNTER_JUMP, COUNTER_BACK, COUNTER_STALL, COUNTER_DIP };

typedef struct {
    enum counter_kind kind;
    double at, to;
    double mj;
} counter_event_t;

typedef struct {
    char reason[24];
    int which; /* index into throttle_reasons */
    double from, to;
} throttle_t;

typedef struct {
    double at;
    long long code;
} xid_t;

typedef struct {
    double from, to;
} span_t;

/* The last refresh's values, so that a sensor that is read often costs little: the refresh's
   number and its value in one word each. 0 is empty. */
typedef struct {
    atomic_ullong counter, instant, average;
} cache_t;

typedef struct {
    bool declared;
    cache_t *cache;
    char uuid[96], name[96], serial[32], pci[32], arch[16], scopes[16], stamp[16];
    long long index, minor, seed;
    int arch_id, cc_major, cc_minor;
    bool mig_capable;
    double idle_mw, context_mw, limit_mw, max_limit_mw, min_limit_mw, default_limit_mw;
    double refresh_ms, counter_refresh_ms, phase_ms, window_ms;
    double energy_start_mj, gain_ppm, counter_gain_ppm, module_mw, memory_mw;
    long long energy, instant, average, power, util, list, mig, gpm;
    unsigned long long mem_total, mem_reserved, mem_used;
    double temp_c, mem_temp_c, sm_mhz, mem_mhz, util_period_us;
    load_t *loads;
    process_t *processes;
    counter_event_t *events;
    throttle_t *throttles;
    xid_t *xids;
    span_t *held; /* when anybody holds a context: merged, in order */
    span_t *lost; /* when the device is gone */
    int load_count, process_count, event_count, throttle_count, xid_count, held_count, lost_count;
    mig_t migs[MAX_MIGS];
    int mig_count;
} board_t;

typedef struct {
    char call[96];
    long long gpu, field;
    double from, to;
    long long nth, every, first;
    long long error, segv;
    double hang;
    unsigned long long garbage;
    bool has_error, has_garbage;
    atomic_ullong matched;
} fault_t;

typedef struct {
    char call[96], mode[8];
    long long gpu;
    double value;
} latency_t;

typedef struct {
    int *fault, *latency; /* indices, in the order of the script */
    int fault_count, latency_count;
} rules_t;

typedef struct world {
    unsigned long long number; /* none has that of another one */
    char driver[80], library[80];
    long long cuda, time0_ns;
    bool has_time0;
    board_t boards[MAX_GPUS];
    fault_t *faults;
    latency_t *latencies;
    int fault_count, latency_count;
    rules_t rules[CALL_COUNT];
    struct world *next; /* among those that were replaced */
} world_t;

/* One API call from entry to return. */
typedef struct {
    enum call_id id;
    int64_t now_ns; /* CLOCK_BOOTTIME at entry, or after a hang */
    int64_t start_ns;
    double t; /* now, in scripted seconds */
    world_t *world;
    board_t *board; /* NULL for calls without a device */
    int gpu;
    mig_t *mig; /* non-NULL for MIG device handles */
    bool garbled;
    unsigned long long garbage;
} call_t;

struct nvmlDevice_st {
    int gpu, mig; /* mig −1: the physical device */
};

/* script.c */
world_t *script_read(const char *path);
void script_free(world_t *world);
extern const char *const throttle_reasons[];

/* board.c: what a board does and what its sensors say of it */
double board_energy(const board_t *board, double from, double to);
double board_mean_power(const board_t *board, double from, double to);
double board_refreshed(const board_t *board, double t, double refresh_ms);
unsigned long long board_counter(const board_t *board, double t);
unsigned board_instant(const board_t *board, double t);
unsigned board_average(const board_t *board, double t);
bool board_lost(const board_t *board, double t);
bool process_alive(const process_t *process, double t);
unsigned board_busy(const board_t *board, double t, bool memory);
unsigned long long board_memory_used(const board_t *board, double t, const mig_t *mig);
unsigned long long board_throttled_ns(const board_t *board, double t, int reason);
unsigned board_temperature(const board_t *board, double t, bool memory);
const process_t *board_sampled(const board_t *board, long long sample, double t, bool memory);

/* nvml_standin.c: lifecycle, clocks, faults, the call log */
nvmlReturn_t call_begin(call_t *call, enum call_id id, nvmlDevice_t device);
nvmlReturn_t call_begin_bare(call_t *call, enum call_id id); /* also before nvmlInit */
void call_advance(call_t *call); /* brings the time and the world up to now */
nvmlReturn_t call_end(const call_t *call, nvmlReturn_t result);
fault_t *call_fault_for_field(call_t *call, unsigned field);
unsigned long long call_value(const call_t *call, unsigned long long value);
unsigned long long call_wall_us(const call_t *call, double t);
nvmlReturn_t call_text(char *out, unsigned length, const char *text);
nvmlDevice_t device_handle(int gpu, int mig);
bool device_present(int gpu);
int device_at_index(const world_t *world, unsigned index);
int device_index(const world_t *world, int gpu);
void nap_until(int64_t boottime_ns);
int64_t boottime_ns(void);
int64_t wall_ns(void);

#define API(name, ...) __attribute__((visibility("default"))) nvmlReturn_t name(__VA_ARGS__)

/* A call on a device, MIG devices included. */
#define BEGIN(name, device)                                                                        \
    call_t call;                                                                                   \
    do {                                                                                           \
        nvmlReturn_t early = call_begin(&call, CALL_##name, device);                               \
        if (early != NVML_SUCCESS) return call_end(&call, early);                                  \
    } while (0)
/* A call that only the physical device answers. */
#define BEGIN_PHYSICAL(name, device)                                                               \
    BEGIN(name, device);                                                                           \
    if (call.mig != NULL) return call_end(&call, NVML_ERROR_NOT_SUPPORTED)
#define BEGIN_SYSTEM(name) BEGIN(name, NO_DEVICE)
#define END(result) return call_end(&call, result)
#define NEED(condition) if (!(condition)) return call_end(&call, NVML_ERROR_INVALID_ARGUMENT)
#define SUPPORT(condition) if (!(condition)) return call_end(&call, NVML_ERROR_NOT_SUPPORTED)
/* Sets one number that the script may garble. */
#define PUT(out, value) (*(out) = (__typeof__(*(out)))call_value(&call, (unsigned long long)(value)))

#endif
