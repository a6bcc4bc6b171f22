/* A script file in, a world out: parsing by tables, one for each kind of line. */
#define _GNU_SOURCE
#include "standin.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_PAIRS 48

const char *const throttle_reasons[] = {"sw_power",    "sw_thermal",  "hw_thermal",
                                        "power_brake", "board_limit", NULL};

enum key_type { KEY_INTEGER, KEY_NUMBER, KEY_TEXT, KEY_BYTES };

typedef struct {
    const char *key;
    enum key_type type;
    size_t offset, size;
} key_spec_t;

typedef struct {
    const char *path;
    int line;
    char *verb, *word; /* word: the positional argument after the GPU number, if any */
    long long gpu;
    struct {
        char *key, *value;
    } pairs[MAX_PAIRS];
    int pair_count;
    bool failed;
} line_t;

#define INTEGER(type, key) {#key, KEY_INTEGER, offsetof(type, key), 0}
#define NUMBER(type, key) {#key, KEY_NUMBER, offsetof(type, key), 0}
#define TEXT(type, key) {#key, KEY_TEXT, offsetof(type, key), sizeof(((type *)0)->key)}
#define BYTES(type, key) {#key, KEY_BYTES, offsetof(type, key), 0}

static const key_spec_t gpu_keys[] = {
    TEXT(board_t, uuid), TEXT(board_t, name), TEXT(board_t, serial), TEXT(board_t, pci),
    TEXT(board_t, arch), TEXT(board_t, scopes), TEXT(board_t, stamp), INTEGER(board_t, index),
    INTEGER(board_t, minor), INTEGER(board_t, seed), NUMBER(board_t, idle_mw),
    NUMBER(board_t, context_mw), NUMBER(board_t, limit_mw), NUMBER(board_t, max_limit_mw),
    NUMBER(board_t, min_limit_mw), NUMBER(board_t, default_limit_mw), NUMBER(board_t, refresh_ms),
    NUMBER(board_t, counter_refresh_ms), NUMBER(board_t, phase_ms), NUMBER(board_t, window_ms),
    NUMBER(board_t, energy_start_mj), NUMBER(board_t, gain_ppm), NUMBER(board_t, counter_gain_ppm),
    NUMBER(board_t, module_mw), NUMBER(board_t, memory_mw), INTEGER(board_t, energy),
    INTEGER(board_t, instant), INTEGER(board_t, average), INTEGER(board_t, power),
    INTEGER(board_t, util), INTEGER(board_t, list), INTEGER(board_t, mig),
    INTEGER(board_t, gpm),
    BYTES(board_t, mem_total), BYTES(board_t, mem_reserved), BYTES(board_t, mem_used),
    NUMBER(board_t, temp_c), NUMBER(board_t, mem_temp_c), NUMBER(board_t, sm_mhz),
    NUMBER(board_t, mem_mhz), NUMBER(board_t, util_period_us), {0},
};
static const key_spec_t load_keys[] = {
    NUMBER(load_t, from), NUMBER(load_t, to), NUMBER(load_t, mw), NUMBER(load_t, low_mw),
    NUMBER(load_t, high_mw), NUMBER(load_t, from_mw), NUMBER(load_t, to_mw),
    NUMBER(load_t, mean_mw), NUMBER(load_t, amplitude_mw), NUMBER(load_t, period_ms),
    NUMBER(load_t, duty), NUMBER(load_t, phase_ms), INTEGER(load_t, pid), {0},
};
static const key_spec_t process_keys[] = {
    INTEGER(process_t, pid), TEXT(process_t, type), BYTES(process_t, mem), NUMBER(process_t, from),
    NUMBER(process_t, to), INTEGER(process_t, sm), INTEGER(process_t, mem_util),
    INTEGER(process_t, enc), INTEGER(process_t, dec), INTEGER(process_t, gi),
    INTEGER(process_t, ci), {0},
};
static const key_spec_t mig_keys[] = {
    INTEGER(mig_t, gi), INTEGER(mig_t, ci), INTEGER(mig_t, slices), INTEGER(mig_t, compute), BYTES(mig_t, memory),
    TEXT(mig_t, uuid), {0},
};
static const key_spec_t event_keys[] = {
    NUMBER(counter_event_t, at), NUMBER(counter_event_t, to),
    {"from", KEY_NUMBER, offsetof(counter_event_t, at), 0}, NUMBER(counter_event_t, mj), {0},
};
static const key_spec_t throttle_keys[] = {
    TEXT(throttle_t, reason), NUMBER(throttle_t, from), NUMBER(throttle_t, to), {0},
};
static const key_spec_t xid_keys[] = {NUMBER(xid_t, at), INTEGER(xid_t, code), {0}};
static const key_spec_t span_keys[] = {NUMBER(span_t, from), NUMBER(span_t, to), {0}};
static const key_spec_t fault_keys[] = {
    TEXT(fault_t, call), INTEGER(fault_t, gpu), INTEGER(fault_t, field), NUMBER(fault_t, from),
    NUMBER(fault_t, to), INTEGER(fault_t, nth), INTEGER(fault_t, every), INTEGER(fault_t, first),
    INTEGER(fault_t, error), INTEGER(fault_t, segv), NUMBER(fault_t, hang),
    BYTES(fault_t, garbage), {0},
};
static const key_spec_t latency_keys[] = {
    TEXT(latency_t, call), TEXT(latency_t, mode), INTEGER(latency_t, gpu), NUMBER(latency_t, value),
    {0},
};

/* Sensor behaviour by architecture: update period and averaging window after Yang, Adámek and
   Armour, "Part-time Power Measurements" (arXiv 2312.02741); which have the energy counter (Volta
   and newer) and the 1-s average (Ampere except GA100, and newer) from the comments in nvml.h.
   Blackwell's window isn't published: taken like Ada's. "ga100" is this script's own word. */
static const struct {
    const char *name;
    int id, cc_major, cc_minor;
    double refresh_ms, window_ms;
    int energy, average;
    bool mig_capable;
} archs[] = {
    {"kepler", NVML_DEVICE_ARCH_KEPLER, 3, 7, 100, 15, 0, 0, false},
    {"maxwell", NVML_DEVICE_ARCH_MAXWELL, 5, 2, 100, 15, 0, 0, false},
    {"pascal", NVML_DEVICE_ARCH_PASCAL, 6, 0, 20, 10, 0, 0, false},
    {"volta", NVML_DEVICE_ARCH_VOLTA, 7, 0, 20, 10, 1, 0, false},
    {"turing", NVML_DEVICE_ARCH_TURING, 7, 5, 100, 100, 1, 0, false},
    {"ga100", NVML_DEVICE_ARCH_AMPERE, 8, 0, 100, 25, 1, 0, true},
    {"ampere", NVML_DEVICE_ARCH_AMPERE, 8, 6, 100, 100, 1, 1, false},
    {"ada", NVML_DEVICE_ARCH_ADA, 8, 9, 100, 100, 1, 1, false},
    {"hopper", NVML_DEVICE_ARCH_HOPPER, 9, 0, 100, 25, 1, 1, true},
    {"blackwell", NVML_DEVICE_ARCH_BLACKWELL, 10, 0, 100, 100, 1, 1, true},
    {"unknown", (int)NVML_DEVICE_ARCH_UNKNOWN, 0, 0, 100, 100, 1, 1, false},
};

static void complain(line_t *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", line->path, line->line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    line->failed = true;
}

static bool parse_number(const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && !isnan(*value);
}

static bool parse_integer(const char *text, long long *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 0);
    return end != text && *end == '\0' && errno == 0;
}

/* 1234, 80k, 512M, 80G (powers of 1024), or none: the driver doesn't say. */
static bool parse_bytes(const char *text, unsigned long long *value)
{
    if (strcmp(text, "none") == 0) {
        *value = ~0ULL;
        return true;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    if (end == text || errno != 0) return false;
    int shift = *end == 'k' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    *value <<= shift;
    return end[shift != 0] == '\0';
}

static void set_key(line_t *line, const key_spec_t *spec, char *target, const char *value)
{
    bool good = true;
    void *place = target + spec->offset;
    switch (spec->type) {
    case KEY_INTEGER:
        good = parse_integer(value, place);
        break;
    case KEY_NUMBER:
        good = parse_number(value, place);
        break;
    case KEY_BYTES:
        good = parse_bytes(value, place);
        break;
    case KEY_TEXT:
        good = strlen(value) < spec->size;
        if (good) strcpy(place, value);
        break;
    }
    if (!good) complain(line, "%s=%s: not a value for %s", spec->key, value, spec->key);
}

static void set_keys(line_t *line, const key_spec_t *specs, void *target)
{
    for (int i = 0; i < line->pair_count; i++) {
        const key_spec_t *spec = specs;
        while (spec->key != NULL && strcmp(spec->key, line->pairs[i].key) != 0) spec++;
        if (spec->key == NULL)
            complain(line, "%s has no %s=", line->verb, line->pairs[i].key);
        else
            set_key(line, spec, target, line->pairs[i].value);
    }
}

static const char *pair(const line_t *line, const char *key)
{
    for (int i = 0; i < line->pair_count; i++)
        if (strcmp(line->pairs[i].key, key) == 0) return line->pairs[i].value;
    return NULL;
}

/* Of each world its own memory, taken from the kernel and given back as one: worlds come and go, and
   the heap with the holes that they would leave is that of the process that is measured. */
#define ROOM_BYTES (64UL << 20) /* addresses; there is only as much memory as was written to */

static char *room_next, *room_end; /* one script is read at a time */

static void *take(size_t size)
{
    char *taken = room_next;
    room_next += (size + 15) / 16 * 16;
    if (room_next > room_end) abort();
    return taken; /* zeros */
}

static world_t *new_world(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    room_next = mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (room_next == MAP_FAILED) abort();
    room_end = room_next + ROOM_BYTES;
    return take(sizeof(world_t));
}

static void *grow(void *list, int count, size_t size)
{
    if ((count & (count - 1)) != 0) return list; /* room is made at every power of two */
    void *longer = take((count == 0 ? 1 : 2 * (size_t)count) * size);
    if (count > 0) memcpy(longer, list, (size_t)count * size);
    return longer;
}
#define APPEND(list, count)                                                                        \
    ((list) = grow((list), (count), sizeof *(list)), (count)++, &(list)[(count)-1])

static void read_gpu(line_t *line, world_t *world)
{
    board_t *board = &world->boards[line->gpu];
    if (board->declared) complain(line, "gpu %lld is declared twice", line->gpu);
    int gpu = (int)line->gpu;
    *board = (board_t){
        .declared = true, .cache = take(sizeof(cache_t)), .name = "NVIDIA H100 80GB HBM3", .arch = "hopper", .scopes = "0",
        .stamp = "read", .index = gpu, .minor = gpu, .seed = gpu, .idle_mw = 70000,
        .limit_mw = 700000, .min_limit_mw = 200000, .energy_start_mj = 1000000, .instant = 1,
        .power = 1, .util = 1, .list = 1, .mem_total = 80ULL << 30, .mem_reserved = 512ULL << 20,
        .temp_c = -1, .mem_temp_c = -1, .sm_mhz = 1980, .mem_mhz = 2619,
        .util_period_us = 10e6 / 72, /* 72 samples in 10 s: open-gpu-kernel-modules, ctrl2080perf.h */
    };
    snprintf(board->uuid, sizeof board->uuid, "GPU-00000000-0000-4000-8000-%012d", gpu);
    snprintf(board->pci, sizeof board->pci, "00000000:%02X:00.0", 0x1b + gpu);
    const char *arch = pair(line, "arch") == NULL ? board->arch : pair(line, "arch");
    size_t which = 0, known = sizeof archs / sizeof *archs;
    while (which < known && strcmp(archs[which].name, arch) != 0) which++;
    if (which == known) {
        complain(line, "arch=%s: unknown architecture", arch);
        return;
    }
    board->arch_id = archs[which].id;
    board->cc_major = archs[which].cc_major;
    board->cc_minor = archs[which].cc_minor;
    board->refresh_ms = archs[which].refresh_ms;
    board->window_ms = archs[which].window_ms;
    board->energy = archs[which].energy;
    board->average = archs[which].average;
    board->mig_capable = archs[which].mig_capable;
    board->gpm = board->cc_major >= 9; /* "for Hopper or newer": nvml.h */
    set_keys(line, gpu_keys, board);
    if (board->counter_refresh_ms == 0) board->counter_refresh_ms = board->refresh_ms;
    if (board->max_limit_mw == 0) board->max_limit_mw = board->limit_mw;
    if (board->default_limit_mw == 0) board->default_limit_mw = board->max_limit_mw;
    if (board->refresh_ms <= 0 || board->counter_refresh_ms <= 0 || board->window_ms <= 0)
        complain(line, "refresh_ms, counter_refresh_ms and window_ms must be positive");
}

static void read_load(line_t *line, world_t *world)
{
    static const char *const kinds[] = {"constant", "square", "ramp", "sine"};
    board_t *board = &world->boards[line->gpu];
    load_t *load = APPEND(board->loads, board->load_count);
    *load = (load_t){.to = INFINITY, .duty = 0.5, .period_ms = 1000};
    int kind = 0;
    while (kind < 4 && (line->word == NULL || strcmp(kinds[kind], line->word) != 0)) kind++;
    if (kind == 4) complain(line, "a load is constant, square, ramp or sine");
    load->kind = (enum load_kind)kind;
    set_keys(line, load_keys, load);
    if (load->to < load->from) complain(line, "to= is before from=");
    if (load->kind == LOAD_RAMP && isinf(load->to)) complain(line, "a ramp needs to=");
    if (load->period_ms <= 0) complain(line, "period_ms must be positive");
}

static void read_process(line_t *line, world_t *world)
{
    static const char *const names[] = {"compute", "graphics", "mps"};
    board_t *board = &world->boards[line->gpu];
    process_t *process = APPEND(board->processes, board->process_count);
    *process = (process_t){.type = "compute", .to = INFINITY, .gi = -1, .ci = -1};
    set_keys(line, process_keys, process);
    for (int i = 0; i < 3; i++) /* "compute+graphics" is both */
        if (strstr(process->type, names[i]) != NULL) process->modes |= 1 << i;
    if (process->modes == 0) complain(line, "type=%s: unknown type", process->type);
    if (pair(line, "pid") == NULL) complain(line, "a process needs pid=");
}

static void read_mig(line_t *line, world_t *world)
{
    board_t *board = &world->boards[line->gpu];
    if (board->mig_count == MAX_MIGS) {
        complain(line, "more than %d MIG devices on a GPU", MAX_MIGS);
        return;
    }
    mig_t *mig = &board->migs[board->mig_count];
    *mig = (mig_t){.gi = board->mig_count + 1, .slices = 1, .memory = 10ULL << 30};
    snprintf(mig->uuid, sizeof mig->uuid, "MIG-00000000-0000-4000-8000-%06lld%06d", line->gpu,
             board->mig_count);
    set_keys(line, mig_keys, mig);
    if (mig->compute == 0) mig->compute = mig->slices;
    board->mig_count++;
    board->mig = 1;
}

static void read_counter_event(line_t *line, world_t *world)
{
    static const char *const kinds[] = {"counter_reset", "counter_jump", "counter_back",
                                        "counter_stall", "counter_dip"};
    int kind = 0;
    while (strcmp(kinds[kind], line->verb) != 0) kind++;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        board_t *board = &world->boards[gpu];
        if (!board->declared || (line->gpu != ALL_GPUS && line->gpu != gpu)) continue;
        counter_event_t *event = APPEND(board->events, board->event_count);
        *event = (counter_event_t){.kind = (enum counter_kind)kind, .to = INFINITY};
        set_keys(line, event_keys, event);
        for (int i = board->event_count - 1; /* kept in order of time */
             i > 0 && board->events[i - 1].at > board->events[i].at; i--) {
            counter_event_t later = board->events[i - 1];
            board->events[i - 1] = board->events[i];
            board->events[i] = later;
        }
    }
}

static void read_throttle(line_t *line, world_t *world)
{
    board_t *board = &world->boards[line->gpu];
    throttle_t *throttle = APPEND(board->throttles, board->throttle_count);
    *throttle = (throttle_t){.to = INFINITY};
    set_keys(line, throttle_keys, throttle);
    while (throttle_reasons[throttle->which] != NULL &&
           strcmp(throttle_reasons[throttle->which], throttle->reason) != 0)
        throttle->which++;
    if (throttle_reasons[throttle->which] == NULL)
        complain(line, "reason=%s: unknown reason", throttle->reason);
}

static void read_xid(line_t *line, world_t *world)
{
    board_t *board = &world->boards[line->gpu];
    set_keys(line, xid_keys, APPEND(board->xids, board->xid_count));
}

static void read_vanish(line_t *line, world_t *world)
{
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        board_t *board = &world->boards[gpu];
        if (!board->declared || (line->gpu != ALL_GPUS && line->gpu != gpu)) continue;
        span_t *span = APPEND(board->lost, board->lost_count);
        span->to = INFINITY;
        set_keys(line, span_keys, span);
    }
}

static bool call_matches(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '*') return strncmp(pattern, name, length - 1) == 0;
    if (strncmp(pattern, name, length) != 0) return false;
    /* nvmlInit stands for nvmlInit_v2 too, and nvmlDeviceGetCount for nvmlDeviceGetCount_v2 */
    const char *rest = name + length;
    return *rest == '\0' || (strncmp(rest, "_v", 2) == 0 && isdigit((unsigned char)rest[2]));
}

static bool call_named(const char *pattern, const char *name)
{
    return call_matches(pattern, name) ||
           (strcmp(pattern, "nvmlInit") == 0 && strcmp(name, "nvmlInitWithFlags") == 0);
}

static void index_rule(line_t *line, const char *pattern, world_t *world, bool fault, int number)
{
    bool found = false;
    for (int id = 0; id < CALL_COUNT; id++) {
        if (!call_named(pattern, call_names[id])) continue;
        rules_t *rules = &world->rules[id];
        found = true;
        if (fault)
            *APPEND(rules->fault, rules->fault_count) = number;
        else
            *APPEND(rules->latency, rules->latency_count) = number;
    }
    if (!found) complain(line, "call=%s: nvml.h has no such call", pattern);
}

static void read_fault(line_t *line, world_t *world)
{
    int number = world->fault_count;
    fault_t *fault = APPEND(world->faults, world->fault_count);
    strcpy(fault->call, "*");
    fault->gpu = line->gpu;
    fault->field = -1;
    fault->to = INFINITY;
    set_keys(line, fault_keys, fault);
    fault->has_error = pair(line, "error") != NULL;
    fault->has_garbage = pair(line, "garbage") != NULL;
    index_rule(line, fault->call, world, true, number);
}

static void read_latency(line_t *line, world_t *world)
{
    int number = world->latency_count;
    latency_t *latency = APPEND(world->latencies, world->latency_count);
    *latency = (latency_t){.call = "*", .mode = "busy", .gpu = line->gpu};
    set_keys(line, latency_keys, latency);
    index_rule(line, latency->call, world, false, number);
}

static void read_driver(line_t *line, world_t *world)
{
    if (line->word == NULL || strlen(line->word) >= sizeof world->driver)
        complain(line, "driver needs a version");
    else
        strcpy(world->driver, line->word);
}

static void read_library(line_t *line, world_t *world)
{
    if (line->word == NULL || strlen(line->word) >= sizeof world->library)
        complain(line, "library needs a version");
    else
        strcpy(world->library, line->word);
}

static void read_cuda(line_t *line, world_t *world)
{
    if (line->word == NULL || !parse_integer(line->word, &world->cuda))
        complain(line, "cuda needs a number such as 13000");
}

static void read_time0(line_t *line, world_t *world)
{
    world->has_time0 = line->word != NULL && parse_integer(line->word, &world->time0_ns);
    if (!world->has_time0) complain(line, "time0_ns needs a number");
}

/* Which verbs there are; how they name their GPU. */
enum gpu_argument { GPU_NONE, GPU_ONE, GPU_SOME, GPU_RULE };
static const struct {
    const char *verb;
    enum gpu_argument gpu;
    void (*read)(line_t *, world_t *);
} verbs[] = {
    {"driver", GPU_NONE, read_driver},
    {"library", GPU_NONE, read_library},
    {"cuda", GPU_NONE, read_cuda},
    {"time0_ns", GPU_NONE, read_time0},
    {"gpu", GPU_ONE, read_gpu},
    {"load", GPU_ONE, read_load},
    {"process", GPU_ONE, read_process},
    {"mig", GPU_ONE, read_mig},
    {"throttle", GPU_ONE, read_throttle},
    {"xid", GPU_ONE, read_xid},
    {"counter_reset", GPU_SOME, read_counter_event},
    {"counter_jump", GPU_SOME, read_counter_event},
    {"counter_back", GPU_SOME, read_counter_event},
    {"counter_stall", GPU_SOME, read_counter_event},
    {"counter_dip", GPU_SOME, read_counter_event},
    {"vanish", GPU_SOME, read_vanish},
    {"fault", GPU_RULE, read_fault},
    {"latency_us", GPU_RULE, read_latency},
};

/* The next word, with "quotes" taken off; NULL at the end or at a comment. */
static char *next_word(char **rest)
{
    char *in = *rest;
    while (isspace((unsigned char)*in)) in++;
    if (*in == '\0' || *in == '#') return NULL;
    char *word = in, *out = in;
    for (bool quoted = false; *in != '\0' && (quoted || !isspace((unsigned char)*in)); in++) {
        if (*in == '"')
            quoted = !quoted;
        else
            *out++ = *in;
    }
    *rest = *in == '\0' ? in : in + 1;
    *out = '\0';
    return word;
}

/* gpu=N (or gpu=all) among the pairs is taken out of them. */
static void take_gpu_pair(line_t *line)
{
    for (int i = 0; i < line->pair_count; i++) {
        if (strcmp(line->pairs[i].key, "gpu") != 0) continue;
        if (strcmp(line->pairs[i].value, "all") != 0 &&
            !parse_integer(line->pairs[i].value, &line->gpu))
            complain(line, "gpu=%s: not a number", line->pairs[i].value);
        line->pairs[i] = line->pairs[--line->pair_count];
        return;
    }
}

static void split(line_t *line, char *text)
{
    char *word;
    line->verb = next_word(&text);
    while ((word = next_word(&text)) != NULL) {
        char *equals = strchr(word, '=');
        long long number;
        if (equals == NULL && line->gpu == ALL_GPUS && line->word == NULL &&
            strcmp(line->verb, "time0_ns") != 0 && strcmp(line->verb, "cuda") != 0 &&
            strcmp(line->verb, "driver") != 0 && strcmp(line->verb, "library") != 0 &&
            parse_integer(word, &number)) {
            line->gpu = number;
        } else if (equals == NULL) {
            if (line->word != NULL) complain(line, "%s: unexpected", word);
            line->word = word;
        } else if (line->pair_count == MAX_PAIRS) {
            complain(line, "too many words");
            return;
        } else {
            *equals = '\0';
            line->pairs[line->pair_count].key = word;
            line->pairs[line->pair_count++].value = equals + 1;
        }
    }
    take_gpu_pair(line);
}

static void obey(line_t *line, world_t *world)
{
    size_t which = 0, known = sizeof verbs / sizeof *verbs;
    while (which < known && strcmp(verbs[which].verb, line->verb) != 0) which++;
    if (which == known) {
        complain(line, "%s: unknown verb", line->verb);
        return;
    }
    enum gpu_argument gpu = verbs[which].gpu;
    bool declares = strcmp(line->verb, "gpu") == 0;
    if (gpu == GPU_ONE && (line->gpu < 0 || line->gpu >= MAX_GPUS))
        complain(line, "%s needs a GPU number from 0 to %d", line->verb, MAX_GPUS - 1);
    else if (gpu == GPU_ONE && !declares && !world->boards[line->gpu].declared)
        complain(line, "gpu %lld has not been declared above", line->gpu);
    else
        verbs[which].read(line, world);
}

static int by_from(const void *left, const void *right)
{
    double a = ((const span_t *)left)->from, b = ((const span_t *)right)->from;
    return (a > b) - (a < b);
}

/* The context step is drawn while anybody holds the board: the union of the processes' lives. */
static void merge_holders(board_t *board)
{
    for (int i = 0; i < board->process_count; i++) {
        span_t *span = APPEND(board->held, board->held_count);
        *span = (span_t){board->processes[i].from, board->processes[i].to};
    }
    if (board->held_count == 0) return;
    qsort(board->held, (size_t)board->held_count, sizeof *board->held, by_from);
    int last = 0;
    for (int i = 1; i < board->held_count; i++) {
        if (board->held[i].from > board->held[last].to)
            board->held[++last] = board->held[i];
        else if (board->held[i].to > board->held[last].to)
            board->held[last].to = board->held[i].to;
    }
    board->held_count = last + 1;
}

/* The world of a script; NULL, with the reasons on stderr, if it can't be read. */
world_t *script_read(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    world_t *world = new_world();
    strcpy(world->driver, "580.95.05");
    world->cuda = 13000;
    char *text = NULL;
    size_t size = 0;
    bool failed = false;
    for (int number = 1; getline(&text, &size, file) >= 0; number++) {
        line_t line = {.path = path, .line = number, .gpu = ALL_GPUS};
        char *probe = text;
        while (isspace((unsigned char)*probe)) probe++;
        if (*probe == '\0' || *probe == '#') continue;
        split(&line, text);
        if (!line.failed) obey(&line, world);
        failed = failed || line.failed;
    }
    free(text);
    fclose(file);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) merge_holders(&world->boards[gpu]);
    if (!failed) return world;
    script_free(world);
    return NULL;
}

/* Gives a world's memory back. */
void script_free(world_t *world)
{
    munmap(world, ROOM_BYTES);
}
