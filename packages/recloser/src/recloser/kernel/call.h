/* Call: one call of a protected coroutine function or generator function. It stands in for the coroutine or generator,
 * which is inside.
 *
 * It admits at the first send, drives the one inside, and settles when that ends: by returning, raising, being closed
 * or being forgotten. Each call settles once. What a plain coroutine says when it is misused, it says too. Here is what
 * both kinds share, and the coroutine; the generator's own part is in stream.h.
 */
#ifndef RECLOSER_CALL_H
#define RECLOSER_CALL_H

#include "common.h"
#include "protected.h"
#include "stop.h"

enum { CREATED, ADMITTED_HOT, ADMITTED, ENDED };

typedef struct {
    PyObject_HEAD
    Protected *protected;
    PyObject *inner;
    PyObject *permit;    /* of a call that was not admitted on the hot path */
    PyObject *weakrefs;
    int64_t generation;
    double started;
    double latency;      /* seconds to the first item of a generator, or TO_THE_END */
    uint8_t phase;
    uint8_t running;
} Call;

/* Call the function inside, which runs nothing of it yet, and wrap what it gives into an object of `type`, which is still
 * to be tracked. */
static PyObject *
make_call(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames, Kept *kept, PyTypeObject *type)
{
    Protected *protected = (Protected *)op;
    PyObject *inner = PyObject_Vectorcall(protected->fn, args, nargsf, kwnames);
    if (inner == NULL) {
        return NULL;
    }
    Call *self = (Call *)kept_take(kept, type);
    if (self == NULL) {
        Py_DECREF(inner);
        return NULL;
    }
    self->protected = (Protected *)Py_NewRef(op);
    self->inner = inner;
    self->permit = NULL;
    self->weakrefs = NULL;
    self->latency = TO_THE_END;
    self->phase = CREATED;
    self->running = 0;
    return (PyObject *)self;
}

static inline PyObject *
track(PyObject *op)
{
    if (op != NULL) {
        PyObject_GC_Track(op);
    }
    return op;
}

static PyObject *
coroutine_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    State *state = ((Protected *)op)->state;
    return track(make_call(op, args, nargsf, kwnames, &state->calls, state->call_type));
}

/* ---- admitting and settling ---- */

static inline uint8_t
enter_phase(Call *self, uint8_t phase)
{
    uint8_t last;
    BEGIN_ATOMIC(self)
    last = self->phase;
    self->phase = phase;
    END_ATOMIC()
    return last;
}

/* What the close() of the one inside returns: from 3.13 on a generator may have a last word. */
static PyObject *
close_inner(Call *self)
{
    State *state = self->protected->state;
    if (self->protected->kind != ASYNC_GENERATOR) {
        return PyObject_CallMethodNoArgs(self->inner, state->str_close);
    }
    /* One that has not run yet: closing it awaits nothing. */
    PyObject *closing = PyObject_CallMethodNoArgs(self->inner, state->str_aclose);
    PyObject *result = NULL;
    if (closing != NULL && PyIter_Send(closing, Py_None, &result) != PYGEN_RETURN) {
        Py_CLEAR(result);
    }
    Py_XDECREF(closing);
    return result;
}

/* The call was rejected, with the exception set: the one inside will never run. */
static void
give_up(Call *self)
{
    PyObject *exc = PyErr_GetRaisedException();
    enter_phase(self, ENDED);
    PyObject *closed = close_inner(self);
    if (closed == NULL) {
        PyErr_WriteUnraisable(self->inner);
    }
    Py_XDECREF(closed);
    PyErr_SetRaisedException(exc);
}

static int
admit_cold(Call *self)
{
    Protected *protected = self->protected;
    if (refuse(protected) == 0) {
        self->permit = PyObject_CallOneArg(protected->state->take_permit, protected->controller);
        if (self->permit != NULL) {
            enter_phase(self, ADMITTED);
            return 0;
        }
    }
    give_up(self);
    return -1;
}

static inline int
admit(Call *self)
{
    Protected *protected = self->protected;
    self->generation = kernel_enter(protected->kernel);
    if (self->generation < 0) {
        return admit_cold(self);
    }
    if (read_clock(protected->now, &self->started) < 0) {
        kernel_unenter(protected->kernel);
        give_up(self);
        return -1;
    }
    enter_phase(self, ADMITTED_HOT);
    return 0;
}

/* Tell the breaker that the call raised `exc`, or returned `result`; the other one is None. */
static int
settle(Call *self, uint8_t phase, PyObject *exc, PyObject *result)
{
    Protected *protected = self->protected;
    State *state = protected->state;
    PyObject *done;
    if (phase == ADMITTED_HOT) {
        done = call_hook(protected, state->hot_settled, self->generation, self->started, self->latency, exc, result);
    }
    else {
        done = PyObject_CallMethodObjArgs(self->permit, state->str_settle, exc, result, NULL);
    }
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static inline int
call_returned(Call *self, PyObject *result)
{
    uint8_t phase = enter_phase(self, ENDED);
    if (phase == ADMITTED_HOT) {
        int left = leave(self->protected, self->generation, self->started, self->latency);
        if (left != JUDGED) {
            return left;
        }
    }
    return settle(self, phase, Py_None, result);
}

/* The coroutine raised what is set now; that is set again afterwards. */
static void
call_raised(Call *self)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (settle(self, enter_phase(self, ENDED), exc, Py_None) < 0) {
        chain_context(exc);
    }
    else {
        PyErr_SetRaisedException(exc);
    }
}

/* ---- driving ---- */

/* Only one may drive a call, and only until it ends: its phase when the caller may now, ENDED when nobody may any more,
 * else RUNNING. */
enum { RUNNING = -1 };

static inline int
take_turn(Call *self)
{
    int phase;
    BEGIN_ATOMIC(self)
    phase = self->running ? RUNNING : self->phase;
    if (phase != RUNNING && phase != ENDED) {
        self->running = 1;
    }
    END_ATOMIC()
    return phase;
}

/* The same for a coroutine, which raises when the caller may not: 0 or -1. */
static inline int
begin(Call *self)
{
    int phase = take_turn(self);
    if (phase == RUNNING) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return -1;
    }
    if (phase == ENDED) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return -1;
    }
    return 0;
}

static inline void
pause_driving(Call *self)
{
    BEGIN_ATOMIC(self)
    self->running = 0;
    END_ATOMIC()
}

static PySendResult
call_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    Call *self = (Call *)op;
    *result = NULL;
    if (begin(self) < 0) {
        return PYGEN_ERROR;
    }
    PySendResult sent = PYGEN_ERROR;
    if (self->phase == CREATED) {
        if (value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
            goto done;
        }
        if (admit(self) < 0) {
            goto done;
        }
    }
    sent = PyIter_Send(self->inner, value, result);
    if (sent == PYGEN_RETURN) {
        if (call_returned(self, *result) < 0) {
            Py_CLEAR(*result);
            sent = PYGEN_ERROR;
        }
    }
    else if (sent == PYGEN_ERROR) {
        call_raised(self);
    }
done:
    pause_driving(self);
    return sent;
}

static PyObject *
call_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    switch (call_am_send(op, value, &result)) {
    case PYGEN_RETURN:
        return stop_with(result);
    case PYGEN_NEXT:
        return result;
    default:
        return NULL;
    }
}

static PyObject *
call_iternext(PyObject *op)
{
    PyObject *result;
    PySendResult sent = call_am_send(op, Py_None, &result);
    if (sent != PYGEN_RETURN) {
        return result;
    }
    if (result == Py_None) { /* the protocol's short form */
        Py_DECREF(result);
        return NULL;
    }
    return stop_await_with(((Call *)op)->protected->state, result);
}

/* What was thrown in ended the one inside, with the exception that is set: StopIteration when it returned. */
static void
ended_by_throw(Call *self)
{
    if (self->phase == CREATED) { /* it never ran: there is no call to settle */
        enter_phase(self, ENDED);
    }
    else if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
        PyObject *stop = PyErr_GetRaisedException();
        if (call_returned(self, ((PyStopIterationObject *)stop)->value) < 0) {
            Py_DECREF(stop);
        }
        else {
            PyErr_SetRaisedException(stop);
        }
    }
    else {
        call_raised(self);
    }
}

static PyObject *
call_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    Call *self = (Call *)op;
    if (begin(self) < 0) {
        return NULL;
    }
    PyObject *item = NULL;
    PyObject *throw = PyObject_GetAttr(self->inner, self->protected->state->str_throw);
    if (throw == NULL) {
        goto done;
    }
    item = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
    Py_DECREF(throw);
    if (item != NULL) {
        goto done;
    }
    ended_by_throw(self);
done:
    pause_driving(self);
    return item;
}

static PyObject *
close_call(Call *self, int forgotten);

static PyObject *
call_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Call *self = (Call *)op;
    int over;
    BEGIN_ATOMIC(self)
    over = self->phase == ENDED && !self->running;
    END_ATOMIC()
    if (over) {
        Py_RETURN_NONE;
    }
    if (begin(self) < 0) {
        return NULL;
    }
    PyObject *closed = close_call(self, 0);
    pause_driving(self);
    return closed;
}

static PyObject *
call_await(PyObject *op)
{
    Call *self = (Call *)op;
    int phase;
    BEGIN_ATOMIC(self)
    phase = self->phase;
    END_ATOMIC()
    if (phase == ADMITTED_HOT || phase == ADMITTED) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(op);
}

/* ---- ending early ---- */

/* A call that nobody will resume. The garbage collector may be at work inside the breaker's own locked section, so
 * this must not wait for a lock, as settle() would. */
static int
settle_forgotten(Call *self, uint8_t phase, PyObject *exc)
{
    State *state = self->protected->state;
    int64_t generation = phase == ADMITTED_HOT ? self->generation : -1;
    double started = phase == ADMITTED_HOT ? self->started : 0.0;
    PyObject *permit = phase == ADMITTED_HOT ? Py_None : self->permit;
    PyObject *done = call_hook(self->protected, state->dropped, generation, started, self->latency, permit, exc);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Close the one inside and settle: GeneratorExit unless it raises something else, which is then set. What its close()
 * returned, or NULL. */
static PyObject *
close_call(Call *self, int forgotten)
{
    uint8_t phase = enter_phase(self, ENDED);
    PyObject *closed = close_inner(self);
    if (phase == CREATED) {
        return closed;
    }
    PyObject *raised = closed == NULL ? PyErr_GetRaisedException() : NULL;
    PyObject *exc = raised != NULL ? Py_NewRef(raised) : PyObject_CallNoArgs(PyExc_GeneratorExit);
    int settled = -1;
    if (exc != NULL) {
        settled = forgotten ? settle_forgotten(self, phase, exc) : settle(self, phase, exc, Py_None);
        Py_DECREF(exc);
    }
    if (raised == NULL) {
        if (settled < 0) {
            Py_CLEAR(closed);
        }
        return closed;
    }
    if (settled < 0) {
        chain_context(raised);
    }
    else {
        PyErr_SetRaisedException(raised);
    }
    return NULL;
}

static void
call_finalize(PyObject *op)
{
    Call *self = (Call *)op;
    if (self->phase != ADMITTED_HOT && self->phase != ADMITTED) {
        return; /* a coroutine that was never awaited says so itself */
    }
    PyObject *pending = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    PyObject *closed = close_call(self, 1);
    if (closed == NULL) {
        PyErr_WriteUnraisable(op);
    }
    Py_XDECREF(closed);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static int
call_traverse(Call *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->protected);
    Py_VISIT(self->inner);
    Py_VISIT(self->permit);
    return 0;
}

/* Let go of everything, and of the object. */
static void
release_call(Call *self, Kept *kept)
{
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Protected *protected = self->protected;
    Py_XDECREF(self->inner);
    Py_XDECREF(self->permit);
    kept_give(kept, (PyObject *)self);
    Py_DECREF(protected); /* the last one to need the state */
}

static void
drop_call(Call *self, Kept *kept)
{
    if (self->phase == ADMITTED_HOT || self->phase == ADMITTED) {
        if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
            return;
        }
    }
    PyObject_GC_UnTrack(self);
    release_call(self, kept);
}

static void
call_dealloc(Call *self)
{
    drop_call(self, &self->protected->state->calls);
}

/* ---- the face of a coroutine ---- */

static PyObject *
get_of_inner(Call *self, void *name)
{
    return PyObject_GetAttrString(self->inner, name);
}

static PyObject *
get_coroutine_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyCoro_Type);
}

static PyObject *
repr_as(Call *self, const char *kind)
{
    PyObject *qualname = PyObject_GetAttr(self->inner, self->protected->state->str_qualname);
    if (qualname == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%s object %S at %p>", kind, qualname, self);
    Py_DECREF(qualname);
    return text;
}

static PyObject *
call_repr(Call *self)
{
    return repr_as(self, "coroutine");
}

static PyMethodDef call_methods[] = {
    {"send", call_send, METH_O, "Resume the coroutine, sending it a value."},
    {"throw", (PyCFunction)(void (*)(void))call_throw, METH_FASTCALL, "Raise an exception in the coroutine."},
    {"close", call_close, METH_NOARGS, "End the coroutine."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef call_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Call, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define OF_COROUTINE(name) {name, (getter)get_of_inner, NULL, NULL, name}

static PyGetSetDef call_getset[] = {
    {"__class__", get_coroutine_class, NULL, NULL, NULL},
    OF_COROUTINE("__name__"),
    OF_COROUTINE("__qualname__"),
    OF_COROUTINE("cr_await"),
    OF_COROUTINE("cr_code"),
    OF_COROUTINE("cr_frame"),
    OF_COROUTINE("cr_origin"),
    OF_COROUTINE("cr_running"),
    OF_COROUTINE("cr_suspended"),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_am_send, call_am_send},
    {Py_am_await, call_await},
    {Py_tp_iternext, call_iternext},
    {Py_tp_repr, call_repr},
    {Py_tp_finalize, call_finalize},
    {Py_tp_traverse, call_traverse},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_methods, call_methods},
    {Py_tp_members, call_members},
    {Py_tp_getset, call_getset},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "recloser.kernel._kernel.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

#endif
