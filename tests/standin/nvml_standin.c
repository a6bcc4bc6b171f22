/* A stand-in for libnvidia-ml.so.1: what happens in every call, before and after its own answer.
 *
 * SUBMETER_STANDIN_SCRIPT names the script (its format: README.md beside this file). It is read at
 * nvmlInit and again, at most every 50 ms, when the file has been replaced. SUBMETER_STANDIN_CALLS
 * names a file of counters, shared by all processes that use it and right even after a kill.
 * No lock is held during a call, so that a call that hangs delays nobody else. */
#define _GNU_SOURCE
#include "standin.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef STANDIN_VERSION
#define STANDIN_VERSION "13.580.95.05"
#endif

#define RELOAD_NS 50000000LL
#define HANG_POLL_NS 5000000LL

#define CALL_NAME(name) #name,
const char *const call_names[] = {ALL_CALLS(CALL_NAME) NULL};

/* The layout that standin.py reads: name, count, nanoseconds; 128 bytes, so that two calls never
   share a cache line. */
typedef struct {
    char name[112];
    atomic_ullong count, total_ns;
} log_entry_t;

static struct nvmlDevice_st handles[MAX_GPUS][1 + MAX_MIGS];
static bool present[MAX_GPUS]; /* what the first nvmlInit found */

static pthread_mutex_t lifecycle = PTHREAD_MUTEX_INITIALIZER;
static world_t nowhere; /* before a script was read: no driver */
static _Atomic(world_t *) current_world = &nowhere;
static world_t *retired;          /* replaced; a call may still be in one of them */
static atomic_int calls_open;   /* begun, and not over */
static atomic_int calls_inside; /* of those: not asleep, and so perhaps in a world */
static _Atomic(log_entry_t *) call_log;
static atomic_llong next_reload_ns, wall_offset_us;
static atomic_int initialised;

static char script_path[4096], log_path[4096];
static struct timespec script_mtime;
static ino_t script_inode;
static off_t script_size;
static int64_t first_init_ns;

/* For tests in one thread: where these aren't 0, they are the time. Sleeping moves them. */
__attribute__((visibility("default"))) atomic_llong standin_boottime_ns, standin_wall_ns;

static int64_t clock_ns(clockid_t clock)
{
    if (atomic_load_explicit(&standin_boottime_ns, memory_order_relaxed) != 0)
        return atomic_load(clock == CLOCK_REALTIME ? &standin_wall_ns : &standin_boottime_ns);
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t boottime_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void nap_until(int64_t until_ns)
{
    long long left_ns = until_ns - boottime_ns();
    if (atomic_load(&standin_boottime_ns) != 0 && left_ns > 0) {
        atomic_fetch_add(&standin_boottime_ns, left_ns);
        atomic_fetch_add(&standin_wall_ns, left_ns);
        return;
    }
    struct timespec until = {until_ns / 1000000000LL, until_ns % 1000000000LL};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) != 0)
        if (boottime_ns() >= until_ns) return;
}

/* ---- the world and its renewal ---- */

/* The samples' time stamps must not jitter between calls, so the distance between the clocks is
   taken once and again only after somebody set the wall clock. */
static void follow_wall_clock(void)
{
    long long offset = (clock_ns(CLOCK_REALTIME) - boottime_ns()) / 1000;
    long long known = atomic_load(&wall_offset_us);
    if (known == 0 || llabs(offset - known) > 1000000) atomic_store(&wall_offset_us, offset);
}

static void read_script(void)
{
    struct stat status;
    if (script_path[0] == '\0' || stat(script_path, &status) != 0) return;
    if (status.st_mtim.tv_sec == script_mtime.tv_sec &&
        status.st_mtim.tv_nsec == script_mtime.tv_nsec && status.st_ino == script_inode &&
        status.st_size == script_size)
        return;
    script_mtime = status.st_mtim;
    script_inode = status.st_ino;
    script_size = status.st_size;
    world_t *world = script_read(script_path);
    if (world == NULL) return; /* the old one stays: a wrong script was complained about */
    static unsigned long long worlds; /* 0 is nowhere's */
    world->number = ++worlds;
    if (!world->has_time0) world->time0_ns = first_init_ns;
    world_t *old = atomic_exchange(&current_world, world);
    if (old == &nowhere) return;
    old->next = retired;
    retired = old;
}

/* Frees what was replaced, when the only call inside is one that has not looked at the world yet:
   whoever comes in now finds the current one. */
static void bury_worlds(void)
{
    if (pthread_mutex_trylock(&lifecycle) != 0) return;
    while (retired != NULL && atomic_load(&calls_inside) == 1) {
        world_t *world = retired;
        retired = world->next;
        script_free(world);
    }
    pthread_mutex_unlock(&lifecycle);
}

static void open_call_log(const char *path)
{
    snprintf(log_path, sizeof log_path, "%s", path);
    atomic_store(&call_log, NULL);
    size_t size = CALL_COUNT * sizeof(log_entry_t);
    int file = path[0] == '\0' ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return;
    if (ftruncate(file, (off_t)size) == 0) {
        log_entry_t *log = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (log != MAP_FAILED) {
            for (int id = 0; id < CALL_COUNT; id++) strcpy(log[id].name, call_names[id]);
            atomic_store(&call_log, log);
        }
    }
    close(file);
}

/* Looks at the environment again, for processes that use one script after another. */
static void lifecycle_configure(void)
{
    const char *script = getenv("SUBMETER_STANDIN_SCRIPT"), *log = getenv("SUBMETER_STANDIN_CALLS");
    if (script == NULL) script = "";
    if (log == NULL) log = "";
    if (strcmp(script, script_path) != 0) {
        snprintf(script_path, sizeof script_path, "%s", script);
        script_inode = 0;
        first_init_ns = boottime_ns();
        atomic_store(&current_world, &nowhere);
    }
    if (strcmp(log, log_path) != 0) open_call_log(log);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        for (int mig = 0; mig <= MAX_MIGS; mig++)
            handles[gpu][mig] = (struct nvmlDevice_st){gpu, mig - 1};
    follow_wall_clock();
    read_script();
}

static void configure_once(void)
{
    pthread_mutex_lock(&lifecycle);
    lifecycle_configure();
    pthread_mutex_unlock(&lifecycle);
}

static world_t *world_at(int64_t now_ns)
{
    long long due = atomic_load_explicit(&next_reload_ns, memory_order_relaxed);
    if (now_ns >= due &&
        atomic_compare_exchange_strong(&next_reload_ns, &due, now_ns + RELOAD_NS) &&
        pthread_mutex_trylock(&lifecycle) == 0) {
        follow_wall_clock();
        read_script();
        pthread_mutex_unlock(&lifecycle);
    }
    return atomic_load_explicit(&current_world, memory_order_acquire);
}

/* ---- faults and latencies ---- */

void call_advance(call_t *call)
{
    call->now_ns = boottime_ns();
    call->world = world_at(call->now_ns);
    call->t = (double)(call->now_ns - call->world->time0_ns) / 1e9;
    call->board = call->gpu >= 0 ? &call->world->boards[call->gpu] : NULL;
}

static bool in_force(const fault_t *fault, const call_t *call, long long field)
{
    return (fault->gpu == ALL_GPUS || fault->gpu == call->gpu) && fault->field == field &&
           call->t >= fault->from && call->t < fault->to;
}

static bool counts(fault_t *fault)
{
    if (fault->nth == 0 && fault->every == 0 && fault->first == 0) return true;
    long long number = (long long)atomic_fetch_add(&fault->matched, 1) + 1;
    if (fault->nth > 0) return number == fault->nth;
    return fault->every > 0 ? number % fault->every == 0 : number <= fault->first;
}

static fault_t *find_fault(call_t *call, long long field)
{
    const rules_t *rules = &call->world->rules[call->id];
    for (int i = 0; i < rules->fault_count; i++) {
        fault_t *fault = &call->world->faults[rules->fault[i]];
        if (in_force(fault, call, field) && counts(fault)) return fault;
    }
    return NULL;
}

/* Sleeps in the call, but not in the world, which may be replaced and buried meanwhile. A hang is
   over early when a new script has no hang for this call any more, so that a test can let its
   threads go. */
static void hang(call_t *call, double seconds)
{
    unsigned long long world = call->world->number;
    int64_t until_ns = isinf(seconds) ? INT64_MAX : call->now_ns + (int64_t)(seconds * 1e9);
    while (call->now_ns < until_ns) {
        atomic_fetch_sub(&calls_inside, 1);
        nap_until(call->now_ns + HANG_POLL_NS < until_ns ? call->now_ns + HANG_POLL_NS : until_ns);
        atomic_fetch_add(&calls_inside, 1);
        call_advance(call);
        if (call->world->number == world) continue;
        const fault_t *still = find_fault(call, -1);
        if (still == NULL || still->hang <= 0) return;
        world = call->world->number;
    }
}

static void be_slow(call_t *call)
{
    const rules_t *rules = &call->world->rules[call->id];
    for (int i = 0; i < rules->latency_count; i++) {
        const latency_t *latency = &call->world->latencies[rules->latency[i]];
        if (latency->gpu != ALL_GPUS && latency->gpu != call->gpu) continue;
        int64_t until_ns = boottime_ns() + (int64_t)(latency->value * 1e3);
        if (strcmp(latency->mode, "sleep") == 0)
            nap_until(until_ns);
        else
            while (boottime_ns() < until_ns) continue;
        return; /* the first line that fits decides */
    }
}

static nvmlReturn_t suffer(call_t *call)
{
    if (call->world->rules[call->id].latency_count > 0) be_slow(call);
    if (call->world->rules[call->id].fault_count == 0) return NVML_SUCCESS;
    fault_t *fault = find_fault(call, -1);
    if (fault == NULL) return NVML_SUCCESS;
    if (fault->segv) raise(SIGSEGV);
    call->garbled = fault->has_garbage;
    call->garbage = fault->garbage;
    nvmlReturn_t result = fault->has_error ? (nvmlReturn_t)fault->error : NVML_SUCCESS;
    if (fault->hang > 0) hang(call, fault->hang); /* with its world the fault may be gone */
    return result;
}

fault_t *call_fault_for_field(call_t *call, unsigned field)
{
    if (call->world->rules[call->id].fault_count == 0) return NULL;
    return find_fault(call, (long long)field);
}

/* ---- one call ---- */

static void open_call(call_t *call, enum call_id id)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure_once);
    memset(call, 0, sizeof *call);
    call->id = id;
    call->gpu = -2; /* neither a GPU's number nor all */
    atomic_fetch_add(&calls_open, 1);
    if (atomic_fetch_add(&calls_inside, 1) == 0 && retired != NULL) bury_worlds();
    call_advance(call);
    call->start_ns = call->now_ns;
    log_entry_t *log = atomic_load_explicit(&call_log, memory_order_acquire);
    if (log != NULL) atomic_fetch_add_explicit(&log[id].count, 1, memory_order_relaxed);
}

nvmlReturn_t call_begin_bare(call_t *call, enum call_id id)
{
    open_call(call, id);
    if (call->world == &nowhere)
        return script_path[0] == '\0' ? NVML_ERROR_DRIVER_NOT_LOADED : NVML_ERROR_UNKNOWN;
    nvmlReturn_t result = suffer(call);
    if (result != NVML_SUCCESS) return result;
    if (call->world->library[0] != '\0' && strcmp(call->world->library, STANDIN_VERSION) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    return NVML_SUCCESS;
}

static bool set_device(call_t *call, nvmlDevice_t device)
{
    uintptr_t first = (uintptr_t)handles, place = (uintptr_t)device - first;
    if (place >= sizeof handles || place % sizeof(struct nvmlDevice_st) != 0) return false;
    call->gpu = device->gpu;
    call->board = &call->world->boards[device->gpu];
    if (device->mig >= 0) call->mig = &call->board->migs[device->mig];
    return present[device->gpu];
}

nvmlReturn_t call_begin(call_t *call, enum call_id id, nvmlDevice_t device)
{
    open_call(call, id);
    if (atomic_load(&initialised) == 0) return NVML_ERROR_UNINITIALIZED;
    if (device != NO_DEVICE && !set_device(call, device)) return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t result = suffer(call);
    if (result != NVML_SUCCESS) return result;
    if (call->world->library[0] != '\0' && strcmp(call->world->library, STANDIN_VERSION) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    if (device == NO_DEVICE) return NVML_SUCCESS;
    if (!call->board->declared || board_lost(call->board, call->t)) return NVML_ERROR_GPU_IS_LOST;
    if (device->mig >= 0) { /* a hang may have brought another world */
        if (device->mig >= call->board->mig_count) return NVML_ERROR_NOT_FOUND;
        call->mig = &call->board->migs[device->mig];
    }
    return NVML_SUCCESS;
}

nvmlReturn_t call_end(const call_t *call, nvmlReturn_t result)
{
    log_entry_t *log = atomic_load_explicit(&call_log, memory_order_acquire);
    if (log != NULL)
        atomic_fetch_add_explicit(&log[call->id].total_ns,
                                  (unsigned long long)(boottime_ns() - call->start_ns),
                                  memory_order_relaxed);
    atomic_fetch_sub(&calls_inside, 1);
    atomic_fetch_sub(&calls_open, 1);
    return result;
}

unsigned long long call_value(const call_t *call, unsigned long long value)
{
    return call->garbled ? call->garbage : value;
}

unsigned long long call_wall_us(const call_t *call, double t)
{
    return (unsigned long long)(llround(t * 1e6) + call->world->time0_ns / 1000 +
                                atomic_load(&wall_offset_us));
}

nvmlReturn_t call_text(char *out, unsigned length, const char *text)
{
    if (out == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

/* ---- devices ---- */

nvmlDevice_t device_handle(int gpu, int mig)
{
    return &handles[gpu][mig + 1];
}

bool device_present(int gpu)
{
    return present[gpu];
}

/* Among the devices that the first nvmlInit found, in the order of index= then of number. */
int device_index(const world_t *world, int gpu)
{
    int before = 0;
    const board_t *boards = world->boards;
    for (int other = 0; other < MAX_GPUS; other++)
        if (present[other] && (boards[other].index < boards[gpu].index ||
                               (boards[other].index == boards[gpu].index && other < gpu)))
            before++;
    return before;
}

int device_at_index(const world_t *world, unsigned index)
{
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        if (present[gpu] && device_index(world, gpu) == (int)index) return gpu;
    return -1;
}

/* ---- nvmlInit and nvmlShutdown ---- */

static nvmlReturn_t start(enum call_id id)
{
    pthread_mutex_lock(&lifecycle);
    if (atomic_load(&initialised) == 0) lifecycle_configure();
    pthread_mutex_unlock(&lifecycle);
    atomic_store(&next_reload_ns, 0);
    call_t call;
    nvmlReturn_t result = call_begin_bare(&call, id);
    if (result != NVML_SUCCESS) return call_end(&call, result);
    pthread_mutex_lock(&lifecycle);
    if (atomic_fetch_add(&initialised, 1) == 0)
        for (int gpu = 0; gpu < MAX_GPUS; gpu++)
            present[gpu] = call.world->boards[gpu].declared &&
                           !board_lost(&call.world->boards[gpu], call.t);
    pthread_mutex_unlock(&lifecycle);
    return call_end(&call, NVML_SUCCESS);
}

API(nvmlInit, void) { return start(CALL_nvmlInit); }
API(nvmlInit_v2, void) { return start(CALL_nvmlInit_v2); }

API(nvmlInitWithFlags, unsigned int flags)
{
    (void)flags; /* with no GPUs this library starts anyway */
    return start(CALL_nvmlInitWithFlags);
}

API(nvmlShutdown, void)
{
    BEGIN_SYSTEM(nvmlShutdown);
    atomic_fetch_sub(&initialised, 1);
    END(NVML_SUCCESS);
}

/* For tests in one process: every client gone, hanging calls end, the next nvmlInit starts anew. */
__attribute__((visibility("default"))) void standin_reset(void);
void standin_reset(void)
{
    pthread_mutex_lock(&lifecycle);
    atomic_store(&initialised, 0);
    world_t *left = atomic_exchange(&current_world, &nowhere);
    /* thousands of worlds in one thread: no call of another one is in it */
    if (atomic_load(&standin_boottime_ns) != 0 && left != &nowhere) script_free(left);
    script_path[0] = '\0';
    script_inode = 0;
    memset(present, 0, sizeof present);
    pthread_mutex_unlock(&lifecycle);
}

/* Unloaded: what was mapped goes too, since a driver may be loaded anew a hundred times. Whoever
   comes in from here on, while the process ends, finds nothing; if somebody is inside, all stays. */
__attribute__((destructor)) static void leave(void)
{
    world_t *world = atomic_exchange(&current_world, &nowhere);
    log_entry_t *log = atomic_exchange(&call_log, NULL);
    if (atomic_load(&calls_open) > 0) return;
    if (log != NULL) munmap(log, CALL_COUNT * sizeof(log_entry_t));
    if (world != &nowhere) script_free(world);
    while ((world = retired) != NULL) {
        retired = world->next;
        script_free(world);
    }
}

/* ---- versions and errors ---- */

API(nvmlSystemGetDriverVersion, char *version, unsigned int length)
{
    BEGIN_SYSTEM(nvmlSystemGetDriverVersion);
    END(call_text(version, length, call.world->driver));
}

API(nvmlSystemGetNVMLVersion, char *version, unsigned int length)
{
    call_t call;
    open_call(&call, CALL_nvmlSystemGetNVMLVersion);
    END(call_text(version, length, STANDIN_VERSION)); /* the real one too answers before nvmlInit */
}

static nvmlReturn_t cuda_version(enum call_id id, int *version)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, NO_DEVICE);
    if (result == NVML_SUCCESS && version == NULL) result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS) PUT(version, call.world->cuda);
    END(result);
}

API(nvmlSystemGetCudaDriverVersion, int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion, version);
}

API(nvmlSystemGetCudaDriverVersion_v2, int *version)
{
    return cuda_version(CALL_nvmlSystemGetCudaDriverVersion_v2, version);
}

/* Every call of nvml.h that isn't written out elsewhere: read-only ones aren't supported by these
   boards, those that change something need a privilege that nobody has here. */
int standin_stub(int id, void *device, int result);
int standin_stub(int id, void *device, int result)
{
    call_t call;
    nvmlReturn_t early = call_begin(&call, (enum call_id)id, device);
    END(early != NVML_SUCCESS ? early : (nvmlReturn_t)result);
}

__attribute__((visibility("default"))) const char *nvmlErrorString(nvmlReturn_t result)
{
    static const char *const texts[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported",
        "Insufficient Permissions", "Already Initialized", "Not Found", "Insufficient Size",
        "Insufficient External Power", "Driver Not Loaded", "Timeout", "Interrupt Request Issue",
        "NVML Shared Library Not Found", "Function Not Found", "Corrupted infoROM", "GPU is lost",
        "GPU requires restart", "The operating system has blocked the request.",
        "RM has detected an NVML/RM version mismatch.", "In use by another client",
        "Insufficient Memory", "No Data", "Operation not supported with ECC enabled",
        "Insufficient Resources", "Frequency Not Supported", "Argument Version Mismatch",
        "Deprecated", "Not Ready", "No GPUs Found", "Invalid State", "Reset Type Not Supported",
    };
    call_t call;
    open_call(&call, CALL_nvmlErrorString);
    call_end(&call, NVML_SUCCESS);
    return (unsigned)result < sizeof texts / sizeof *texts ? texts[result] : "Unknown Error";
}
