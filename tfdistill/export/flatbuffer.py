"""A TFLite file as Python objects: read, check, pack."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdistill.errors import UserError

IDENTIFIER = b"TFL3"
_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
# A string, a resource (an uninitialised variable) or a variant has no place in a file that must run on its own.
_NON_NUMERIC = {schema.TensorType.STRING, schema.TensorType.RESOURCE, schema.TensorType.VARIANT}


def parse(content, source="the converted model"):
    """Reads the bytes of a TFLite file into a `ModelT`; constants stay views into `content`.

    Raises:
        UserError: the bytes are not a TFLite file, or the file is cut short or damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise UserError(f"{source}: not a TFLite file (no {IDENTIFIER.decode()} mark in its first 8 bytes).")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        for buffer in model.buffers:
            if buffer.offset > 1:  # a constant behind the flatbuffer, as ai-edge-quantizer writes large ones
                if buffer.offset + buffer.size > len(content):
                    raise ValueError("a constant lies beyond the end")
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        for subgraph in model.subgraphs:
            for tensor in subgraph.tensors:
                constant(model, tensor)
            for operator in subgraph.operators:
                operator_name(model, operator)
        return model
    except Exception as error:
        raise UserError(f"{source}: damaged or cut short ({len(content)} bytes are there). Export it again.") from error


def read(path):
    """Reads a TFLite file; see `parse`."""
    try:
        with open(path, "rb") as file:
            return parse(file.read(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def pack(model):
    """The bytes of a TFLite file from a `ModelT`."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def opcode(model, operator):
    """The builtin code of an operator, `BuiltinOperator.CUSTOM` for a custom one."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def operator_name(model, operator):
    """The name of an operator: "FULLY_CONNECTED", or a custom operator's own name such as "FlexMatMul"."""
    code = opcode(model, operator)
    if code == schema.BuiltinOperator.CUSTOM:
        return (model.operatorCodes[operator.opcodeIndex].customCode or b"CUSTOM").decode()
    return _OPERATORS[code]


def constant(model, tensor):
    """The raw bytes of a constant tensor as uint8 [n]; None for a tensor computed at run time."""
    buffer = model.buffers[tensor.buffer]
    if buffer.data is None or len(buffer.data) == 0:
        return None
    return np.asarray(buffer.data, np.uint8)


def dtype(tensor):
    """The name of a tensor's type: "float32", "int8", ..."""
    return _DTYPES[tensor.type]


def shape(tensor):
    """The shape of a tensor as a list, with None for a dimension that varies."""
    known = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return [] if known is None else [None if size < 0 else int(size) for size in known]


def is_quantized(tensor):
    """Whether the tensor's integers stand for real numbers (it has a scale)."""
    return tensor.quantization is not None and tensor.quantization.scale is not None


def tensor_name(tensor):
    """The name of a tensor as text."""
    return (tensor.name or b"").decode()


def foreign_operators(model):
    """What a plain TFLite runtime cannot run: custom (Flex) operators, and those that touch strings or resources."""
    found = set()
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            tensors = [subgraph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
            if opcode(model, operator) == schema.BuiltinOperator.CUSTOM:
                found.add(operator_name(model, operator))
            elif any(tensor.type in _NON_NUMERIC for tensor in tensors):
                found.add(operator_name(model, operator))
    return sorted(found)
