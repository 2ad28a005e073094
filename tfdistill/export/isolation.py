"""Layers that the converter must leave in float, since their inner results were never rounded in training.

Between two rounded values the converter computes whatever it can in int8, and gives inner results a grid of its own
choice: a joined tensor that of one of its parts, a sigmoid steps of 1/256. A barrier of two operators around a layer keeps
it from that; they are taken out of the file again.
"""

import contextlib

import keras
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from tfdistill._layers import wrapping
from tfdistill.errors import UserError
from tfdistill.export.flatbuffer import opcode
from tfdistill.export.lean import drop_unread
from tfdistill.parametrize.places import operations_of
from tfdistill.quantization import kinds

_OPERATOR = schema.BuiltinOperator


@contextlib.contextmanager
def isolated(model, stays_in_float):
    """While the context lasts, barriers stand around the layers that compute in float, and their inner layers.

    Args:
        model: a functional model.
        stays_in_float: function of a layer or bare operation: whether it needs barriers.
    """
    inside = kinds.parts_of_units(model)
    units = [one for one in operations_of(model) if kinds.is_unit(one) and id(one) not in inside]
    floats = [unit for unit in units if stays_in_float(unit)]
    activations = [unit for unit in units if kinds.has_float_activation(unit)]
    with (
        wrapping([(unit, _around) for unit in floats]),
        wrapping([(unit, _around) for unit in activations], method="activation"),
    ):
        yield


def remove_barriers(model):
    """Takes barriers out of a converted graph; `ModelT`, changed in place.

    Raises:
        UserError: one was left in the graph, since the converter had put something between its two operators.
    """
    for subgraph in model.subgraphs:
        makers = {operator.outputs[0]: operator for operator in subgraph.operators if len(operator.outputs)}
        before, ends = {}, set()  # {tensor behind a barrier: the one in front of it}, ids of the second operators
        for operator in subgraph.operators:
            if opcode(model, operator) == _OPERATOR.SIN:
                first = makers.get(operator.inputs[0])
                if first is not None and opcode(model, first) == _OPERATOR.COS:
                    before[operator.outputs[0]] = first.inputs[0]
                    ends.add(id(operator))
        subgraph.operators = [operator for operator in subgraph.operators if id(operator) not in ends]
        for index in before:
            _skip(subgraph, index, _source(index, before), makers)
        drop_unread(subgraph)
        _check(model, subgraph)


def _check(model, subgraph):
    """Refuses a graph in which what a sine takes was, some operators of one tensor before, a cosine."""
    makers = {operator.outputs[0]: operator for operator in subgraph.operators if len(operator.outputs)}

    def before(operator):
        makers_of_inputs = [makers[index] for index in operator.inputs if index in makers]
        return makers_of_inputs[0] if len(makers_of_inputs) == 1 else None

    for operator in subgraph.operators:
        if opcode(model, operator) != _OPERATOR.SIN:
            continue
        origin = before(operator)
        while origin is not None and opcode(model, origin) != _OPERATOR.COS:
            origin = before(origin)
        if origin is not None:
            raise UserError(
                "tflite_int8: the converter has changed what keeps a layer in float, and the file would not compute what"
                " training did. Leave layers out of quantisation (layers=) until it converts, and report this."
            )


def _source(index, before):
    while index in before:
        index = before[index]
    return index


def _skip(subgraph, behind, source, makers):
    """Has whoever reads the tensor behind a barrier read the one in front of it."""
    if behind in subgraph.outputs and source in makers:  # the graph's output keeps its place
        maker = makers[source]
        maker.outputs = [behind if index == source else index for index in maker.outputs]
        behind, source = source, behind
    for operator in subgraph.operators:
        operator.inputs = [source if index == behind else index for index in operator.inputs]


def _around(call, *args, **kwargs):
    args, kwargs = keras.tree.map_structure(barrier, (args, kwargs))
    return keras.tree.map_structure(barrier, call(*args, **kwargs))


def barrier(value):
    """The two operators around a value: the cosine of a tensor of floats, and its sine; other values as they are."""
    if not tf.is_tensor(value) or not value.dtype.is_floating:
        return value
    between = tf.sin(tf.cos(value))
    mask = getattr(value, "_keras_mask", None)
    if mask is not None:
        between._keras_mask = mask
    return between
