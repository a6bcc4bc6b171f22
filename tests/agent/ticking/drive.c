/* Lanes that are polled and cut short at random, to be run under the sanitizers: see test_drive.py. */
#include "ticking.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BOARDS = 5, SLOTS = 4, VALUES = 3, WAITS = 300 };

static _Atomic int hanging; /* the board that hangs, from 1 on */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the agent's lane has one as well */

static int answer(void *device, int32_t count, void *values)
{
    int number = *(int *)device;
    for (int i = 0; i < count; i++)
        ((int64_t *)values)[i] = number;
    while (atomic_load(&hanging) == number)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    return number == 3 ? 15 : 0;
}

static void *guard(void *argument)
{
    lane_t *lane = argument;
    unsigned seed = 7;
    while (!atomic_load(&lane->stop)) {
        int64_t turn = atomic_load(&lane->turn);
        atomic_store(&hanging, rand_r(&seed) % (3 * BOARDS));
        pthread_mutex_lock(&lock);
        if (submeter_end_with(lane, turn))
            for (int i = 0; i < lane->count; i++) /* what it may look at from now on */
                if (lane->rounds[i]->next_ns == 0 || lane->rounds[i]->missed < 0)
                    abort();
        pthread_mutex_unlock(&lock);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    atomic_store(&hanging, 0);
    return NULL;
}

int main(void)
{
    static const int64_t bounds[] = {100000, 1000000};
    int numbers[BOARDS];
    board_t boards[BOARDS] = {0}, *first[2] = {&boards[0], &boards[1]},
            *second[3] = {&boards[2], &boards[3], &boards[4]};
    for (int i = 0; i < BOARDS; i++) {
        numbers[i] = i + 1;
        boards[i] = (board_t){.ask = answer, .device = &numbers[i], .count = VALUES, .slots = SLOTS,
                              .slot_bytes = VALUES * sizeof(int64_t)};
        boards[i].values = malloc(SLOTS * VALUES * sizeof(int64_t)); /* exactly that: ASan sees more */
        boards[i].ends_ns = malloc(SLOTS * sizeof(int64_t));
        boards[i].codes = malloc(SLOTS * sizeof(int32_t));
    }
    int64_t now_ns = read_ns(CLOCK_BOOTTIME);
    round_t rounds[2] = {{.boards = first, .count = 2, .period_ns = 300000, .next_ns = now_ns},
                         {.boards = second, .count = 3, .period_ns = 700000, .next_ns = now_ns}};
    round_t *all[2] = {&rounds[0], &rounds[1]};
    int64_t *late = malloc(3 * sizeof(int64_t));
    late[0] = late[1] = late[2] = 0;
    lane_t lane = {.rounds = all, .count = 2, .late_bounds_ns = bounds, .late_bound_count = 2,
                   .late_counts = late};
    pthread_t other;
    if (pthread_create(&other, NULL, guard, &lane))
        return 1;
    int ended[3] = {0};
    for (int i = 0; i < WAITS; i++) {
        rounds[0].take_ns = rounds[1].take_ns = read_ns(CLOCK_BOOTTIME) + 2000000;
        int place = submeter_wait(&lane, i % 7 ? INT64_MAX : rounds[0].next_ns + 1000000);
        ended[place < 0 ? -place : 0]++;
        atomic_store(&lane.turn, NOBODY);
        pthread_mutex_lock(&lock);
        for (int r = 0; r < 2; r++)
            advance(&rounds[r], read_ns(CLOCK_BOOTTIME));
        pthread_mutex_unlock(&lock);
        for (int b = 0; b < BOARDS; b++) {
            int filled = atomic_load(&boards[b].filled);
            for (int slot = 0; slot < filled; slot++)
                if (((int64_t *)boards[b].values)[slot * VALUES] != b + 1 ||
                    boards[b].codes[slot] != (b == 2 ? 15 : 0))
                    return 2;
            atomic_store(&boards[b].filled, 0);
        }
    }
    atomic_store(&lane.stop, 1);
    pthread_join(other, NULL);
    printf("taken %d, time up %d, cut short %d, late %lld\n", ended[0], ended[1], ended[2],
           (long long)(late[0] + late[1] + late[2]));
    for (int i = 0; i < BOARDS; i++) {
        free(boards[i].values);
        free(boards[i].ends_ns);
        free(boards[i].codes);
    }
    free(late);
    return ended[0] && ended[1] && ended[2] ? 0 : 3;
}
