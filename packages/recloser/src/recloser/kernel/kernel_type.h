/* Kernel: the counters of one breaker as a Python object, for what is not on the hot path. native.py adds the rest. */
#ifndef RECLOSER_KERNEL_TYPE_H
#define RECLOSER_KERNEL_TYPE_H

#include "common.h"
#include "counters.h"

/* ---- names ---- */

static PyObject *
rule_name(int rule)
{
    return rule < 0 ? Py_NewRef(Py_None) : PyUnicode_InternFromString(RULE_NAMES[rule]);
}

/* Index of a reason to reject; NO_REASON with an exception when it is none. */
static int
reason_of(PyObject *text)
{
    for (int index = 0; PyUnicode_Check(text) && index < REASONS; index++) {
        if (PyUnicode_CompareWithASCIIString(text, REASON_NAMES[index]) == 0) {
            return index;
        }
    }
    PyErr_Format(PyExc_ValueError, "%R is no reason to reject a call", text);
    return NO_REASON;
}

/* ---- life ---- */

static PyObject *
kernel_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Kernel *self = (Kernel *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->last_failure = Py_NewRef(Py_None);
    self->hot_generation = -1;
    self->open_until = INFINITY;
    self->slow_after = INFINITY;
    self->failure_threshold = UINT32_MAX;
    self->failure_rate = self->slow_rate = 2.0;
    self->refusing = NO_REASON;
    /* A window of one call, so that every method works on an object whose __init__ was not run. */
    if (window_init(&self->window, 0.0, 1, PyMem_Malloc) < 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
kernel_dealloc(Kernel *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(self->window.cells);
    Py_XDECREF(self->deferred);
    Py_XDECREF(self->last_failure);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- settings: plain numbers, translated by native.py ---- */

PyDoc_STRVAR(set_rules_doc,
"set_rules(slow_after, failure_threshold, failure_rate, slow_rate, minimum_calls, judges_results)\n--\n\n"
"Take the thresholds in force.");

static PyObject *
kernel_set_rules(Kernel *self, PyObject *args)
{
    double slow_after, failure_rate, slow_rate;
    unsigned int failure_threshold, minimum_calls;
    int judges_results;
    if (!PyArg_ParseTuple(args, "dIddIp:set_rules", &slow_after, &failure_threshold, &failure_rate, &slow_rate,
                          &minimum_calls, &judges_results)) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    self->slow_after = slow_after;
    self->failure_threshold = failure_threshold;
    self->failure_rate = failure_rate;
    self->slow_rate = slow_rate;
    self->minimum_calls = minimum_calls < 1 ? 1 : minimum_calls;
    self->judges_results = (uint8_t)judges_results;
    END_ATOMIC()
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_window_doc,
"set_window(width, size, now)\n--\n\n"
"Take a window of `size` calls (width 0.0) or `size` buckets of `width` seconds; keep what is known and fits.");

static PyObject *
kernel_set_window(Kernel *self, PyObject *args)
{
    double width, now;
    unsigned int size;
    Window fresh;
    if (!PyArg_ParseTuple(args, "dId:set_window", &width, &size, &now)) {
        return NULL;
    }
    if (size == 0 || !(width >= 0.0) || size > 1000000u) {
        PyErr_Format(PyExc_ValueError, "a window of %u cells", size);
        return NULL;
    }
    if (window_init(&fresh, width, size, PyMem_Malloc) < 0) {
        return PyErr_NoMemory();
    }
    BEGIN_ATOMIC(self)
    window_copy(&fresh, &self->window, now);
    Window old = self->window;
    self->window = fresh;
    fresh = old;
    END_ATOMIC()
    PyMem_Free(fresh.cells);
    Py_RETURN_NONE;
}

/* ---- calls with a ticket ---- */

static PyObject *
kernel_admit(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    BEGIN_ATOMIC(self)
    self->tickets++;
    END_ATOMIC()
    Py_RETURN_NONE;
}

static PyObject *
kernel_release(Kernel *self, PyObject *arg)
{
    int hot = PyObject_IsTrue(arg);
    if (hot < 0) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    if (hot) {
        self->hot_calls--;
    }
    else {
        self->tickets--;
    }
    END_ATOMIC()
    Py_RETURN_NONE;
}

static PyObject *
kernel_forget_calls(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    BEGIN_ATOMIC(self)
    self->hot_calls = self->tickets = 0;
    END_ATOMIC()
    Py_RETURN_NONE;
}

/* From a finaliser, so at any time. */
static PyObject *
kernel_defer(Kernel *self, PyObject *item)
{
    PyObject *fresh = PyList_New(0);
    int appended;
    if (fresh == NULL) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    if (self->deferred == NULL) {
        self->deferred = fresh;
        fresh = NULL;
    }
    appended = PyList_Append(self->deferred, item);
    END_ATOMIC()
    Py_XDECREF(fresh);
    if (appended < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
kernel_take_deferred(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *taken;
    BEGIN_ATOMIC(self)
    taken = self->deferred;
    self->deferred = NULL;
    END_ATOMIC()
    return taken != NULL ? taken : PyList_New(0);
}

static PyObject *
get_has_deferred(Kernel *self, void *Py_UNUSED(closure))
{
    long value;
    BEGIN_ATOMIC(self)
    value = self->deferred != NULL;
    END_ATOMIC()
    return PyBool_FromLong(value);
}

static PyObject *
kernel_succeed(Kernel *self, PyObject *args)
{
    double duration, now;
    int rule;
    if (!PyArg_ParseTuple(args, "dd:succeed", &duration, &now)) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    rule = succeed(self, duration, now);
    END_ATOMIC()
    return rule_name(rule);
}

static void
count_row(Kernel *self, int failure)
{
    if (!failure) {
        self->consecutive_failures = 0;
    }
    else if (self->consecutive_failures < UINT32_MAX - 1) { /* so that UINT32_MAX is a threshold never reached */
        self->consecutive_failures++;
    }
}

PyDoc_STRVAR(add_doc,
"add(outcome, timed, duration)\n--\n\n"
"Count a call that ended in the outcome of this index, and its duration if it is `timed`.");

static PyObject *
kernel_add(Kernel *self, PyObject *args)
{
    int outcome, timed;
    double duration;
    if (!PyArg_ParseTuple(args, "ipd:add", &outcome, &timed, &duration)) {
        return NULL;
    }
    if (outcome < 0 || outcome >= OUTCOMES) {
        PyErr_Format(PyExc_IndexError, "outcome %d", outcome);
        return NULL;
    }
    BEGIN_ATOMIC(self)
    self->counts[outcome]++;
    if (timed) {
        self->histogram[bucket_of(duration)]++;
        self->duration_sum += duration;
    }
    END_ATOMIC()
    Py_RETURN_NONE;
}

static PyObject *
kernel_record(Kernel *self, PyObject *args)
{
    int failure, slow, rule;
    double now;
    if (!PyArg_ParseTuple(args, "ppd:record", &failure, &slow, &now)) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    count_row(self, failure);
    window_record(&self->window, failure, slow, now);
    rule = broken_rule(self);
    END_ATOMIC()
    return rule_name(rule);
}

/* METH_O methods that take `now`. */
#define PARSE_NOW(arg, now) \
    double now = PyFloat_AsDouble(arg); \
    if (now == -1.0 && PyErr_Occurred()) { \
        return NULL; \
    }

static PyObject *
kernel_record_running_slow(Kernel *self, PyObject *arg)
{
    int64_t token;
    PARSE_NOW(arg, now)
    BEGIN_ATOMIC(self)
    token = window_record(&self->window, 0, 1, now);
    END_ATOMIC()
    return PyLong_FromLongLong(token);
}

static PyObject *
kernel_settle_running_slow(Kernel *self, PyObject *args)
{
    long long token;
    int failure, rule;
    double now;
    if (!PyArg_ParseTuple(args, "Lpd:settle_running_slow", &token, &failure, &now)) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    count_row(self, failure);
    if (failure) {
        window_amend_failure(&self->window, token, now);
    }
    rule = broken_rule(self);
    END_ATOMIC()
    return rule_name(rule);
}

static PyObject *
kernel_broken_rule(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    int rule;
    BEGIN_ATOMIC(self)
    rule = broken_rule(self);
    END_ATOMIC()
    return rule_name(rule);
}

static PyObject *
kernel_advance(Kernel *self, PyObject *arg)
{
    PARSE_NOW(arg, now)
    BEGIN_ATOMIC(self)
    window_advance(&self->window, now);
    END_ATOMIC()
    Py_RETURN_NONE;
}

static PyObject *
kernel_clear_window(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    BEGIN_ATOMIC(self)
    /* No success of the old generation may slip in before the new one is there. */
    self->hot_generation = -1;
    window_clear(&self->window);
    self->consecutive_failures = 0;
    END_ATOMIC()
    Py_RETURN_NONE;
}

static PyObject *
kernel_count_rejection(Kernel *self, PyObject *reason)
{
    int index = reason_of(reason);
    if (index < 0) {
        return NULL;
    }
    BEGIN_ATOMIC(self)
    self->rejections[index]++;
    END_ATOMIC()
    Py_RETURN_NONE;
}

/* ---- reading ---- */

static PyObject *
rate(int64_t part, int64_t calls)
{
    return calls ? PyFloat_FromDouble((double)part / (double)calls) : Py_NewRef(Py_None);
}

static PyObject *
kernel_failure_rate(Kernel *self, PyObject *arg)
{
    int64_t part, calls;
    PARSE_NOW(arg, now)
    BEGIN_ATOMIC(self)
    window_advance(&self->window, now);
    part = self->window.failures;
    calls = self->window.calls;
    END_ATOMIC()
    return rate(part, calls);
}

static PyObject *
kernel_slow_call_rate(Kernel *self, PyObject *arg)
{
    int64_t part, calls;
    PARSE_NOW(arg, now)
    BEGIN_ATOMIC(self)
    window_advance(&self->window, now);
    part = self->window.slow;
    calls = self->window.calls;
    END_ATOMIC()
    return rate(part, calls);
}

static PyObject *
numbers(const uint64_t *values, int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int index = 0; tuple != NULL && index < count; index++) {
        PyObject *value = PyLong_FromUnsignedLongLong(values[index]);
        if (value == NULL) {
            Py_CLEAR(tuple);
        }
        else {
            PyTuple_SET_ITEM(tuple, index, value);
        }
    }
    return tuple;
}

PyDoc_STRVAR(values_doc,
"values(now)\n--\n\n"
"At one instant: counts, histogram, duration_sum, rejections, calls in flight, consecutive failures, and calls, "
"failures and slow calls in the window.");

static PyObject *
kernel_values(Kernel *self, PyObject *arg)
{
    Kernel seen;
    PARSE_NOW(arg, now)
    BEGIN_ATOMIC(self)
    window_advance(&self->window, now);
    memcpy(&seen, self, sizeof(seen));
    END_ATOMIC()
    return Py_BuildValue("NNdNLLLLL", numbers(seen.counts, OUTCOMES), numbers(seen.histogram, BOUNDS + 1),
                         seen.duration_sum, numbers(seen.rejections, REASONS),
                         (long long)seen.hot_calls + seen.tickets, (long long)seen.consecutive_failures,
                         (long long)seen.window.calls, (long long)seen.window.failures, (long long)seen.window.slow);
}

static PyObject *
get_in_flight(Kernel *self, void *Py_UNUSED(closure))
{
    long long value;
    BEGIN_ATOMIC(self)
    value = (long long)self->hot_calls + self->tickets;
    END_ATOMIC()
    return PyLong_FromLongLong(value);
}

static PyObject *
get_hot_generation(Kernel *self, void *Py_UNUSED(closure))
{
    int64_t value;
    BEGIN_ATOMIC(self)
    value = self->hot_generation;
    END_ATOMIC()
    return PyLong_FromLongLong(value);
}

static int
set_hot_generation(Kernel *self, PyObject *arg, void *Py_UNUSED(closure))
{
    long long value = arg == NULL ? -1 : PyLong_AsLongLong(arg);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    BEGIN_ATOMIC(self)
    self->hot_generation = value;
    END_ATOMIC()
    return 0;
}

static PyObject *
get_refusing(Kernel *self, void *Py_UNUSED(closure))
{
    int value;
    BEGIN_ATOMIC(self)
    value = self->refusing;
    END_ATOMIC()
    return value < 0 ? Py_NewRef(Py_None) : PyUnicode_InternFromString(REASON_NAMES[value]);
}

static int
set_refusing(Kernel *self, PyObject *arg, void *Py_UNUSED(closure))
{
    int value = NO_REASON;
    if (arg != NULL && arg != Py_None) {
        value = reason_of(arg);
        if (value < 0) {
            return -1;
        }
    }
    BEGIN_ATOMIC(self)
    self->refusing = (int8_t)value;
    END_ATOMIC()
    return 0;
}

static PyObject *
get_last_failure(Kernel *self, void *Py_UNUSED(closure))
{
    PyObject *value;
    BEGIN_ATOMIC(self)
    value = Py_NewRef(self->last_failure);
    END_ATOMIC()
    return value;
}

static int
set_last_failure(Kernel *self, PyObject *arg, void *Py_UNUSED(closure))
{
    /* Plain text and None hold no references, so that a kernel needs no garbage collection. */
    PyObject *text = arg == NULL || arg == Py_None ? Py_NewRef(Py_None) : PyUnicode_FromObject(arg);
    if (text == NULL) {
        return -1;
    }
    BEGIN_ATOMIC(self)
    PyObject *old = self->last_failure;
    self->last_failure = text;
    text = old;
    END_ATOMIC()
    Py_DECREF(text);
    return 0;
}

#define READ_ATOMICALLY(name, type, member, convert) \
    static PyObject *get_##name(Kernel *self, void *Py_UNUSED(closure)) \
    { \
        type value; \
        BEGIN_ATOMIC(self) \
        value = (type)self->member; \
        END_ATOMIC() \
        return convert(value); \
    }

READ_ATOMICALLY(window_calls, long long, window.calls, PyLong_FromLongLong)
READ_ATOMICALLY(consecutive_failures, long long, consecutive_failures, PyLong_FromLongLong)
READ_ATOMICALLY(duration_sum, double, duration_sum, PyFloat_FromDouble)
READ_ATOMICALLY(slow_after, double, slow_after, PyFloat_FromDouble)
READ_ATOMICALLY(open_until, double, open_until, PyFloat_FromDouble)
READ_ATOMICALLY(judges_results, long, judges_results, PyBool_FromLong)

static int
set_open_until(Kernel *self, PyObject *arg, void *Py_UNUSED(closure))
{
    double value = arg == NULL ? INFINITY : PyFloat_AsDouble(arg);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    BEGIN_ATOMIC(self)
    self->open_until = value;
    END_ATOMIC()
    return 0;
}

static PyObject *
kernel_sizeof(Kernel *self, PyObject *Py_UNUSED(ignored))
{
    size_t size = (size_t)Py_TYPE(self)->tp_basicsize;
    BEGIN_ATOMIC(self)
    size += window_bytes(window_is_timed(&self->window), self->window.size);
    END_ATOMIC()
    return PyLong_FromSize_t(size);
}

static PyMethodDef kernel_methods[] = {
    {"set_rules", (PyCFunction)kernel_set_rules, METH_VARARGS, set_rules_doc},
    {"set_window", (PyCFunction)kernel_set_window, METH_VARARGS, set_window_doc},
    {"admit", (PyCFunction)kernel_admit, METH_NOARGS, "A call has been given a ticket."},
    {"release", (PyCFunction)kernel_release, METH_O, "A call has ended: of the hot path, or with a ticket."},
    {"forget_calls", (PyCFunction)kernel_forget_calls, METH_NOARGS, "The calls in flight are another process's."},
    {"defer", (PyCFunction)kernel_defer, METH_O, "Keep something until take_deferred()."},
    {"take_deferred", (PyCFunction)kernel_take_deferred, METH_NOARGS, "What was deferred; it is given out once."},
    {"succeed", (PyCFunction)kernel_succeed, METH_VARARGS, "A call of the hot generation succeeded in time."},
    {"add", (PyCFunction)kernel_add, METH_VARARGS, add_doc},
    {"record", (PyCFunction)kernel_record, METH_VARARGS, "Enter a call into the window; the broken rule, or None."},
    {"record_running_slow", (PyCFunction)kernel_record_running_slow, METH_O, "Enter a running call; its token."},
    {"settle_running_slow", (PyCFunction)kernel_settle_running_slow, METH_VARARGS, "The call of a token has ended."},
    {"broken_rule", (PyCFunction)kernel_broken_rule, METH_NOARGS, "The first rule that is broken, or None."},
    {"advance", (PyCFunction)kernel_advance, METH_O, "Forget what has left the window."},
    {"clear_window", (PyCFunction)kernel_clear_window, METH_NOARGS, "Start a new era."},
    {"count_rejection", (PyCFunction)kernel_count_rejection, METH_O, "A call was rejected for this reason."},
    {"failure_rate", (PyCFunction)kernel_failure_rate, METH_O, "Failed calls over calls in the window, or None."},
    {"slow_call_rate", (PyCFunction)kernel_slow_call_rate, METH_O, "Slow calls over calls in the window, or None."},
    {"values", (PyCFunction)kernel_values, METH_O, values_doc},
    {"__sizeof__", (PyCFunction)kernel_sizeof, METH_NOARGS, "Bytes in memory, the window included."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef kernel_getset[] = {
    {"hot_generation", (getter)get_hot_generation, (setter)set_hot_generation, NULL, NULL},
    {"refusing", (getter)get_refusing, (setter)set_refusing, NULL, NULL},
    {"open_until", (getter)get_open_until, (setter)set_open_until, NULL, NULL},
    {"last_failure", (getter)get_last_failure, (setter)set_last_failure, NULL, NULL},
    {"has_deferred", (getter)get_has_deferred, NULL, NULL, NULL},
    {"in_flight", (getter)get_in_flight, NULL, NULL, NULL},
    {"window_calls", (getter)get_window_calls, NULL, NULL, NULL},
    {"consecutive_failures", (getter)get_consecutive_failures, NULL, NULL, NULL},
    {"duration_sum", (getter)get_duration_sum, NULL, NULL, NULL},
    {"slow_after", (getter)get_slow_after, NULL, NULL, NULL},
    {"judges_results", (getter)get_judges_results, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot kernel_slots[] = {
    {Py_tp_doc, "Counters and window of one breaker, and the rules that open it."},
    {Py_tp_new, kernel_new},
    {Py_tp_dealloc, kernel_dealloc},
    {Py_tp_methods, kernel_methods},
    {Py_tp_getset, kernel_getset},
    {0, NULL},
};

static PyType_Spec kernel_spec = {
    .name = "recloser.kernel._kernel.Kernel",
    .basicsize = sizeof(Kernel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kernel_slots,
};

#endif
