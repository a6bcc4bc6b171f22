/* Boards and deadlines in, their answers with the time of each out: the ticks of one lane, polled
 * while its thread waits, without the interpreter.
 *
 * A wake-up of a Python thread costs as much as eight reads of the driver; a hundred of them a
 * second are most of what a meter costs (benchmarks/README.md). So the thread calls `submeter_wait`
 * and comes back when there is something to meter. What is asked is the one function that the
 * caller gives; nothing is allocated, kept or freed here, and no memory is touched but what the
 * structures name. `layout.py` has the same structures.
 *
 * Two threads look at a lane: the one that waits, and one that may find it stuck in a board's turn
 * and end its round there (`submeter_end_with`). Which of them wins is decided by `turn` alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define NS_PER_S INT64_C(1000000000)
#define LAYOUT 3 /* changes whenever a structure or a meaning does */

enum { NOBODY = 0, ENDED = -1 }; /* values of `turn` that are no board's number, from 1 on */
enum { TIME_IS_UP = -1, CUT_SHORT = -2 }; /* what `submeter_wait` gives, if not a round's place */

typedef int (*ask_t)(void *device, int32_t count, void *values);

typedef struct { /* a board, and room for its answers until somebody takes them */
    ask_t ask;
    void *device;
    char *values;     /* the answer of each slot … */
    int64_t *ends_ns; /* … when it was there, on boot time … */
    int32_t *codes;   /* … and what the call returned */
    int64_t slot_bytes;
    int64_t took_ns; /* all calls together */
    int32_t count;   /* values that are asked for */
    int32_t slots;
    _Atomic int32_t filled;
    int32_t unused;
} board_t;

typedef struct { /* boards that are asked one after the other, on a grid of absolute deadlines */
    board_t **boards;
    int64_t period_ns;
    int64_t next_ns; /* the tick that comes; while one is polled, that one */
    int64_t take_ns; /* the first tick from then on is the last one before the caller takes over */
    int64_t tick_ns; /* when the last one really began */
    int64_t missed;  /* deadlines that were over when the tick before them ended */
    int64_t polls;   /* ticks since the caller last set it */
    int32_t count;
    _Atomic int32_t hasty; /* the next tick is to be the last one */
} round_t;

typedef struct {
    round_t **rounds;
    _Atomic int64_t turn;     /* whose turn it is: the boards of all rounds, counted from 1 */
    _Atomic int64_t since_ns; /* since when; 0: nobody's */
    const int64_t *late_bounds_ns;
    int64_t *late_counts; /* one more than bounds */
    int64_t late_sum_ns;
    int32_t late_bound_count;
    int32_t count;
    _Atomic int32_t stop;
    int32_t unused;
} lane_t;

static int64_t read_ns(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (int64_t)at.tv_sec * NS_PER_S + at.tv_nsec;
}

/* Sleeps until then, a second at most, so that `stop` is seen; or less: callers look again. */
static void nap(int64_t now_ns, int64_t until_ns)
{
    int64_t at_ns = until_ns - now_ns > NS_PER_S ? now_ns + NS_PER_S : until_ns;
    struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
    int error = clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &at, NULL);
    if (error == 0 || error == EINTR)
        return;
    /* A kernel, or something that plays one, without timers on this clock. */
    at_ns -= now_ns;
    at = (struct timespec){.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &at, NULL);
}

static int earliest(const lane_t *lane)
{
    int first = TIME_IS_UP;
    for (int i = 0; i < lane->count; i++)
        if (first < 0 || lane->rounds[i]->next_ns < lane->rounds[first]->next_ns)
            first = i;
    return first;
}

static void observe(lane_t *lane, int64_t late_ns)
{
    int bucket = 0;
    while (bucket < lane->late_bound_count && late_ns > lane->late_bounds_ns[bucket])
        bucket++;
    lane->late_counts[bucket]++;
    lane->late_sum_ns += late_ns;
}

static int64_t ask(board_t *board, int64_t now_ns)
{
    int32_t slot = atomic_load(&board->filled);
    if (slot >= board->slots)
        return now_ns; /* nobody takes what is there; its energy is in the next answer */
    int code = board->ask(board->device, board->count, board->values + slot * board->slot_bytes);
    int64_t end_ns = read_ns(CLOCK_BOOTTIME);
    board->took_ns += end_ns - now_ns;
    board->ends_ns[slot] = end_ns; /* a call may hang: what it says is of its end */
    board->codes[slot] = code;
    atomic_store(&board->filled, slot + 1);
    return end_ns;
}

/* One tick: when it was over, 0 if it was ended meanwhile. `first`: boards of the rounds before. */
static int64_t poll(lane_t *lane, round_t *round, int first, int64_t now_ns)
{
    int64_t turn = NOBODY;
    round->tick_ns = now_ns;
    for (int i = 0; i < round->count; i++) {
        int64_t mine = first + i + 1;
        atomic_store(&lane->since_ns, now_ns); /* before the turn: nobody takes a new one for old */
        if (!atomic_compare_exchange_strong(&lane->turn, &turn, mine))
            return 0;
        turn = mine;
        now_ns = ask(round->boards[i], now_ns);
    }
    if (!atomic_compare_exchange_strong(&lane->turn, &turn, NOBODY))
        return 0;
    atomic_store(&lane->since_ns, 0);
    return now_ns;
}

/* The first deadline that is not over yet: what was missed is not caught up. */
static void advance(round_t *round, int64_t now_ns)
{
    int64_t next_ns = round->next_ns + round->period_ns;
    if (next_ns <= now_ns) {
        int64_t skipped = (now_ns - next_ns) / round->period_ns + 1;
        round->missed += skipped;
        next_ns += skipped * round->period_ns;
    }
    round->next_ns = next_ns;
}

/* Polls every round at its deadlines, until one of them is to be taken: its place. Its `next_ns` is
 * still the tick it ended with. TIME_IS_UP at `until_ns` or when `stop` is set; CUT_SHORT where
 * somebody ended a turn of it. */
EXPORT int submeter_wait(lane_t *lane, int64_t until_ns)
{
    for (;;) {
        int place = earliest(lane);
        round_t *round = place < 0 ? NULL : lane->rounds[place];
        int64_t due_ns = round != NULL && round->next_ns <= until_ns ? round->next_ns : until_ns;
        int64_t now_ns;
        while ((now_ns = read_ns(CLOCK_BOOTTIME)) < due_ns) {
            if (atomic_load(&lane->stop))
                return TIME_IS_UP;
            nap(now_ns, due_ns);
        }
        if (atomic_load(&lane->stop) || round == NULL || round->next_ns > until_ns)
            return TIME_IS_UP;
        int first = 0;
        for (int i = 0; i < place; i++)
            first += lane->rounds[i]->count;
        int64_t end_ns = poll(lane, round, first, now_ns);
        if (end_ns == 0)
            return CUT_SHORT;
        round->polls++;
        if (now_ns >= round->take_ns || atomic_load(&round->hasty))
            return place;
        observe(lane, now_ns - round->next_ns);
        advance(round, end_ns);
    }
}

/* From another thread: ends the wait with the turn of that board, if it still has it (1), so that
 * none of the others is asked any more when its call returns; 0 if it went on meanwhile. */
EXPORT int submeter_end_with(lane_t *lane, int64_t turn)
{
    return turn > 0 && atomic_compare_exchange_strong(&lane->turn, &turn, (int64_t)ENDED);
}

/* Looks, every `nap_ns`, whether any of those who note since when they are busy (0: they are not)
 * has been so for longer than `stuck_ns`: 1. 0 at `until_ns`, or when `look` is set. */
EXPORT int submeter_guard(_Atomic int64_t *const *since_ns, int32_t count,
                          const _Atomic int32_t *look, int64_t nap_ns, int64_t stuck_ns,
                          int64_t until_ns)
{
    for (;;) {
        int64_t now_ns = read_ns(CLOCK_BOOTTIME);
        for (int i = 0; i < count; i++) {
            int64_t since = atomic_load(since_ns[i]);
            if (since != 0 && now_ns - since > stuck_ns)
                return 1;
        }
        if (now_ns >= until_ns || atomic_load(look))
            return 0;
        nap(now_ns, now_ns + nap_ns);
    }
}

typedef struct { /* `struct sched_attr` of linux/sched/types.h, as far as every kernel knows it */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
} sched_t;

/* For the calling thread: on the processor in turns of `slice_ns`, so that, as soon as it wakes up,
 * it comes before those who have longer ones. No more processor time, only sooner. Linux 6.12 and
 * newer do so, older kernels don't mind. 0, or why it was refused. */
EXPORT int submeter_short_turns(int64_t slice_ns)
{
    sched_t how = {.size = sizeof how};
    if (syscall(SYS_sched_getattr, 0, &how, sizeof how, 0) != 0)
        return errno;
    if (how.policy != SCHED_OTHER && how.policy != SCHED_BATCH)
        return 0; /* somebody has chosen another order for it */
    how.size = sizeof how;
    how.slice_ns = (uint64_t)slice_ns;
    return syscall(SYS_sched_setattr, 0, &how, 0) == 0 ? 0 : errno;
}

/* What both sides have to agree on: layout, then the size of each structure. */
EXPORT int64_t submeter_layout(void)
{
    return LAYOUT * INT64_C(1000000000) + (int64_t)sizeof(board_t) * 1000000 +
           (int64_t)sizeof(round_t) * 1000 + (int64_t)sizeof(lane_t);
}
