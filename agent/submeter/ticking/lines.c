/* Starts of lines and integers in, whole lines out: what a scrape of thousands of series is made
 * of. `submeter.lines` calls it. Nothing is allocated, kept or freed here. */
#include <stdint.h>
#include <string.h>

#ifndef EXPORT
#define EXPORT __attribute__((visibility("default")))
#endif

enum { LONGEST = 22, MOST_DIGITS = 18 }; /* "-0." and 19 digits, newline apart; of an exponent */

/* `value` / 10^`exponent` exactly, without needless digits; how long that is. */
static int64_t put_decimal(char *out, int64_t value, int32_t exponent, uint64_t scale)
{
    char digits[LONGEST], *at = digits + LONGEST, *begin = out;
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    uint64_t whole = size / scale, rest = size % scale;
    if (value < 0)
        *out++ = '-';
    do
        *--at = (char)('0' + whole % 10);
    while (whole /= 10);
    memcpy(out, at, (size_t)(digits + LONGEST - at));
    out += digits + LONGEST - at;
    if (!rest)
        return out - begin;
    for (; rest % 10 == 0; exponent--)
        rest /= 10;
    *out++ = '.';
    for (int32_t place = exponent; place--; rest /= 10)
        out[place] = (char)('0' + rest % 10);
    return out + exponent - begin;
}

/* Lines `from` to `to` (the last one not): the n-th start ends where `ends[n]` says, and the next
 * one begins there. How long they are; -1 where `room` could be too small or the exponent too
 * large. */
EXPORT int64_t submeter_lines(
    char *out, int64_t room, const char *starts, const int64_t *ends, const int64_t *values,
    int64_t from, int64_t to, int32_t exponent)
{
    int64_t begin = from ? ends[from - 1] : 0, written = 0;
    uint64_t scale = 1;
    if (exponent < 0 || exponent > MOST_DIGITS)
        return -1;
    for (int32_t place = 0; place < exponent; place++)
        scale *= 10;
    for (int64_t line = from; line < to; line++) {
        int64_t length = ends[line] - begin;
        if (length < 0 || room - written < length + LONGEST + 1)
            return -1;
        memcpy(out + written, starts + begin, (size_t)length);
        written += length;
        written += put_decimal(out + written, values[line], exponent, scale);
        out[written++] = '\n';
        begin = ends[line];
    }
    return written;
}
