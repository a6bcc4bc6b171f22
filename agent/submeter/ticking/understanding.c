/* What a board said at several ticks in, rows of numbers out, without the interpreter: what takes it
 * longest of all that is done with a reading.
 *
 * Whatever is not ordinary (a return code, another type, a value that can't be believed) ends it
 * before anything is changed, and the caller goes through the same answers one by one
 * (`FieldReader`): what is to be done then is written there alone. `layout.py` has the same
 * structures.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define UJ_PER_MJ 1000
#define NOT_AVAILABLE 0xFFFFFFFF /* what some drivers put into a counter of 32 bits */

enum { ENERGY, INSTANT, AVERAGE, SENSORS };
enum { UNUSUAL = -1 }; /* what `submeter_understand` gives, if not how many rows */

typedef struct { /* nvmlFieldValue_t of nvml.h */
    uint32_t field, scope;
    int64_t at_us, latency_us;
    uint32_t type;
    int32_t code;
    union {
        double floating;
        uint32_t unsigned_32;
        uint64_t unsigned_64;
        int64_t signed_64;
        int32_t signed_32;
        uint16_t unsigned_16;
    } value;
} entry_t;

typedef struct { /* a reading, as `submeter.model.Reading` has it */
    int64_t at_ns, energy_uj, energy_at_us, instant_mw, instant_at_us, average_mw, average_at_us;
} row_t;

typedef struct { /* a board's answers, and what ordinary ones look like */
    const char *values;
    const int64_t *ends_ns;
    const int32_t *codes;
    row_t *rows; /* room for as many as there are slots */
    int64_t slot_bytes;
    int64_t types[SENSORS]; /* nvmlValueType_t */
    int64_t cap_mw;         /* no board draws more */
    int64_t hold_ns;        /* for so long what says nothing new is left out */
    int64_t said[SENSORS];  /* the newest values … */
    int64_t quiet_until_ns; /* … and when they are worth a reading again */
} usual_t;

static bool number(const entry_t *entry, int64_t type, int64_t *found)
{
    if (entry->code != 0 || entry->type != type)
        return false;
    switch (type) {
    case 1:
        *found = entry->value.unsigned_32;
        return true;
    case 2:
    case 3:
        *found = (int64_t)entry->value.unsigned_64;
        return *found >= 0;
    case 4:
        *found = entry->value.signed_64;
        return true;
    case 5:
        *found = entry->value.signed_32;
        return true;
    case 6:
        *found = entry->value.unsigned_16;
        return true;
    default: /* floating point, or of a driver that nobody knows yet */
        return false;
    }
}

static bool believable(const usual_t *usual, const int64_t *values)
{
    if (values[ENERGY] < 0 || values[ENERGY] > INT64_MAX / UJ_PER_MJ ||
        values[ENERGY] == NOT_AVAILABLE)
        return false;
    for (int i = INSTANT; i < SENSORS; i++)
        if (values[i] <= 0 || values[i] > usual->cap_mw)
            return false;
    return true;
}

/* Understands what is in the first `filled` slots: how many rows that makes. UNUSUAL where it has to
 * be looked at one by one; then only `rows` was written to. */
EXPORT int submeter_understand(usual_t *usual, int32_t filled)
{
    int64_t said[SENSORS], values[SENSORS] = {0};
    int64_t quiet_until_ns = usual->quiet_until_ns;
    int count = 0;
    for (int i = 0; i < SENSORS; i++)
        said[i] = usual->said[i];
    for (int32_t slot = 0; slot < filled; slot++) {
        const entry_t *entries = (const entry_t *)(usual->values + slot * usual->slot_bytes);
        int64_t at_ns = usual->ends_ns[slot];
        bool same = true;
        if (usual->codes[slot] != 0)
            return UNUSUAL;
        for (int i = 0; i < SENSORS; i++) {
            if (!number(&entries[i], usual->types[i], &values[i]))
                return UNUSUAL;
            same = same && values[i] == said[i];
        }
        if (same && at_ns < quiet_until_ns)
            continue;
        if (!believable(usual, values))
            return UNUSUAL;
        for (int i = 0; i < SENSORS; i++)
            said[i] = values[i];
        quiet_until_ns = at_ns + usual->hold_ns;
        usual->rows[count++] = (row_t){
            .at_ns = at_ns,
            .energy_uj = values[ENERGY] * UJ_PER_MJ,
            .energy_at_us = entries[ENERGY].at_us,
            .instant_mw = values[INSTANT],
            .instant_at_us = entries[INSTANT].at_us,
            .average_mw = values[AVERAGE],
            .average_at_us = entries[AVERAGE].at_us,
        };
    }
    for (int i = 0; i < SENSORS; i++)
        usual->said[i] = said[i];
    usual->quiet_until_ns = quiet_until_ns;
    return count;
}

/* The sizes that both sides have to agree on. */
EXPORT int64_t submeter_usual(void)
{
    return (int64_t)sizeof(usual_t) * 1000 + (int64_t)sizeof(row_t);
}
