/* The compiled kernel: the same behaviour as python.py, and the calls of functions, coroutine functions and generators
 * around it.
 *
 *   common.h       compatibility, locking, the clock, the state of the module
 *   window.h       the sliding windows
 *   counters.h     counters, histogram, window and rules of one breaker, and the hot path
 *   kernel_type.h  Kernel: the same as a Python object
 *   protected.h    Protected: a function that asks the breaker first
 *   call.h         Call: one call of a protected coroutine function
 *   stream.h       the same of a generator function
 *   async_stream.h and of an async generator function
 *   stop.h         how such a call ends
 *
 * No static types and no static state: each interpreter has its own module. See docs/explanation/kernel.md.
 */
#include "common.h"
#include "counters.h"
#include "kernel_type.h"
#include "protected.h"
#include "call.h"
#include "stream.h"
#include "async_stream.h"

PyDoc_STRVAR(protect_doc,
"protect(controller, kernel, now, fn, kind)\n--\n\n"
"A protected function around `fn`, of kind FUNCTION, COROUTINE, GENERATOR or ASYNC_GENERATOR.");

static PyObject *
protect(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "protect() takes 5 arguments");
        return NULL;
    }
    if (!PyObject_TypeCheck(args[1], state->kernel_type)) {
        PyErr_Format(PyExc_TypeError, "%R is no compiled kernel", args[1]);
        return NULL;
    }
    if (state->cold_call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "connect() comes first");
        return NULL;
    }
    static const vectorcallfunc ways[KINDS] = {function_vectorcall, coroutine_vectorcall, generator_vectorcall,
                                               async_generator_vectorcall};
    long kind = PyLong_AsLong(args[4]);
    if (kind < 0 || kind >= KINDS) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "kind %ld", kind);
        }
        return NULL;
    }
    Protected *self = PyObject_GC_New(Protected, state->protected_type);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = ways[kind];
    self->module = Py_NewRef(module);
    self->state = state;
    self->controller = Py_NewRef(args[0]);
    self->kernel = (Kernel *)Py_NewRef(args[1]);
    self->now = HAVE_NATIVE_CLOCK && args[2] == state->monotonic ? NULL : Py_NewRef(args[2]);
    self->fn = Py_NewRef(args[3]);
    self->dict = self->weakrefs = NULL;
    self->kind = (uint8_t)kind;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

/* ---- the module ---- */

PyDoc_STRVAR(connect_doc,
"connect(**functions)\n--\n\n"
"Take the Python functions that do what is not the hot path's business; see native.py.");

static PyObject *
connect(PyObject *module, PyObject *args, PyObject *kwargs)
{
    State *state = PyModule_GetState(module);
    static char *names[] = {"open_error", "cold_call", "hot_returned", "hot_settled", "take_permit",
                            "dropped", "plain_code", "coroutine_code", NULL};
    PyObject **const places[] = {&state->open_error, &state->cold_call, &state->hot_returned, &state->hot_settled,
                                 &state->take_permit, &state->dropped, &state->plain_code, &state->coroutine_code};
    enum { COUNT = sizeof(places) / sizeof(places[0]) };
    PyObject *given[COUNT];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOO:connect", names, &given[0], &given[1], &given[2],
                                     &given[3], &given[4], &given[5], &given[6], &given[7])) {
        return NULL;
    }
    if (!PyType_Check(given[0]) || !PyType_IsSubtype((PyTypeObject *)given[0], (PyTypeObject *)PyExc_Exception)) {
        PyErr_SetString(PyExc_TypeError, "open_error must be an exception type");
        return NULL;
    }
    for (int index = 0; index < COUNT; index++) {
        PyObject *old = *places[index];
        *places[index] = Py_NewRef(given[index]);
        Py_XDECREF(old);
    }
    Py_RETURN_NONE;
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyObject *base, PyTypeObject **place)
{
    *place = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, base);
    return *place == NULL ? -1 : PyModule_AddType(module, *place);
}

static int
intern_names(State *state)
{
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&state->open, "open"},           {&state->str_close, "close"},     {&state->str_leave, "leave"},
        {&state->str_name, "name"},       {&state->str_settle, "settle"},   {&state->str_throw, "throw"},
        {&state->str_tripped, "tripped"}, {&state->str_qualname, "__qualname__"},
        {&state->str_mark_first_item, "mark_first_item"}, {&state->str_aclose, "aclose"},
        {&state->str_ag_frame, "ag_frame"}, {&state->str_asend, "asend"}, {&state->str_athrow, "athrow"},
        {&state->str_send, "send"},
    };
    for (size_t index = 0; index < sizeof(names) / sizeof(names[0]); index++) {
        *names[index].place = PyUnicode_InternFromString(names[index].text);
        if (*names[index].place == NULL) {
            return -1;
        }
    }
    for (int index = 0; index < RULES; index++) {
        state->rules[index] = PyUnicode_InternFromString(RULE_NAMES[index]);
        state->reasons[index] = PyUnicode_InternFromString(REASON_NAMES[index]);
        if (state->rules[index] == NULL || state->reasons[index] == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
kernel_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (intern_names(state) < 0 || add_type(module, &kernel_spec, NULL, &state->kernel_type) < 0 ||
        add_type(module, &protected_spec, NULL, &state->protected_type) < 0 ||
        add_type(module, &call_spec, NULL, &state->call_type) < 0 ||
        add_type(module, &stream_spec, NULL, &state->stream_type) < 0 ||
        PyModule_AddIntMacro(module, FUNCTION) < 0 || PyModule_AddIntMacro(module, COROUTINE) < 0 ||
        PyModule_AddIntMacro(module, GENERATOR) < 0 || PyModule_AddIntMacro(module, ASYNC_GENERATOR) < 0 ||
        add_type(module, &async_stream_spec, NULL, &state->async_stream_type) < 0 ||
        add_type(module, &step_spec, NULL, &state->step_type) < 0 ||
        add_type(module, &stop_spec, PyExc_StopIteration, &state->stop_type) < 0) {
        return -1;
    }
    state->empty_tuple = PyTuple_New(0);
    PyObject *time_module = PyImport_ImportModule("time");
    if (time_module == NULL) {
        return -1;
    }
    state->monotonic = PyObject_GetAttrString(time_module, "monotonic");
    Py_DECREF(time_module);
    return state->monotonic == NULL ? -1 : 0;
}

/* The state begins with references and nothing else: they are treated as one array. They are not cleared before the
 * module is freed, since what is protected may be called to the very end; the functions among them are cleared, and
 * that breaks any cycle. */
static int
kernel_traverse(PyObject *module, visitproc visit, void *arg)
{
    PyObject **references = PyModule_GetState(module);
    for (size_t index = 0; references != NULL && index < STATE_REFERENCES; index++) {
        Py_VISIT(references[index]);
    }
    return 0;
}

static void
kernel_free(void *module)
{
    PyObject **references = PyModule_GetState(module);
    State *state = PyModule_GetState(module);
    if (state != NULL) { /* while their types are there */
        kept_free(&state->calls);
        kept_free(&state->streams);
        kept_free(&state->async_streams);
        kept_free(&state->steps);
        kept_free(&state->stops);
    }
    for (size_t index = 0; references != NULL && index < STATE_REFERENCES; index++) {
        Py_CLEAR(references[index]);
    }
}

static PyMethodDef module_functions[] = {
    {"protect", (PyCFunction)(void (*)(void))protect, METH_FASTCALL, protect_doc},
    {"connect", (PyCFunction)(void (*)(void))connect, METH_VARARGS | METH_KEYWORDS, connect_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, kernel_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef kernel_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "recloser.kernel._kernel",
    .m_doc = "The compiled kernel.",
    .m_size = sizeof(State),
    .m_methods = module_functions,
    .m_slots = module_slots,
    .m_traverse = kernel_traverse,
    .m_free = kernel_free,
};

PyMODINIT_FUNC
PyInit__kernel(void)
{
    return PyModuleDef_Init(&kernel_module);
}
