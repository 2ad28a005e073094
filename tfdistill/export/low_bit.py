"""Weights as 8- or 4-bit integers in a TFLite graph of floats; written by ourselves, tensor by tensor.

ai-edge-quantizer leaves tables behind a GATHER in float and stores 4-bit rows of odd width, which the runtime reads wrong.
Where it cuts off tails it uses -8, which LiteRT's built-in kernels read wrong, and gives a channel of zeros the scale 0,
which XNNPACK refuses.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdistill.export import flatbuffer, grid, stored
from tfdistill.export.flatbuffer import constant, opcode

LARGE = 1024  # elements from which a weight has the bits asked for
SMALL = 64  # elements below which it stays as it is: a scale and an operator take as much room
_OPERATOR = schema.BuiltinOperator
_CHANNEL_AXIS = {  # the axis of the output channels
    _OPERATOR.FULLY_CONNECTED: 0,
    _OPERATOR.CONV_2D: 0,
    _OPERATOR.CONV_3D: 4,
    _OPERATOR.DEPTHWISE_CONV_2D: 3,
    _OPERATOR.TRANSPOSE_CONV: 0,
}
_VERSIONS = {
    _OPERATOR.EMBEDDING_LOOKUP: {8: 3, 4: 4},
    _OPERATOR.DEQUANTIZE: {8: 5, 4: 6},
    _OPERATOR.GATHER: {8: 2, 4: 7},
    _OPERATOR.FULLY_CONNECTED: {4: 12},
}
_TYPES = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4}


def store_weights(model, bits, smallest=SMALL, only_tables=False):
    """Stores every float weight of a graph as integers.

    Tables have one scale and only the rows that are looked up are turned into floats: EMBEDDING_LOOKUP does it itself
    for ids [batch], a DEQUANTIZE behind the GATHER for others. Kernels have a scale for each output channel and a
    DEQUANTIZE in front of their operator, which the runtime runs once, at the first call. A FULLY_CONNECTED takes 4-bit
    kernels as they are: it rounds its input to 8 bits, row by row, and multiplies integers, four times as fast for a large
    kernel as after a DEQUANTIZE. Vectors (biases) stay float.

    Args:
        model: `ModelT`, changed in place.
        bits: 8 or 4; of weights with at least 1,024 elements. Smaller ones have 8 bits, and so have tables of an odd
            width or not looked up by row: LiteRT reads 4-bit rows from byte to byte.
        smallest: elements below which a weight stays float.
        only_tables: whether kernels stay as they are.
    """
    for subgraph in model.subgraphs:
        _Rewrite(model, subgraph, bits, smallest, only_tables).run()


class _Rewrite:
    """The rewriting of one graph."""

    def __init__(self, model, subgraph, bits, smallest, only_tables):
        self.model, self.subgraph = model, subgraph
        self.bits, self.smallest, self.only_tables = bits, smallest, only_tables
        self.operators, self.floats = [], {}  # floats: {stored tensor: the one that has it in float, None if none has}

    def run(self):
        for operator in self.subgraph.operators:
            code = opcode(self.model, operator)
            if code == _OPERATOR.GATHER and self._is_stored_or_to_be(operator.inputs[0], rank=1):
                self._look_up(operator)
                continue
            if not self.only_tables and not (code == _OPERATOR.FULLY_CONNECTED and self._multiply(operator)):
                operator.inputs = [
                    self._in_float(index, _CHANNEL_AXIS.get(code) if place == 1 else None)
                    if self._is_stored_or_to_be(index, rank=2)
                    else index
                    for place, index in enumerate(operator.inputs)
                ]
            self.operators.append(operator)
        self.subgraph.operators = self.operators

    def _is_stored_or_to_be(self, index, rank):
        """Whether this tensor is a float weight of that many axes, large enough, or has become integers already."""
        if index < 0 or index in self.floats:
            return index in self.floats
        tensor = self.subgraph.tensors[index]
        if tensor.type != schema.TensorType.FLOAT32 or constant(self.model, tensor) is None:
            return False
        sizes = flatbuffer.shape(tensor)
        return sum(size > 1 for size in sizes) >= rank and np.prod(sizes) >= self.smallest

    def _multiply(self, operator):
        """Has a FULLY_CONNECTED take its kernel in 4 bits; returns whether it does."""
        index = operator.inputs[1]
        kernel = self.subgraph.tensors[index]
        if self.bits != 4 or np.prod(kernel.shape) < LARGE or not self._is_stored_or_to_be(index, rank=2):
            return False
        if index not in self.floats:
            self._store(kernel, 0, 4)
            self.floats[index] = None
        if len(kernel.quantization.scale) != kernel.shape[0]:
            return False  # a table, too, with one scale
        operator.opcodeIndex = self._code(_OPERATOR.FULLY_CONNECTED, 4)
        operator.builtinOptions.asymmetricQuantizeInputs = True
        return True

    def _look_up(self, gather):
        """A lookup of rows that are then turned into floats."""
        table, ids = (self.subgraph.tensors[index] for index in gather.inputs[:2])
        options = gather.builtinOptions
        by_row = len(table.shape) == 2 and not (options and (options.axis or options.batchDims))
        if gather.inputs[0] not in self.floats:
            self._store(table, None, self.bits if by_row and table.shape[1] % 2 == 0 else 8)
            self.floats[gather.inputs[0]] = None
        bits = 4 if table.type == schema.TensorType.INT4 else 8
        if by_row and len(ids.shape) == 1 and ids.type == schema.TensorType.INT32:
            gather.opcodeIndex = self._code(_OPERATOR.EMBEDDING_LOOKUP, bits)
            gather.inputs = [gather.inputs[1], gather.inputs[0]]
            gather.builtinOptionsType, gather.builtinOptions = schema.BuiltinOptions.NONE, None
            self.operators.append(gather)
            return
        if len(table.quantization.scale) > 1:  # a kernel, too
            gather.inputs = [self._in_float(gather.inputs[0], None), *gather.inputs[1:]]
            self.operators.append(gather)
            return
        gather.opcodeIndex = self._code(_OPERATOR.GATHER, bits)
        result = gather.outputs[0]
        rows = self._add_tensor_like(self.subgraph.tensors[result], table.type)
        self.subgraph.tensors[rows].quantization = table.quantization
        gather.outputs = [rows]
        self.operators += [gather, self._dequantize(rows, result, bits)]

    def _in_float(self, index, axis):
        """The tensor that has a weight in float, from a DEQUANTIZE in front of the first operator that reads it."""
        tensor = self.subgraph.tensors[index]
        if index not in self.floats:
            self._store(tensor, axis, self.bits)
        if self.floats.get(index) is None:
            self.floats[index] = self._add_tensor_like(tensor, schema.TensorType.FLOAT32)
            bits = 4 if tensor.type == schema.TensorType.INT4 else 8
            self.operators.append(self._dequantize(index, self.floats[index], bits))
        return self.floats[index]

    def _store(self, tensor, axis, bits):
        values = stored.reals(self.model, tensor)
        bits = bits if values.size >= LARGE else 8
        integers, scales = grid.to_integers(values, bits, axis)
        content = stored.pack_int4(integers) if bits == 4 else integers.reshape(-1).view(np.uint8)
        buffer = schema.BufferT()
        buffer.data = content
        self.model.buffers.append(buffer)
        tensor.buffer, tensor.type = len(self.model.buffers) - 1, _TYPES[bits]
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = scales
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
        tensor.quantization.quantizedDimension = axis or 0

    def _dequantize(self, source, target, bits):
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(_OPERATOR.DEQUANTIZE, bits)
        operator.inputs, operator.outputs = [source], [target]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        return operator

    def _code(self, builtin, bits):
        """The place of an operator in the file's list of operators, added where it is not in it."""
        version = _VERSIONS[builtin][bits]
        for place, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
                return place
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _add_tensor_like(self, pattern, type):
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.hasRank = pattern.shape, pattern.shapeSignature, True
        tensor.type, tensor.buffer = type, 0
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1
