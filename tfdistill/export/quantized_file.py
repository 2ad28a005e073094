"""The integers that training found, put into a converted TFLite graph in place of what the converter made of them."""

import itertools

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdistill.errors import UserError
from tfdistill.export import flatbuffer, stored
from tfdistill.export.flatbuffer import constant, opcode
from tfdistill.export.isolation import remove_barriers

_OPERATOR = schema.BuiltinOperator
_WITH_BIAS = {
    _OPERATOR.FULLY_CONNECTED: (1, 2),
    _OPERATOR.CONV_2D: (1, 2),
    _OPERATOR.CONV_3D: (1, 2),
    _OPERATOR.DEPTHWISE_CONV_2D: (1, 2),
    _OPERATOR.TRANSPOSE_CONV: (1, 3),
}
_DEQUANTIZE_VERSION = 5  # the first that takes int8 with a scale for each channel
# Operators that move numbers about, with the first version that takes int8.
_MOVING = {
    _OPERATOR.GATHER: 2,
    _OPERATOR.RESHAPE: 1,
    _OPERATOR.EXPAND_DIMS: 1,
    _OPERATOR.SQUEEZE: 1,
    _OPERATOR.TRANSPOSE: 2,
    _OPERATOR.STRIDED_SLICE: 2,
}
_PARTS = (1, 2, 3, 4)  # into how many the converter may cut a weight: a recurrent kernel into its gates
_EXACT = 1e-5  # relative: what float32 leaves of equal numbers
_SAMPLE = 64


def store_final_weights(model, weights):
    """Stores every weight that was rounded in training as the int8 numbers that it was rounded to.

    The converter finds scales of its own from the values. They are replaced, and biases with them. A weight that it left
    in float, since what it is multiplied with is in float, becomes int8 with a DEQUANTIZE before it, which the runtime
    runs once. Of a table only the rows looked up are turned into other numbers.

    Args:
        model: `ModelT`, changed in place.
        weights: list of `tfdistill.export.quantized.StoredWeight`.

    Raises:
        UserError: a weight is not in the file as int8, whichever way; names it.
    """
    remove_barriers(model)
    found = set()
    for subgraph in model.subgraphs:
        found |= _Graph(model, subgraph, weights).store()
    missing = [
        weight.path
        for place, weight in enumerate(weights)
        if not any(all((place, parts, part) in found for part in range(parts)) for parts in _PARTS)
    ]
    if missing:
        raise UserError(
            f"tflite_int8: the converted file does not hold the int8 weights of {', '.join(missing)}: the converter has"
            " merged them with other numbers. Leave them out of quantisation (layers=)."
        )


class _Graph:
    """The rewriting of one graph."""

    def __init__(self, model, subgraph, weights):
        self.model, self.subgraph, self.weights = model, subgraph, weights
        self.dequantizing = []  # operators to be run first

    def store(self):
        """Returns what is in this graph: (place in the list of weights, number of parts, which part)."""
        found = set()
        for index in range(len(self.subgraph.tensors)):
            tensor = self.subgraph.tensors[index]
            if constant(self.model, tensor) is None or flatbuffer.dtype(tensor) not in ("float32", "int8"):
                continue
            match = self._match(tensor)
            if match is None:
                continue
            which, integers, scales = match
            if flatbuffer.dtype(tensor) == "int8":
                self._replace(index, tensor, integers, scales)
            else:
                self._narrow(index, tensor, integers, scales)
            found.add(which)
        self.subgraph.operators = [*self.dequantizing, *self.subgraph.operators]
        self._requantize_in_float()
        return found

    def _requantize_in_float(self):
        """Goes from one int8 grid to another through float: XNNPACK's own way is up to half a step wrong."""
        for operator in list(self.subgraph.operators):
            if opcode(self.model, operator) == _OPERATOR.QUANTIZE:
                if self.subgraph.tensors[operator.inputs[0]].type == schema.TensorType.INT8:
                    operator.inputs = [self._in_float(operator.inputs[0])]

    def _match(self, tensor):
        """(which weight a tensor holds, see `store`; its integers and scales in the tensor's order of axes)."""
        values = stored.reals(self.model, tensor)
        is_float = flatbuffer.dtype(tensor) == "float32"
        best, least = None, np.inf
        for which, own_integers, own_scales in self._of_size(values.size):
            largest = np.abs(own_integers * own_scales).max(initial=0)
            # The converter rounds to 127 steps of a channel's, or the weight's, largest value.
            slack = _EXACT * largest if is_float else 0.51 * _steps(tensor, values.ndim) + _EXACT * largest
            for order in itertools.permutations(range(own_integers.ndim)):
                integers, scales = own_integers.transpose(order), own_scales.transpose(order)
                distance = _distance(integers * scales, values, slack)
                if distance < least:
                    best, least = (which, integers.reshape(values.shape), scales), distance
        return best

    def _of_size(self, size):
        """Yields (which weight, integers, scales) of all weights, and parts of weights, with so many elements."""
        for place, weight in enumerate(self.weights):
            channels, parts = weight.integers.shape[-1], weight.integers.size // size
            if parts not in _PARTS or parts * size != weight.integers.size or channels % parts:
                continue
            scales = np.broadcast_to(weight.scales, weight.integers.shape)
            pieces = zip(np.split(weight.integers, parts, -1), np.split(scales, parts, -1), strict=True)
            for part, (own_integers, own_scales) in enumerate(pieces):
                yield (place, parts, part), own_integers, own_scales

    def _replace(self, index, tensor, integers, scales):
        """New integers for a tensor that the operators read as int8."""
        scales, axis = _by_axis(scales.reshape(integers.shape))
        if scales is None:
            raise UserError(
                "tflite_int8: a weight has scales along several axes of its tensor, which TFLite cannot hold."
            )
        before = np.asarray(tensor.quantization.scale, np.float32)
        if len(before) > 1 and len(scales) == 1:
            scales, axis = np.repeat(scales, len(before)), tensor.quantization.quantizedDimension
        if scales.shape == before.shape and np.allclose(scales, before, rtol=_EXACT):
            scales = before  # equal but for rounding; what is computed from it stays in step
        self._fill(tensor, integers, scales, axis)
        for operator in self.subgraph.operators:
            places = _WITH_BIAS.get(opcode(self.model, operator))
            if places is None or index != operator.inputs[places[0]] or scales is before:
                continue
            if len(operator.inputs) > places[1] and operator.inputs[places[1]] >= 0:
                self._rescale_bias(operator, places[1], scales)

    def _rescale_bias(self, operator, place, scales):
        """A bias counts in steps of input and kernel."""
        old = self.subgraph.tensors[operator.inputs[place]]
        data_in = self.subgraph.tensors[operator.inputs[0 if place == 2 else 2]]
        steps = np.asarray(data_in.quantization.scale, np.float64)[0] * scales.astype(np.float64)
        values = stored.integers(self.model, old) * np.asarray(old.quantization.scale, np.float64)
        new = schema.TensorT()
        vars(new).update(vars(old))
        self._fill(new, np.round(values / steps).astype(np.int32), steps.astype(np.float32), 0)
        self.subgraph.tensors.append(new)
        operator.inputs = [*operator.inputs[:place], len(self.subgraph.tensors) - 1, *operator.inputs[place + 1 :]]

    def _narrow(self, index, tensor, integers, scales):
        """An int8 tensor in front of one that operators read as float."""
        scales = scales.reshape(integers.shape)
        flat, axis = _by_axis(scales)
        if flat is not None and len(flat) == 1:
            self._fill(tensor, integers, flat, 0)
            tensor.type = schema.TensorType.INT8
            self._spread(index)
            return
        shape = list(tensor.shape)
        if flat is None:  # channels along several axes: stored as rows and columns
            shape = [int(np.prod([size for size, own in zip(shape, _varies(scales), strict=True) if not own])), -1]
            flat, axis = _by_axis(scales.reshape(shape))
            if flat is None:
                raise UserError("tflite_int8: a weight has scales along axes that are apart, which TFLite cannot hold.")
        narrow, wide = schema.TensorT(), index
        narrow.shape, narrow.hasRank, narrow.name = list(integers.reshape(shape).shape), True, tensor.name
        narrow.type = schema.TensorType.INT8
        self._fill(narrow, integers, flat, axis)
        self.subgraph.tensors.append(narrow)
        source = len(self.subgraph.tensors) - 1
        tensor.buffer = 0
        if len(narrow.shape) != len(tensor.shape):
            between = schema.TensorT()
            between.shape, between.hasRank, between.type, between.buffer = narrow.shape, True, tensor.type, 0
            self.subgraph.tensors.append(between)
            wide = len(self.subgraph.tensors) - 1
        self.dequantizing.append(self._dequantize(source, wide))
        if wide != index:
            reshape = self._operator(_OPERATOR.RESHAPE, 1, [wide, self._shape_tensor(tensor.shape)], [index])
            reshape.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
            reshape.builtinOptions = schema.ReshapeOptionsT()
            reshape.builtinOptions.newShape = list(tensor.shape)
            self.dequantizing.append(reshape)

    def _spread(self, index):
        """Has the operators that read a tensor, which is int8 by now with one scale, read it so as far as they can."""
        narrow, wide = self.subgraph.tensors[index], None
        for operator in list(self.subgraph.operators):
            if index not in operator.inputs:
                continue
            code = opcode(self.model, operator)
            is_moved = code in _MOVING and operator.inputs[0] == index and list(operator.inputs).count(index) == 1
            if is_moved and operator.outputs[0] not in self.subgraph.outputs:
                result = self.subgraph.tensors[operator.outputs[0]]
                result.type, result.quantization = schema.TensorType.INT8, narrow.quantization
                operator.opcodeIndex = self._operator(code, _MOVING[code], [], []).opcodeIndex
                self._spread(operator.outputs[0])
            elif code != _OPERATOR.QUANTIZE:
                wide = self._in_float(index) if wide is None else wide
                operator.inputs = [wide if one == index else one for one in operator.inputs]

    def _in_float(self, index):
        """A new tensor with the reals of an int8 one, from a DEQUANTIZE behind the operator that makes that."""
        pattern, wide = self.subgraph.tensors[index], schema.TensorT()
        wide.shape, wide.shapeSignature, wide.hasRank = pattern.shape, pattern.shapeSignature, True
        wide.type, wide.buffer = schema.TensorType.FLOAT32, 0
        self.subgraph.tensors.append(wide)
        operator = self._dequantize(index, len(self.subgraph.tensors) - 1)
        if constant(self.model, pattern) is not None:
            self.dequantizing.append(operator)
        else:
            operators = self.subgraph.operators
            place = next(place for place, one in enumerate(operators) if index in one.outputs)
            self.subgraph.operators = [*operators[: place + 1], operator, *operators[place + 1 :]]
        return len(self.subgraph.tensors) - 1

    def _dequantize(self, source, target):
        operator = self._operator(_OPERATOR.DEQUANTIZE, _DEQUANTIZE_VERSION, [source], [target])
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        return operator

    def _fill(self, tensor, integers, scales, axis):
        """Gives a tensor content of its own; another graph may share what it had."""
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(integers).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = scales
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
        tensor.quantization.quantizedDimension = axis

    def _shape_tensor(self, shape):
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.asarray(shape, np.int32).view(np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer, tensor.shape, tensor.type = len(self.model.buffers) - 1, [len(shape)], schema.TensorType.INT32
        tensor.hasRank = True
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def _operator(self, builtin, version, inputs, outputs):
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = inputs, outputs
        for place, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version >= version:
                operator.opcodeIndex = place
                return operator
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        return operator


def _steps(tensor, rank):
    """The scale of every element of an int8 tensor, broadcastable to it."""
    scale = np.asarray(tensor.quantization.scale, np.float32)
    if len(scale) == 1:
        return scale[0]
    return scale.reshape([-1 if axis == tensor.quantization.quantizedDimension else 1 for axis in range(rank)])


def _distance(expected, values, slack):
    """The largest difference of two arrays with as many elements, infinite where it exceeds the slack."""
    expected = expected.reshape(values.shape)
    if np.ndim(slack) == 0 and values.size > _SAMPLE:
        if np.abs(expected.ravel()[:_SAMPLE] - values.ravel()[:_SAMPLE]).max() > slack:
            return np.inf
    difference = np.abs(expected - values)
    return difference.max(initial=0) if (difference <= slack).all() else np.inf


def _varies(scales):
    """For every axis, whether scales differ along it."""
    return [size > 1 and not (scales == scales.take([0], axis)).all() for axis, size in enumerate(scales.shape)]


def _by_axis(scales):
    """(one scale, or one for each place along an axis; the axis) of scales of a tensor's shape; (None, None) for more."""
    axes = [axis for axis, varies in enumerate(_varies(scales)) if varies]
    if len(axes) > 1:
        return None, None
    if not axes:
        return scales.reshape(-1)[:1].astype(np.float32), 0
    index = tuple(slice(None) if axis == axes[0] else 0 for axis in range(scales.ndim))
    return scales[index].astype(np.float32), axes[0]
