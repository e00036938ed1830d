/* Protected: a function, coroutine function or generator function that asks the breaker first.
 *
 * It has the face of a Python function (binding, metadata, __class__), so that inspect and frameworks see no
 * difference. Here is the hot path only; whatever is not a success in time of a closed circuit goes to calls.py.
 */
#ifndef RECLOSER_PROTECTED_H
#define RECLOSER_PROTECTED_H

#include "common.h"
#include "counters.h"

/* What calling the function inside gives. */
enum { FUNCTION, COROUTINE, GENERATOR, ASYNC_GENERATOR, KINDS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *module;  /* keeps `state` in memory */
    State *state;
    Kernel *kernel;
    PyObject *controller;
    PyObject *fn;
    PyObject *now;     /* Python clock, or NULL for the system's own */
    PyObject *dict;
    PyObject *weakrefs;
    uint8_t kind;
} Protected;

static inline int
is_awaitable(PyObject *value)
{
    PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
    return methods != NULL && methods->am_await != NULL;
}

/* ---- ending a call ---- */

/* The success is not the hot path's business, or breaks a rule. Returns -1 with an exception. */
static int
leave_long_way(Protected *self, int64_t generation, double started, double now, int rule)
{
    State *state = self->state;
    PyObject *known_rule = rule >= 0 ? state->rules[rule] : NULL;
    PyObject *time = PyFloat_FromDouble(rule >= 0 ? now : started);
    PyObject *number = PyLong_FromLongLong(generation);
    PyObject *done = NULL;
    if (time != NULL && number != NULL) {
        done = known_rule != NULL
                   ? PyObject_CallMethodObjArgs(self->controller, state->str_tripped, number, known_rule, time, NULL)
                   : PyObject_CallMethodObjArgs(self->controller, state->str_leave, number, time, NULL);
    }
    Py_XDECREF(time);
    Py_XDECREF(number);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The latency of a call that is measured to its end. */
#define TO_THE_END NAN

/* A call returned, `latency` seconds after which its first item came: 0 when that is settled, JUDGED when settle() in
 * Python has to be told, -1 with an exception. */
static inline int
leave(Protected *self, int64_t generation, double started, double latency)
{
    double now;
    if (read_clock(self->now, &now) < 0) {
        kernel_unenter(self->kernel);
        return -1;
    }
    int streamed = !isnan(latency);
    int rule = kernel_leave(self->kernel, generation, streamed ? latency : now - started, now);
    if (rule == NO_RULE) {
        return 0;
    }
    if (rule == JUDGED || (rule == NOT_HOT && streamed)) {
        return JUDGED;
    }
    return leave_long_way(self, generation, started, now, rule);
}

/* Call `hook(controller, generation, started, latency, first, second)`; `second` may be NULL for none. */
static PyObject *
call_hook(Protected *self, PyObject *hook, int64_t generation, double started, double latency, PyObject *first,
          PyObject *second)
{
    PyObject *number = PyLong_FromLongLong(generation);
    PyObject *time = PyFloat_FromDouble(started);
    PyObject *first_item = isnan(latency) ? Py_NewRef(Py_None) : PyFloat_FromDouble(latency);
    PyObject *answer = NULL;
    if (number != NULL && time != NULL && first_item != NULL) {
        answer = PyObject_CallFunctionObjArgs(hook, self->controller, number, time, first_item, first, second, NULL);
    }
    Py_XDECREF(number);
    Py_XDECREF(time);
    Py_XDECREF(first_item);
    return answer;
}

/* While `exc` (stolen) was on its way, another exception was raised: `exc` becomes the context of that one. */
static void
chain_context(PyObject *exc)
{
    PyObject *newer = PyErr_GetRaisedException();
    PyObject *context = PyException_GetContext(newer);
    if (newer != exc && context == NULL) {
        PyException_SetContext(newer, exc);
    }
    else {
        Py_DECREF(exc);
    }
    Py_XDECREF(context);
    PyErr_SetRaisedException(newer);
}

/* ---- rejecting ---- */

/* Reject the call if the kernel may do so by itself: 1 with CircuitOpenError set, 0 if it may not, -1 on error. */
static int
refuse(Protected *self)
{
    Kernel *kernel = self->kernel;
    State *state = self->state;
    PyObject *last_failure = NULL;
    double now, left = 0.0;
    int reason;
    BEGIN_ATOMIC(kernel)
    reason = kernel->refusing;
    END_ATOMIC()
    if (reason == NO_REASON) {
        return 0;
    }
    if (read_clock(self->now, &now) < 0) {
        return -1;
    }
    BEGIN_ATOMIC(kernel)
    left = kernel->open_until - now;
    reason = left > 0.0 ? kernel->refusing : NO_REASON;
    if (reason != NO_REASON) {
        kernel->rejections[reason]++;
        last_failure = Py_NewRef(kernel->last_failure);
    }
    END_ATOMIC()
    if (reason == NO_REASON) {
        return 0;
    }
    PyObject *name = PyObject_GetAttr(self->controller, state->str_name);
    PyObject *wait = reason == REASON_FORCED_OPEN || isinf(left) ? Py_NewRef(Py_None) : PyFloat_FromDouble(left);
    PyObject *args = NULL, *error = NULL;
    if (name != NULL && wait != NULL) {
        args = PyTuple_Pack(5, name, state->open, wait, last_failure, state->reasons[reason]);
    }
    if (args != NULL) {
        /* CircuitOpenError keeps everything in its args: no Python code has to run to make one. */
        error = ((PyTypeObject *)PyExc_Exception)->tp_new((PyTypeObject *)state->open_error, args, NULL);
    }
    if (error != NULL) {
        PyErr_SetObject(state->open_error, error);
    }
    Py_XDECREF(name);
    Py_XDECREF(wait);
    Py_XDECREF(args);
    Py_XDECREF(last_failure);
    Py_XDECREF(error);
    return error == NULL ? -1 : 1;
}

/* ---- a function ---- */

static PyObject *
call_cold(Protected *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (refuse(self) != 0) {
        return NULL;
    }
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    PyObject *positional = PyTuple_New(count);
    PyObject *named = PyDict_New();
    PyObject *result = NULL;
    if (positional == NULL || named == NULL) {
        goto done;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        PyTuple_SET_ITEM(positional, index, Py_NewRef(args[index]));
    }
    for (Py_ssize_t index = 0; kwnames != NULL && index < PyTuple_GET_SIZE(kwnames); index++) {
        if (PyDict_SetItem(named, PyTuple_GET_ITEM(kwnames, index), args[count + index]) < 0) {
            goto done;
        }
    }
    result = PyObject_CallFunctionObjArgs(self->state->cold_call, self->controller, self->fn, positional, named, NULL);
done:
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return result;
}

/* The function raised: settle the call, and raise again. */
static PyObject *
hot_raised(Protected *self, int64_t generation, double started)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *done = call_hook(self, self->state->hot_settled, generation, started, TO_THE_END, exc, Py_None);
    if (done == NULL) {
        chain_context(exc);
        return NULL;
    }
    Py_DECREF(done);
    PyErr_SetRaisedException(exc);
    return NULL;
}

static PyObject *
hot_returned(Protected *self, int64_t generation, double started, PyObject *result)
{
    PyObject *answer = call_hook(self, self->state->hot_returned, generation, started, TO_THE_END, result, NULL);
    Py_DECREF(result);
    return answer;
}

static PyObject *
function_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Protected *self = (Protected *)op;
    double started;
    int64_t generation = kernel_enter(self->kernel);
    if (generation < 0) {
        return call_cold(self, args, nargsf, kwnames);
    }
    if (read_clock(self->now, &started) < 0) {
        kernel_unenter(self->kernel);
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(self->fn, args, nargsf, kwnames);
    if (result == NULL) {
        return hot_raised(self, generation, started);
    }
    int left = is_awaitable(result) ? JUDGED : leave(self, generation, started, TO_THE_END);
    if (left == JUDGED) {
        return hot_returned(self, generation, started, result);
    }
    if (left < 0) {
        Py_CLEAR(result);
    }
    return result;
}

/* ---- the face of a function ---- */

static PyObject *
protected_descr_get(PyObject *self, PyObject *obj, PyObject *Py_UNUSED(type))
{
    return obj == NULL || obj == Py_None ? Py_NewRef(self) : PyMethod_New(self, obj);
}

static PyObject *
get_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyFunction_Type);
}

/* What a function has as data, read from the function inside; a plain stand-in when that is not one. */
static PyObject *
get_of_function(Protected *self, void *closure)
{
    const char *name = closure;
    PyObject *value = PyObject_GetAttrString(self->fn, name);
    if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return value;
    }
    PyErr_Clear();
    if (strcmp(name, "__code__") == 0) {
        return Py_NewRef(self->kind == COROUTINE ? self->state->coroutine_code : self->state->plain_code);
    }
    if (strcmp(name, "__globals__") == 0 || strcmp(name, "__builtins__") == 0) {
        return PyDict_New();
    }
    return Py_NewRef(Py_None);
}

/* Attributes that functools.update_wrapper copies, for a function that has not been through it (or not on 3.14). */
static PyObject *
protected_getattro(PyObject *op, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(op, name);
    if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return value;
    }
    static const char *const copied[] = {"__name__", "__qualname__", "__annotations__", "__type_params__"};
    for (size_t index = 0; index < sizeof(copied) / sizeof(copied[0]); index++) {
        if (PyUnicode_CompareWithASCIIString(name, copied[index]) == 0) {
            PyErr_Clear();
            value = PyObject_GetAttr(((Protected *)op)->fn, name);
            if (value == NULL && index == 2 && PyErr_ExceptionMatches(PyExc_AttributeError)) {
                PyErr_Clear();
                value = PyDict_New();
            }
            return value;
        }
    }
    return NULL;
}

static PyObject *
protected_repr(Protected *self)
{
    PyObject *qualname = PyObject_GetAttr((PyObject *)self, self->state->str_qualname);
    if (qualname == NULL) {
        PyErr_Clear();
        qualname = PyObject_Repr(self->fn);
    }
    PyObject *name = qualname == NULL ? NULL : PyObject_GetAttr(self->controller, self->state->str_name);
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("<function %S at %p, protected by %R>", qualname, self, name);
    Py_XDECREF(qualname);
    Py_XDECREF(name);
    return text;
}

/* Functions are copied as themselves and pickled by name. */
static PyObject *
protected_copy(PyObject *self, PyObject *Py_UNUSED(memo))
{
    return Py_NewRef(self);
}

static PyObject *
protected_reduce(Protected *self, PyObject *Py_UNUSED(protocol))
{
    return PyObject_GetAttr((PyObject *)self, self->state->str_qualname);
}

static int
protected_traverse(Protected *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->module);
    Py_VISIT(self->kernel);
    Py_VISIT(self->controller);
    Py_VISIT(self->fn);
    Py_VISIT(self->now);
    Py_VISIT(self->dict);
    return 0;
}

static int
protected_clear(Protected *self)
{
    /* A finaliser may still call it. */
    PyObject *fn = self->fn;
    self->fn = Py_NewRef(Py_None);
    Py_XDECREF(fn);
    Py_CLEAR(self->dict);
    return 0;
}

static void
protected_dealloc(Protected *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fn);
    Py_CLEAR(self->now);
    Py_CLEAR(self->kernel);
    Py_CLEAR(self->controller);
    Py_CLEAR(self->module);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef protected_methods[] = {
    {"__copy__", protected_copy, METH_NOARGS, NULL},
    {"__deepcopy__", protected_copy, METH_O, NULL},
    {"__reduce__", (PyCFunction)protected_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", (PyCFunction)protected_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef protected_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Protected, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Protected, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Protected, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define OF_FUNCTION(name) {name, (getter)get_of_function, NULL, NULL, name}

static PyGetSetDef protected_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"__class__", get_class, NULL, NULL, NULL},
    OF_FUNCTION("__code__"),
    OF_FUNCTION("__defaults__"),
    OF_FUNCTION("__kwdefaults__"),
    OF_FUNCTION("__closure__"),
    OF_FUNCTION("__globals__"),
    OF_FUNCTION("__builtins__"),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot protected_slots[] = {
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, protected_descr_get},
    {Py_tp_getattro, protected_getattro},
    {Py_tp_repr, protected_repr},
    {Py_tp_traverse, protected_traverse},
    {Py_tp_clear, protected_clear},
    {Py_tp_dealloc, protected_dealloc},
    {Py_tp_methods, protected_methods},
    {Py_tp_members, protected_members},
    {Py_tp_getset, protected_getset},
    {0, NULL},
};

static PyType_Spec protected_spec = {
    .name = "recloser.kernel._kernel.Protected",
    .basicsize = sizeof(Protected),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = protected_slots,
};

#endif
