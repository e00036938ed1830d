/* The sliding windows that rates are computed over. windows.py is the reference: same numbers, same order.
 *
 * A count window holds two bits per call, a time window three counters per bucket. Running totals make recording and
 * reading cost the same whatever the size. Plain C: no Python object is touched here.
 */
#ifndef RECLOSER_WINDOW_H
#define RECLOSER_WINDOW_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BIT_FAILURE = 1, BIT_SLOW = 2 };

typedef struct {
    int64_t calls, failures, slow;
} Bucket;

typedef struct {
    double width;       /* seconds per bucket */
    double quiet_until; /* no bucket leaves before this */
    int started;        /* whether there is a current bucket */
    Bucket buckets[];
} Timed;

/* Most breakers have a count window: what only the other kind needs lies with its cells. */
typedef struct {
    union {
        uint8_t *bits;         /* count window: four calls per byte */
        Timed *timed;          /* time window */
        void *cells;
    };
    int64_t calls, failures, slow;
    int64_t position;          /* count window: calls ever recorded; time window: epoch of the current bucket */
    uint32_t size;             /* calls or buckets */
    uint32_t place : 31;       /* cell of the next call, or of the current bucket; size is at most 1,000,000 */
    uint32_t is_timed : 1;
} Window;

static inline int
window_is_timed(const Window *window)
{
    return window->is_timed;
}

static size_t
window_bytes(int timed, uint32_t size)
{
    return timed ? sizeof(Timed) + size * sizeof(Bucket) : ((size_t)size + 3) / 4;
}

static void
window_clear(Window *window)
{
    window->calls = window->failures = window->slow = window->position = 0;
    window->place = 0;
    if (window_is_timed(window)) {
        memset(window->timed->buckets, 0, window->size * sizeof(Bucket));
        window->timed->started = 0;
        window->timed->quiet_until = -INFINITY;
    }
    else {
        memset(window->bits, 0, window_bytes(0, window->size));
    }
}

/* An empty window; `width` is 0 for one that counts. Returns -1 without memory. */
static int
window_init(Window *window, double width, uint32_t size, void *(*allocate)(size_t))
{
    void *cells = allocate(window_bytes(width > 0.0, size));
    if (cells == NULL) {
        return -1;
    }
    window->size = size;
    window->cells = cells;
    window->is_timed = width > 0.0;
    if (window->is_timed) {
        window->timed->width = width;
    }
    window_clear(window);
    return 0;
}

/* ---- count window ---- */

static inline unsigned
ring_get(const Window *window, uint32_t place)
{
    return (window->bits[place >> 2] >> ((place & 3) * 2)) & 3u;
}

static inline void
ring_set(Window *window, uint32_t place, unsigned bits)
{
    uint8_t *cell = &window->bits[place >> 2];
    unsigned shift = (place & 3) * 2;
    *cell = (uint8_t)((*cell & ~(3u << shift)) | (bits << shift));
}

static inline void
ring_put(Window *window, unsigned bits)
{
    if (window->position >= (int64_t)window->size) {
        unsigned old = ring_get(window, window->place);
        window->failures -= old & BIT_FAILURE;
        window->slow -= old >> 1;
    }
    else {
        window->calls++;
    }
    ring_set(window, window->place, bits);
    window->failures += bits & BIT_FAILURE;
    window->slow += bits >> 1;
    window->position++;
    if (++window->place == window->size) {
        window->place = 0;
    }
}

/* ---- time window ---- */

/* Python's `x // y` of floats (y > 0), so that both kernels agree on where a bucket ends. */
static double
floor_division(double x, double y)
{
    double rest = fmod(x, y);
    double quotient = (x - rest) / y;
    if (rest < 0.0) {
        quotient -= 1.0;
    }
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

static int64_t
epoch_of(const Window *window, double now)
{
    const double limit = 2305843009213693952.0; /* 2**61: differences of two epochs still fit */
    double epoch = floor_division(now, window->timed->width);
    if (!(epoch > -limit)) {
        return -((int64_t)1 << 61);
    }
    return epoch < limit ? (int64_t)epoch : (int64_t)1 << 61;
}

static inline uint32_t
place_of(const Window *window, int64_t epoch)
{
    int64_t place = epoch % (int64_t)window->size;
    return (uint32_t)(place < 0 ? place + window->size : place);
}

static void
enter_epoch(Window *window, int64_t epoch)
{
    double end = (double)(epoch + 1) * window->timed->width;
    window->position = epoch;
    window->place = place_of(window, epoch);
    window->timed->started = 1;
    /* Stay clear of the rounding of `end`: near it, ask floor_division, which is exact. */
    window->timed->quiet_until = end - fabs(end) * 1e-12;
}

static void
buckets_advance(Window *window, double now)
{
    int64_t epoch = epoch_of(window, now);
    if (!window->timed->started) {
        enter_epoch(window, epoch);
        return;
    }
    if (epoch <= window->position) {
        return;
    }
    int64_t steps = epoch - window->position;
    if (steps > (int64_t)window->size) {
        steps = window->size;
    }
    for (int64_t step = 0; step < steps; step++) {
        Bucket *bucket = &window->timed->buckets[place_of(window, window->position + 1 + step)];
        window->calls -= bucket->calls;
        window->failures -= bucket->failures;
        window->slow -= bucket->slow;
        memset(bucket, 0, sizeof(*bucket));
    }
    enter_epoch(window, epoch);
}

/* ---- either ---- */

/* Forget what has left the window by `now`. */
static inline void
window_advance(Window *window, double now)
{
    if (window_is_timed(window) && !(now < window->timed->quiet_until)) {
        buckets_advance(window, now);
    }
}

/* Add one call and return its token. */
static inline int64_t
window_record(Window *window, int failure, int slow, double now)
{
    if (!window_is_timed(window)) {
        ring_put(window, (failure ? BIT_FAILURE : 0u) | (slow ? BIT_SLOW : 0u));
        return window->position - 1;
    }
    window_advance(window, now);
    Bucket *bucket = &window->timed->buckets[window->place];
    bucket->calls++;
    bucket->failures += failure;
    bucket->slow += slow;
    window->calls++;
    window->failures += failure;
    window->slow += slow;
    return window->position;
}

/* Turn the call of `token` into a failure, unless it has left the window. */
static void
window_amend_failure(Window *window, int64_t token, double now)
{
    int64_t size = window->size;
    window_advance(window, now);
    if (token < 0 && !window_is_timed(window)) {
        return;
    }
    uint32_t place = place_of(window, token);
    if (window_is_timed(window)) {
        Bucket *bucket = &window->timed->buckets[place];
        int held = window->position - size < token && token <= window->position;
        if (held && bucket->failures < bucket->calls) {
            bucket->failures++;
            window->failures++;
        }
        return;
    }
    int held = window->position - size <= token && token < window->position;
    if (held && !(ring_get(window, place) & BIT_FAILURE)) {
        ring_set(window, place, ring_get(window, place) | BIT_FAILURE);
        window->failures++;
    }
}

static void
copy_ring(Window *to, const Window *from, double now)
{
    int64_t first = from->position > (int64_t)from->size ? from->position - from->size : 0;
    for (int64_t index = first; index < from->position; index++) {
        unsigned bits = ring_get(from, place_of(from, index));
        window_record(to, bits & BIT_FAILURE, bits >> 1, now);
    }
}

/* Between two time windows each bucket keeps its age. */
static void
copy_buckets(Window *to, const Window *from, double now)
{
    if (!from->timed->started) {
        return;
    }
    for (uint32_t step = from->size; step-- > 0;) {
        int64_t epoch = from->position - step;
        const Bucket *bucket = &from->timed->buckets[place_of(from, epoch)];
        double at = (double)epoch * from->timed->width;
        for (int64_t index = 0; index < bucket->calls; index++) {
            int failure = index >= bucket->calls - bucket->failures;
            int slow = index >= bucket->calls - bucket->slow;
            window_record(to, failure, slow, at);
        }
    }
    window_advance(to, now);
}

static int
is_chosen(int64_t index, int64_t wanted, int64_t count)
{
    return (index + 1) * wanted / count > index * wanted / count;
}

/* From a time window to a count window there is no order: as many calls as fit, at the same rates, evenly spread. */
static void
spread(Window *to, const Window *from, double now)
{
    int64_t count = from->calls < to->size ? from->calls : to->size;
    if (count == 0) {
        return;
    }
    int64_t failures = (int64_t)nearbyint((double)(from->failures * count) / (double)from->calls);
    int64_t slow = (int64_t)nearbyint((double)(from->slow * count) / (double)from->calls);
    for (int64_t index = 0; index < count; index++) {
        window_record(to, is_chosen(index, failures, count), is_chosen(index, slow, count), now);
    }
}

/* Enter into the empty `to` as much of what `from` knows as fits; see windows.resize. */
static void
window_copy(Window *to, Window *from, double now)
{
    window_advance(from, now);
    if (!window_is_timed(from)) {
        copy_ring(to, from, now);
    }
    else if (window_is_timed(to)) {
        copy_buckets(to, from, now);
    }
    else {
        spread(to, from, now);
    }
}

#endif
