/* The end of a coroutine, where the protocol wants an exception. */
#ifndef RECLOSER_STOP_H
#define RECLOSER_STOP_H

#include "common.h"

/* Raise StopIteration(value); steals `value`. A tuple or exception must not be taken for the constructor's arguments. */
static PyObject *
stop_with(PyObject *value)
{
    if (value == Py_None) {
        Py_DECREF(value);
        PyErr_SetNone(PyExc_StopIteration);
        return NULL;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

/* ---- the end of an await, from 3.12 on ----
 *
 * There `await` takes the result out of a StopIteration, which costs more than everything else here. This one is its
 * subclass, made without the constructor and used again.
 */

static void
stop_dealloc(PyObject *op)
{
    State *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject_GC_UnTrack(op);
    ((PyTypeObject *)PyExc_StopIteration)->tp_clear(op);
    if (state != NULL) {
        kept_give(&state->stops, op);
        return;
    }
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static int
stop_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return ((PyTypeObject *)PyExc_StopIteration)->tp_traverse(op, visit, arg);
}

static PyType_Slot stop_slots[] = {
    {Py_tp_dealloc, stop_dealloc},
    {Py_tp_traverse, stop_traverse},
    {0, NULL},
};

static PyType_Spec stop_spec = {
    .name = "recloser.kernel._kernel.StopIteration",
    .basicsize = sizeof(PyStopIterationObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stop_slots,
};

/* Raise it; steals `value`. */
static PyObject *
stop_await_with(State *state, PyObject *value)
{
    PyStopIterationObject *stop = (PyStopIterationObject *)kept_take(&state->stops, state->stop_type);
    if (stop == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    const size_t header = sizeof(PyObject);
    memset((char *)stop + header, 0, sizeof(*stop) - header);
    stop->args = Py_NewRef(state->empty_tuple);
    stop->value = value;
    PyObject_GC_Track((PyObject *)stop);
    PyErr_SetRaisedException((PyObject *)stop);
    return NULL;
}

#endif
