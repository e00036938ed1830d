/* One call of a protected async generator function: a Call with the face of an async generator, and Step, one awaitable
 * of it (what __anext__, asend, athrow and aclose return).
 *
 * The event loop is told of the object outside and not of the one inside, so that it is the one outside that is closed
 * when the loop shuts down or the program has dropped it.
 */
#ifndef RECLOSER_ASYNC_STREAM_H
#define RECLOSER_ASYNC_STREAM_H

#include "stream.h"

typedef struct {
    Call call;
    PyObject *finalizer; /* the loop's hook for one that was dropped, or NULL */
    uint8_t hooked;      /* whether the loop has been told */
    uint8_t marked;      /* whether the first item has come */
} AsyncStream;

enum { NEXT, THROW, CLOSE };
enum { FRESH, STARTED, INTRUDER, DONE };

typedef struct {
    PyObject_HEAD
    AsyncStream *stream;
    PyObject *inner;     /* the awaitable inside, once it runs */
    PyObject *given;     /* what is sent in (NULL for None), or the tuple of what is thrown in */
    uint8_t action;
    uint8_t phase;       /* INTRUDER: it started while another one was running, and only makes the one inside complain */
} Step;

static PyObject *
async_generator_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    State *state = ((Protected *)op)->state;
    PyObject *made = make_call(op, args, nargsf, kwnames, &state->async_streams, state->async_stream_type);
    if (made != NULL) {
        AsyncStream *self = (AsyncStream *)made;
        self->finalizer = NULL;
        self->hooked = self->marked = 0;
    }
    return track(made);
}

/* ---- the loop's hooks ---- */

/* Tell the loop of a new async generator, as the first use of one does. */
static int
tell_loop(AsyncStream *self)
{
    PyThreadState *thread = PyThreadState_Get();
    if (self->hooked) {
        return 0;
    }
    self->hooked = 1;
    self->finalizer = Py_XNewRef(thread->async_gen_finalizer);
    PyObject *first_use = Py_XNewRef(thread->async_gen_firstiter);
    if (first_use == NULL) {
        return 0;
    }
    PyObject *told = PyObject_CallOneArg(first_use, (PyObject *)self);
    Py_DECREF(first_use);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

/* Make the awaitable inside. It is then that the async generator inside would tell the loop of itself. */
static PyObject *
make_inner(Step *self)
{
    State *state = self->stream->call.protected->state;
    PyObject *inner = self->stream->call.inner;
    PyThreadState *thread = PyThreadState_Get();
    PyObject *first_use = thread->async_gen_firstiter, *finalizer = thread->async_gen_finalizer;
    PyObject *made, *throw;
    thread->async_gen_firstiter = thread->async_gen_finalizer = NULL;
    if (self->action == CLOSE) {
        made = PyObject_CallMethodNoArgs(inner, state->str_aclose);
    }
    else if (self->action == THROW) {
        throw = PyObject_GetAttr(inner, state->str_athrow);
        made = throw == NULL ? NULL : PyObject_Call(throw, self->given, NULL);
        Py_XDECREF(throw);
    }
    else if (self->given == NULL) {
        made = Py_TYPE(inner)->tp_as_async->am_anext(inner);
    }
    else {
        made = PyObject_CallMethodOneArg(inner, state->str_asend, self->given);
    }
    thread->async_gen_firstiter = first_use;
    thread->async_gen_finalizer = finalizer;
    return made;
}

/* ---- a step ---- */

/* A step of `action`; steals `given`. */
static PyObject *
make_step(PyObject *op, int action, PyObject *given)
{
    AsyncStream *stream = (AsyncStream *)op;
    State *state = stream->call.protected->state;
    Step *self = NULL;
    if (tell_loop(stream) == 0) {
        self = (Step *)kept_take(&state->steps, state->step_type);
    }
    if (self == NULL) {
        Py_XDECREF(given);
        return NULL;
    }
    self->stream = (AsyncStream *)Py_NewRef(op);
    self->inner = NULL;
    self->given = given;
    self->action = (uint8_t)action;
    self->phase = FRESH;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

static int
was_admitted(Call *call)
{
    return call->phase == ADMITTED_HOT || call->phase == ADMITTED;
}

/* The step is over, and with it the turn that it had. */
static void
end_step(Step *self)
{
    if (self->phase == STARTED) {
        pause_driving(&self->stream->call);
    }
    self->phase = DONE;
}

static int
is_exit(PyObject *thrown)
{
    return PyTuple_GET_SIZE(thrown) > 0 &&
           PyErr_GivenExceptionMatches(PyTuple_GET_ITEM(thrown, 0), PyExc_GeneratorExit);
}

/* The async generator has ended with the exception that is set, which stays: StopIteration after aclose(),
 * StopAsyncIteration by itself. */
static void
stream_ended(Step *self)
{
    Call *call = &self->stream->call;
    PyObject *exc = PyErr_GetRaisedException();
    int settled;
    if (self->action == CLOSE || (self->action == THROW && is_exit(self->given))) {
        uint8_t phase = enter_phase(call, ENDED);
        PyObject *closed = PyObject_CallNoArgs(PyExc_GeneratorExit);
        settled = closed == NULL ? -1 : settle(call, phase, closed, Py_None);
        Py_XDECREF(closed);
    }
    else {
        settled = call_returned(call, Py_None);
    }
    if (settled < 0) {
        chain_context(exc);
    }
    else {
        PyErr_SetRaisedException(exc);
    }
}

/* Whether the async generator inside has run to its end: 1, 0, or -1 with an exception. */
static int
is_over(Call *call)
{
    PyObject *frame = PyObject_GetAttr(call->inner, call->protected->state->str_ag_frame);
    int over = frame == Py_None;
    Py_XDECREF(frame);
    return frame == NULL ? -1 : over;
}

/* The step raised what is set. If the async generator has not ended with that, the step was misused. */
static void
step_raised(Step *self)
{
    Call *call = &self->stream->call;
    PyObject *exc = PyErr_GetRaisedException();
    int over = is_over(call);
    if (over < 0) {
        chain_context(exc);
        return;
    }
    PyErr_SetRaisedException(exc);
    if (over && was_admitted(call)) {
        call_raised(call);
    }
    else if (over) { /* it ended before it began */
        enter_phase(call, ENDED);
    }
}

/* The step gave an item, or closed the async generator; StopIteration is set, or nothing in short. */
static void
step_gave(Step *self)
{
    AsyncStream *stream = self->stream;
    if (self->action != CLOSE && (stream->marked || !was_admitted(&stream->call))) {
        return;
    }
    if (PyErr_Occurred() == NULL) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    if (self->action != CLOSE) {
        PyObject *item = PyErr_GetRaisedException();
        stream->marked = 1;
        if (mark_first_item(&stream->call) < 0) {
            Py_DECREF(item);
            call_raised(&stream->call);
        }
        else {
            PyErr_SetRaisedException(item);
        }
    }
    else if (was_admitted(&stream->call)) {
        stream_ended(self);
    }
    else {
        enter_phase(&stream->call, ENDED);
    }
}

/* The step has ended with the exception that is set: StopIteration when it gives a value. */
static void
finish_step(Step *self)
{
    if (self->phase == INTRUDER) {
        self->phase = DONE;
        return;
    }
    if (PyErr_Occurred() == NULL || PyErr_ExceptionMatches(PyExc_StopIteration)) {
        step_gave(self);
    }
    else if (PyErr_ExceptionMatches(PyExc_StopAsyncIteration) && was_admitted(&self->stream->call)) {
        stream_ended(self);
    }
    else {
        step_raised(self);
    }
    end_step(self);
}

/* Begin: take the turn, be admitted if it is the first step of all, make the awaitable inside. -1 with an exception. */
static int
start_step(Step *self, int throwing)
{
    Call *call = &self->stream->call;
    int turn = take_turn(call);
    self->phase = turn == RUNNING || turn == ENDED ? INTRUDER : STARTED;
    if (turn == CREATED && self->action == NEXT && !throwing) {
        if (self->given != NULL) {
            PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started async generator");
            end_step(self);
            return -1;
        }
        if (admit(call) < 0) {
            end_step(self);
            return -1;
        }
    }
    if (self->inner == NULL) {
        self->inner = make_inner(self);
    }
    if (self->inner == NULL) {
        finish_step(self);
        return -1;
    }
    return 0;
}

static int
begin_step(Step *self, int throwing)
{
    static const char *const reused[] = {
        "cannot reuse already awaited __anext__()/asend()",
        "cannot reuse already awaited aclose()/athrow()",
    };
    if (self->phase == DONE && self->inner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, reused[self->action != NEXT]);
        return -1;
    }
    /* Whether a step may be used again is for the one inside to say: that differs between versions. */
    return self->phase == FRESH || self->phase == DONE ? start_step(self, throwing) : 0;
}

static PyObject *
step_iternext(PyObject *op)
{
    Step *self = (Step *)op;
    if (begin_step(self, 0) < 0) {
        return NULL;
    }
    PyObject *awaited = Py_TYPE(self->inner)->tp_iternext(self->inner);
    if (awaited == NULL) {
        finish_step(self);
    }
    return awaited;
}

static PyObject *
step_send(PyObject *op, PyObject *value)
{
    Step *self = (Step *)op;
    if (value == Py_None) {
        PyObject *awaited = step_iternext(op);
        if (awaited == NULL && !PyErr_Occurred()) {
            PyErr_SetNone(PyExc_StopIteration);
        }
        return awaited;
    }
    if (begin_step(self, 0) < 0) {
        return NULL;
    }
    PyObject *awaited = PyObject_CallMethodOneArg(self->inner, self->stream->call.protected->state->str_send, value);
    if (awaited == NULL) {
        finish_step(self);
    }
    return awaited;
}

static PyObject *
step_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    Step *self = (Step *)op;
    if (begin_step(self, 1) < 0) {
        return NULL;
    }
    PyObject *awaited = NULL;
    PyObject *throw = PyObject_GetAttr(self->inner, self->stream->call.protected->state->str_throw);
    if (throw != NULL) {
        awaited = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
        Py_DECREF(throw);
    }
    if (awaited == NULL) {
        finish_step(self);
    }
    return awaited;
}

/* The coroutine that awaits this step is closed. From 3.13 on that ends the async generator as well; before, it says of
 * itself that it is running for ever after, and so the turn is not given back. */
static PyObject *
step_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Step *self = (Step *)op;
    Call *call = &self->stream->call;
    if (self->phase == FRESH || self->phase == DONE) {
        self->phase = DONE;
        Py_RETURN_NONE;
    }
    PyObject *closed = PyObject_CallMethodNoArgs(self->inner, call->protected->state->str_close);
    PyObject *exc = closed == NULL ? PyErr_GetRaisedException() : PyObject_CallNoArgs(PyExc_GeneratorExit);
    int over = self->phase == STARTED ? is_over(call) : 0;
    int failed = exc == NULL || over < 0;
    if (over > 0) {
        if (was_admitted(call)) {
            failed = failed || settle(call, enter_phase(call, ENDED), exc, Py_None) < 0;
        }
        end_step(self);
    }
    self->phase = DONE;
    if (closed == NULL && exc != NULL) {
        failed ? chain_context(exc) : PyErr_SetRaisedException(exc);
        return NULL;
    }
    Py_XDECREF(exc);
    if (failed) {
        Py_CLEAR(closed);
    }
    return closed;
}

static int
step_traverse(Step *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->stream);
    Py_VISIT(self->inner);
    Py_VISIT(self->given);
    return 0;
}

static void
step_dealloc(Step *self)
{
    PyObject_GC_UnTrack(self);
    AsyncStream *stream = self->stream;
    Py_XDECREF(self->inner);
    Py_XDECREF(self->given);
    kept_give(&stream->call.protected->state->steps, (PyObject *)self);
    Py_DECREF(stream);
}

static PyMethodDef step_methods[] = {
    {"send", step_send, METH_O, "Resume the step, sending it a value."},
    {"throw", (PyCFunction)(void (*)(void))step_throw, METH_FASTCALL, "Raise an exception in the step."},
    {"close", step_close, METH_NOARGS, "End the step."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot step_slots[] = {
    {Py_am_await, PyObject_SelfIter},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, step_iternext},
    {Py_tp_traverse, step_traverse},
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_methods, step_methods},
    {0, NULL},
};

static PyType_Spec step_spec = {
    .name = "recloser.kernel._kernel.Step",
    .basicsize = sizeof(Step),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = step_slots,
};

/* ---- the async generator ---- */

static PyObject *
async_stream_anext(PyObject *op)
{
    return make_step(op, NEXT, NULL);
}

static PyObject *
async_stream_asend(PyObject *op, PyObject *value)
{
    return make_step(op, NEXT, value == Py_None ? NULL : Py_NewRef(value));
}

static PyObject *
async_stream_athrow(PyObject *op, PyObject *args)
{
    return make_step(op, THROW, Py_NewRef(args));
}

static PyObject *
async_stream_aclose(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return make_step(op, CLOSE, NULL);
}

/* Settle a call that nobody will go on with. The async generator inside is closed as any that is dropped. */
static void
forget_stream(Call *call)
{
    uint8_t phase = enter_phase(call, ENDED);
    PyObject *exc = PyObject_CallNoArgs(PyExc_GeneratorExit);
    if (exc == NULL || settle_forgotten(call, phase, exc) < 0) {
        PyErr_WriteUnraisable((PyObject *)call);
    }
    Py_XDECREF(exc);
}

/* It was dropped in the middle: the loop closes it, if there is one. */
static void
async_stream_finalize(PyObject *op)
{
    AsyncStream *self = (AsyncStream *)op;
    if (!was_admitted(&self->call)) {
        return;
    }
    PyObject *pending = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    if (self->finalizer == NULL) {
        forget_stream(&self->call);
    }
    else {
        PyObject *told = PyObject_CallOneArg(self->finalizer, op);
        if (told == NULL) {
            PyErr_WriteUnraisable(op);
        }
        Py_XDECREF(told);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static int
async_stream_traverse(AsyncStream *self, visitproc visit, void *arg)
{
    Py_VISIT(self->finalizer);
    return call_traverse(&self->call, visit, arg);
}

static void
async_stream_dealloc(AsyncStream *self)
{
    if (was_admitted(&self->call)) {
        if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
            return;
        }
        if (was_admitted(&self->call)) { /* the loop would not have it */
            PyObject *pending = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
            forget_stream(&self->call);
            if (pending != NULL) {
                PyErr_SetRaisedException(pending);
            }
        }
    }
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->finalizer);
    release_call(&self->call, &self->call.protected->state->async_streams);
}

static PyObject *
get_async_generator_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyAsyncGen_Type);
}

static PyObject *
async_stream_repr(Call *self)
{
    return repr_as(self, "async_generator");
}

static PyMethodDef async_stream_methods[] = {
    {"asend", async_stream_asend, METH_O, "Resume the async generator, sending it a value."},
    {"athrow", async_stream_athrow, METH_VARARGS, "Raise an exception in the async generator."},
    {"aclose", async_stream_aclose, METH_NOARGS, "End the async generator."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

#define OF_ASYNC_GENERATOR(name) {name, (getter)get_of_inner, NULL, NULL, name}

static PyGetSetDef async_stream_getset[] = {
    {"__class__", get_async_generator_class, NULL, NULL, NULL},
    OF_ASYNC_GENERATOR("__name__"),
    OF_ASYNC_GENERATOR("__qualname__"),
    OF_ASYNC_GENERATOR("ag_await"),
    OF_ASYNC_GENERATOR("ag_code"),
    OF_ASYNC_GENERATOR("ag_frame"),
    OF_ASYNC_GENERATOR("ag_running"),
    OF_ASYNC_GENERATOR("ag_suspended"),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot async_stream_slots[] = {
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, async_stream_anext},
    {Py_tp_repr, async_stream_repr},
    {Py_tp_finalize, async_stream_finalize},
    {Py_tp_traverse, async_stream_traverse},
    {Py_tp_dealloc, async_stream_dealloc},
    {Py_tp_methods, async_stream_methods},
    {Py_tp_members, call_members},
    {Py_tp_getset, async_stream_getset},
    {0, NULL},
};

static PyType_Spec async_stream_spec = {
    .name = "recloser.kernel._kernel.AsyncStream",
    .basicsize = sizeof(AsyncStream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = async_stream_slots,
};

#endif
