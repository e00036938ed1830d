/* What the parts of the extension share: compatibility, locking, the clock, and the state of the module. */
#ifndef RECLOSER_COMMON_H
#define RECLOSER_COMMON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <math.h>
#include <stdint.h>
#include <time.h>

/* ---- compatibility with 3.11 ---- */

#if PY_VERSION_HEX < 0x030C0000
static PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static void
PyErr_SetRaisedException(PyObject *exc)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
}
#endif

/* ---- locking ----
 *
 * With the GIL, C code that calls no Python runs undivided. Without it, each reading-and-writing of a kernel or of a
 * call's phase is a critical section on that object. Never return, goto or call Python between the two.
 */

#ifdef Py_GIL_DISABLED
#define BEGIN_ATOMIC(op) Py_BEGIN_CRITICAL_SECTION(op);
#define END_ATOMIC() Py_END_CRITICAL_SECTION();
#else
#define BEGIN_ATOMIC(op) {
#define END_ATOMIC() }
#endif

/* ---- the state of the module, one per interpreter ---- */

#define RULES 3
#define REASONS 3

/* Objects that are made and dropped once a call, kept to be used again. Without the GIL they would have to be kept per
 * thread, as the allocator does already. */
#ifdef Py_GIL_DISABLED
#define KEPT_MAX 0
#else
#define KEPT_MAX 32
#endif

typedef struct {
    PyObject *objects[KEPT_MAX + 1];
    int count;
} Kept;

/* The memory of an object of `type`, to be filled in and tracked; as PyObject_GC_New, and maybe faster. */
static inline PyObject *
kept_take(Kept *kept, PyTypeObject *type)
{
    if (kept->count > 0) {
        return PyObject_Init(kept->objects[--kept->count], type);
    }
    return PyObject_GC_New(PyObject, type);
}

/* Drop an untracked object that holds nothing any more. One that was finalised is not as good as new. */
static inline void
kept_give(Kept *kept, PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    if (kept->count < KEPT_MAX && !PyObject_GC_IsFinalized(op)) {
        kept->objects[kept->count++] = op;
    }
    else {
        PyObject_GC_Del(op);
    }
    Py_DECREF(type);
}

static inline void
kept_free(Kept *kept)
{
    while (kept->count > 0) {
        PyObject_GC_Del(kept->objects[--kept->count]);
    }
}

typedef struct {
    PyTypeObject *kernel_type;
    PyTypeObject *protected_type;
    PyTypeObject *call_type;
    PyTypeObject *stream_type;
    PyTypeObject *async_stream_type;
    PyTypeObject *step_type;
    PyTypeObject *stop_type;
    PyObject *monotonic; /* time.monotonic, which read_clock replaces by the system's own clock */
    PyObject *rules[RULES];
    PyObject *reasons[REASONS];
    PyObject *open;      /* the state in which a kernel rejects by itself */
    PyObject *empty_tuple;
    /* Python functions of calls.py, given to connect() */
    PyObject *open_error;
    PyObject *cold_call;
    PyObject *hot_returned;
    PyObject *hot_settled;
    PyObject *take_permit;
    PyObject *dropped;
    PyObject *plain_code;
    PyObject *coroutine_code;
    /* names */
    PyObject *str_close, *str_leave, *str_name, *str_settle, *str_throw, *str_tripped, *str_qualname,
        *str_mark_first_item, *str_aclose, *str_ag_frame, *str_asend, *str_athrow, *str_send;
    /* up to here references and nothing else */
    Kept calls, streams, async_streams, steps, stops;
} State;

#define STATE_REFERENCES (offsetof(State, calls) / sizeof(PyObject *))

/* ---- the clock ---- */

#if defined(__linux__)
#define HAVE_NATIVE_CLOCK 1
/* What time.monotonic() does on this system, to the last bit. */
static inline int
native_monotonic(double *seconds)
{
    struct timespec reading;
    if (clock_gettime(CLOCK_MONOTONIC, &reading) != 0) {
        return -1;
    }
    if (reading.tv_nsec == 0) {
        *seconds = (double)reading.tv_sec;
    }
    else {
        *seconds = (double)((int64_t)reading.tv_sec * 1000000000 + reading.tv_nsec) / 1e9;
    }
    return 0;
}
#elif PY_VERSION_HEX >= 0x030D0000
#define HAVE_NATIVE_CLOCK 1
static inline int
native_monotonic(double *seconds)
{
    PyTime_t reading;
    if (PyTime_MonotonicRaw(&reading) < 0) {
        return -1;
    }
    *seconds = PyTime_AsSecondsDouble(reading);
    return 0;
}
#else
#define HAVE_NATIVE_CLOCK 0
static inline int
native_monotonic(double *Py_UNUSED(seconds))
{
    return -1;
}
#endif

/* Read the clock: the system's own when `now` is NULL or fails to be of use, else the Python function `now`. */
static inline int
read_clock(PyObject *now, double *seconds)
{
    if (now == NULL) {
        if (native_monotonic(seconds) == 0) {
            return 0;
        }
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyObject *reading = PyObject_CallNoArgs(now);
    if (reading == NULL) {
        return -1;
    }
    *seconds = PyFloat_AsDouble(reading);
    Py_DECREF(reading);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

#endif
