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
from tfdistill.export.flatbuffer import opcode
from tfdistill.export.lean import drop_unread
from tfdistill.parametrize.places import operations_of
from tfdistill.quantization import kinds

_OPERATOR = schema.BuiltinOperator


@contextlib.contextmanager
def isolated(model, is_table_in_integers):
    """While the context lasts, barriers stand around the layers that compute in float, and their inner layers.

    Args:
        model: a functional model.
        is_table_in_integers: function of an Embedding layer: whether its rows may go on as integers.
    """
    inside = kinds.parts_of_units(model)
    units = [one for one in operations_of(model) if kinds.is_unit(one) and id(one) not in inside]
    floats = [
        unit
        for unit in units
        if not kinds.computes_in_integers(unit) and not (kinds.is_table(unit) and is_table_in_integers(unit))
    ]
    activations = [unit for unit in units if kinds.has_float_activation(unit)]
    with wrapping([(unit, _around) for unit in floats]), wrapping(
        [(unit, _around) for unit in activations], method="activation"
    ):
        yield


def remove_barriers(model):
    """Takes barriers out of a converted graph; `ModelT`, changed in place."""
    for subgraph in model.subgraphs:
        makers = {operator.outputs[0]: operator for operator in subgraph.operators if len(operator.outputs)}
        replaced = {}
        for operator in subgraph.operators:
            if opcode(model, operator) != _OPERATOR.FLOOR:
                continue
            before = makers.get(operator.inputs[0])
            if before is not None and opcode(model, before) == _OPERATOR.CEIL:
                replaced[operator.outputs[0]] = before.inputs[0]
        if not replaced:
            continue

        def source(index, replaced=replaced):
            while index in replaced:
                index = replaced[index]
            return index

        for operator in subgraph.operators:
            operator.inputs = [source(index) for index in operator.inputs]
        drop_unread(subgraph)


def _around(call, *args, **kwargs):
    args, kwargs = keras.tree.map_structure(_barrier, (args, kwargs))
    return keras.tree.map_structure(_barrier, call(*args, **kwargs))


def _barrier(value):
    if not tf.is_tensor(value) or not value.dtype.is_floating:
        return value
    between = tf.floor(tf.math.ceil(value))
    mask = getattr(value, "_keras_mask", None)
    if mask is not None:
        between._keras_mask = mask
    return between
