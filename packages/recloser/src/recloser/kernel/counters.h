/* What is known of one breaker's calls: counters, latency histogram, window and rules, and the hot path that uses them.
 * python.py is the reference. Its face for Python is in kernel_type.h.
 */
#ifndef RECLOSER_COUNTERS_H
#define RECLOSER_COUNTERS_H

#include "common.h"
#include "window.h"

#define OUTCOMES 8
enum { OUTCOME_SUCCESS };

static const double BUCKET_BOUNDS[] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
};
#define BOUNDS ((int)(sizeof(BUCKET_BOUNDS) / sizeof(BUCKET_BOUNDS[0])))

enum { NO_RULE = -1, CONSECUTIVE_FAILURES, FAILURE_RATE, SLOW_CALL_RATE };
static const char *const RULE_NAMES[RULES] = {"consecutive_failures", "failure_rate", "slow_call_rate"};

enum { NO_REASON = -1, REASON_OPEN, REASON_HALF_OPEN_FULL, REASON_FORCED_OPEN };
static const char *const REASON_NAMES[REASONS] = {"open", "half_open_full", "forced_open"};

typedef struct {
    PyObject_HEAD
    int64_t hot_generation; /* the generation that may use the hot path; negative for none */
    uint32_t consecutive_failures, failure_threshold, minimum_calls;
    double slow_after, failure_rate, slow_rate;
    double duration_sum;
    double open_until;
    PyObject *last_failure; /* text or None */
    PyObject *deferred;    /* list of what kernel_defer was given, or NULL */
    uint64_t counts[OUTCOMES];
    uint64_t histogram[BOUNDS + 1];
    uint64_t rejections[REASONS];
    Window window;
    int32_t hot_calls;      /* calls on the hot path that have not ended */
    int32_t tickets;        /* calls with a ticket that have not ended */
    int8_t refusing;        /* the reason for which calls are rejected until `open_until`, or NO_REASON */
    uint8_t judges_results;
} Kernel;

/* ---- the hot path ---- */

/* Admit a call; the generation that admitted it, or a negative number when it must not use the hot path. */
static inline int64_t
kernel_enter(Kernel *self)
{
    int64_t generation;
    BEGIN_ATOMIC(self)
    generation = self->hot_generation;
    if (generation >= 0) {
        self->hot_calls++;
    }
    END_ATOMIC()
    return generation;
}

/* Undo kernel_enter: there is no telling when the call began or ended. */
static inline void
kernel_unenter(Kernel *self)
{
    BEGIN_ATOMIC(self)
    if (self->hot_calls > 0) { /* else it began in the process that this one was forked from */
        self->hot_calls--;
    }
    END_ATOMIC()
}

static inline int
bucket_of(double duration)
{
    int index = 0;
    while (index < BOUNDS && BUCKET_BOUNDS[index] < duration) {
        index++;
    }
    return index;
}

static inline int
broken_rule(const Kernel *self)
{
    if (self->consecutive_failures >= self->failure_threshold) {
        return CONSECUTIVE_FAILURES;
    }
    const Window *window = &self->window;
    if (window->calls >= (int64_t)self->minimum_calls) {
        double calls = (double)window->calls;
        if ((double)window->failures / calls >= self->failure_rate) {
            return FAILURE_RATE;
        }
        if ((double)window->slow / calls >= self->slow_rate) {
            return SLOW_CALL_RATE;
        }
    }
    return NO_RULE;
}

/* A call of the hot generation succeeded in time. */
static inline int
succeed(Kernel *self, double duration, double now)
{
    self->hot_calls--;
    self->counts[OUTCOME_SUCCESS]++;
    self->histogram[bucket_of(duration)]++;
    self->duration_sum += duration;
    self->consecutive_failures = 0;
    window_record(&self->window, 0, 0, now);
    return self->window.failures || self->window.slow ? broken_rule(self) : NO_RULE;
}

enum { NOT_HOT = -2, JUDGED = -3 };

/* A call returned after `duration` seconds: the rule its success breaks, or NO_RULE; NOT_HOT when it has to take the long way, JUDGED when
 * it is to be told by its result whether it succeeded. */
static inline int
kernel_leave(Kernel *self, int64_t generation, double duration, double now)
{
    int rule = NOT_HOT;
    BEGIN_ATOMIC(self)
    if (self->judges_results) {
        rule = JUDGED;
    }
    else if (generation == self->hot_generation && duration < self->slow_after) {
        rule = succeed(self, duration, now);
    }
    END_ATOMIC()
    return rule;
}

#endif
