/* One call of a protected generator function: a Call with the face of a generator. It is one call however many items it
 * yields; the first of them tells its latency.
 */
#ifndef RECLOSER_STREAM_H
#define RECLOSER_STREAM_H

#include "call.h"

static PyObject *
generator_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    State *state = ((Protected *)op)->state;
    return track(make_call(op, args, nargsf, kwnames, &state->streams, state->stream_type));
}

/* ---- the first item ---- */

/* Note when it came. Returns -1 with an exception. */
static int
mark_first_item(Call *self)
{
    double now;
    if (self->phase == ADMITTED) {
        PyObject *marked = PyObject_CallMethodNoArgs(self->permit, self->protected->state->str_mark_first_item);
        Py_XDECREF(marked);
        return marked == NULL ? -1 : 0;
    }
    if (read_clock(self->protected->now, &now) < 0) {
        return -1;
    }
    self->latency = now > self->started ? now - self->started : 0.0;
    return 0;
}

/* Run the one inside to its first item. */
static PySendResult
start_stream(Call *self, PyObject *value, PyObject **result)
{
    if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started generator");
        return PYGEN_ERROR;
    }
    if (admit(self) < 0) {
        return PYGEN_ERROR;
    }
    PySendResult sent = PyIter_Send(self->inner, value, result);
    if (sent == PYGEN_NEXT && mark_first_item(self) < 0) {
        /* The clock is broken. As in Python, the call ends with that, and the one inside with the call. */
        Py_CLEAR(*result);
        return PYGEN_ERROR;
    }
    return sent;
}

/* ---- driving ---- */

static inline int
stream_begin(Call *self)
{
    int phase = take_turn(self);
    if (phase == RUNNING) {
        PyErr_SetString(PyExc_ValueError, "generator already executing");
    }
    return phase;
}

static PySendResult
stream_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    Call *self = (Call *)op;
    PySendResult sent;
    *result = NULL;
    int phase = stream_begin(self);
    if (phase == RUNNING) {
        return PYGEN_ERROR;
    }
    if (phase == ENDED) { /* so has the one inside, which knows what is to be said */
        return PyIter_Send(self->inner, value, result);
    }
    if (phase == CREATED) {
        sent = start_stream(self, value, result);
    }
    else {
        sent = PyIter_Send(self->inner, value, result);
    }
    if (sent == PYGEN_RETURN) {
        if (call_returned(self, *result) < 0) {
            Py_CLEAR(*result);
            sent = PYGEN_ERROR;
        }
    }
    else if (sent == PYGEN_ERROR && (self->phase == ADMITTED_HOT || self->phase == ADMITTED)) {
        call_raised(self);
    }
    pause_driving(self);
    return sent;
}

static PyObject *
stream_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    PySendResult sent = stream_am_send(op, value, &result);
    return sent == PYGEN_RETURN ? stop_with(result) : result;
}

static PyObject *
stream_iternext(PyObject *op)
{
    PyObject *result;
    PySendResult sent = stream_am_send(op, Py_None, &result);
    if (sent == PYGEN_RETURN && result == Py_None) { /* the protocol's short form */
        Py_DECREF(result);
        return NULL;
    }
    return sent == PYGEN_RETURN ? stop_with(result) : result;
}

/* Throw GeneratorExit in: the one inside is closed, and the exception goes on unless there is a last word. */
static PyObject *
throw_exit(Call *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *closed = close_call(self, 0);
    if (closed == NULL) {
        return NULL;
    }
    if (closed != Py_None) {
        return stop_with(closed);
    }
    Py_DECREF(closed);
    if (PyExceptionInstance_Check(args[0])) {
        PyErr_SetObject(PyExceptionInstance_Class(args[0]), args[0]);
    }
    else {
        PyErr_SetObject(args[0], count > 1 ? args[1] : NULL);
    }
    return NULL;
}

static PyObject *
stream_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    Call *self = (Call *)op;
    PyObject *item = NULL;
    int phase = stream_begin(self);
    if (phase == RUNNING) {
        return NULL;
    }
    int started = phase == ADMITTED_HOT || phase == ADMITTED;
    if (started && count > 0 && PyErr_GivenExceptionMatches(args[0], PyExc_GeneratorExit)) {
        item = throw_exit(self, args, count);
        pause_driving(self);
        return item;
    }
    PyObject *throw = PyObject_GetAttr(self->inner, self->protected->state->str_throw);
    if (throw != NULL) {
        item = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
        Py_DECREF(throw);
        if (item == NULL && phase != ENDED) {
            ended_by_throw(self);
        }
    }
    if (phase != ENDED) {
        pause_driving(self);
    }
    return item;
}

static PyObject *
stream_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Call *self = (Call *)op;
    int phase = stream_begin(self);
    if (phase == RUNNING) {
        return NULL;
    }
    if (phase == ENDED) {
        return close_inner(self);
    }
    PyObject *closed = close_call(self, 0);
    pause_driving(self);
    return closed;
}

/* ---- life, and the face of a generator ---- */

static void
stream_dealloc(Call *self)
{
    drop_call(self, &self->protected->state->streams);
}

static PyObject *
get_generator_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyGen_Type);
}

static PyObject *
stream_repr(Call *self)
{
    return repr_as(self, "generator");
}

static PyMethodDef stream_methods[] = {
    {"send", stream_send, METH_O, "Resume the generator, sending it a value."},
    {"throw", (PyCFunction)(void (*)(void))stream_throw, METH_FASTCALL, "Raise an exception in the generator."},
    {"close", stream_close, METH_NOARGS, "End the generator."},
    {NULL, NULL, 0, NULL},
};

#define OF_GENERATOR(name) {name, (getter)get_of_inner, NULL, NULL, name}

static PyGetSetDef stream_getset[] = {
    {"__class__", get_generator_class, NULL, NULL, NULL},
    OF_GENERATOR("__name__"),
    OF_GENERATOR("__qualname__"),
    OF_GENERATOR("gi_code"),
    OF_GENERATOR("gi_frame"),
    OF_GENERATOR("gi_running"),
    OF_GENERATOR("gi_suspended"),
    OF_GENERATOR("gi_yieldfrom"),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_am_send, stream_am_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, stream_iternext},
    {Py_tp_repr, stream_repr},
    {Py_tp_finalize, call_finalize},
    {Py_tp_traverse, call_traverse},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_members, call_members},
    {Py_tp_getset, stream_getset},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "recloser.kernel._kernel.Stream",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stream_slots,
};

#endif
