/* Lines of random starts and values, written into room that is just enough or one byte too small:
 * to be run under the sanitizers, see test_drive.py. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lines.c"

enum { ROUNDS = 20000, LINES = 9, START = 40 };

static uint64_t dice(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int64_t some_value(void)
{
    switch (dice() % 8) {
    case 0: return INT64_MIN;
    case 1: return INT64_MAX;
    case 2: return 0;
    case 3: return -(int64_t)(dice() % 2000000);
    default: return (int64_t)(dice() >> (dice() % 60 + 1));
    }
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        int count = (int)(dice() % LINES) + 1, from = (int)(dice() % (unsigned)count);
        int64_t *ends = malloc(sizeof *ends * (size_t)count);
        int64_t *values = malloc(sizeof *values * (size_t)count);
        int64_t all = 0;
        for (int line = 0; line < count; line++) {
            ends[line] = all += (int64_t)(dice() % START);
            values[line] = some_value();
        }
        char *starts = malloc((size_t)all + 1);
        memset(starts, 'x', (size_t)all);
        int64_t room = all - (from ? ends[from - 1] : 0) + (count - from) * (LONGEST + 1);
        char *out = malloc((size_t)room);
        int32_t exponent = (int32_t)(dice() % 19);
        int64_t size = submeter_lines(out, room, starts, ends, values, from, count, exponent);
        assert(size > 0 && size <= room && out[size - 1] == '\n');
        assert(submeter_lines(out, size - 1, starts, ends, values, from, count, exponent) == -1);
        assert(submeter_lines(out, room, starts, ends, values, from, count, 19) == -1);
        free(out), free(starts), free(values), free(ends);
    }
    puts("all lines written");
}
