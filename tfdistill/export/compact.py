"""A converted TFLite file without what only the converter needed, and with the names of the Keras model."""

import re

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfdistill.export.flatbuffer import constant, is_quantized, opcode

_OPERATOR = schema.BuiltinOperator
_PRODUCTS = ("MatMul", "Conv", "conv", "depthwise", "Tensordot", "Einsum", "einsum")  # how nodes that multiply begin
_WITH_KERNEL = (_OPERATOR.FULLY_CONNECTED, _OPERATOR.CONV_2D, _OPERATOR.DEPTHWISE_CONV_2D)


def name_constants(model, layer_names):
    """Names every constant after the layer it came from: "embed_user/embeddings", "hidden_1/kernel".

    The converter's names are those of TensorFlow nodes ("mlp_1/hidden_1_1/MatMul"). Names of intermediate results go;
    they are a twentieth of a small file.
    """
    for subgraph in model.subgraphs:
        widened = {
            operator.outputs[0]: operator.inputs[0]
            for operator in subgraph.operators
            if opcode(model, operator) == _OPERATOR.DEQUANTIZE
        }
        roles = {}
        for operator in subgraph.operators:
            if opcode(model, operator) in _WITH_KERNEL:
                constants = (widened.get(index, index) for index in operator.inputs[1:3])
                roles.update(zip(constants, ("kernel", "bias"), strict=False))
        boundary = {*subgraph.inputs, *subgraph.outputs}
        for index, tensor in enumerate(subgraph.tensors):
            if constant(model, tensor) is not None:
                tensor.name = _layer_path((tensor.name or b"").decode(), roles.get(index), layer_names).encode()
            elif index not in boundary:
                tensor.name = None


def drop_unused(model):
    """Removes tensors that no operator touches and operator codes that no operator has."""
    for subgraph in model.subgraphs:
        touched = {*subgraph.inputs, *subgraph.outputs}
        for operator in subgraph.operators:
            touched.update(index for index in (*operator.inputs, *operator.outputs) if index >= 0)
        places = {old: new for new, old in enumerate(sorted(touched))}
        places[-1] = -1  # an absent optional input
        subgraph.tensors = [subgraph.tensors[old] for old in sorted(touched)]
        for holder in (subgraph, *subgraph.operators):
            holder.inputs = [places[index] for index in holder.inputs]
            holder.outputs = [places[index] for index in holder.outputs]
        for definition in model.signatureDefs or []:
            if model.subgraphs[definition.subgraphIndex] is subgraph:
                for entry in (*definition.inputs, *definition.outputs):
                    entry.tensorIndex = places[entry.tensorIndex]
    operators = [operator for subgraph in model.subgraphs for operator in subgraph.operators]
    codes = sorted({operator.opcodeIndex for operator in operators})
    model.operatorCodes = [model.operatorCodes[code] for code in codes]
    for operator in operators:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)


def share_buffers(model):
    """Stores equal constants once, and leaves out calibration's leftovers.

    Two signatures share their weights this way; results computed at run time share the empty buffer 0; the ranges
    (minimum, maximum) that calibration left beside scale and zero point go.
    """
    kept, places, moved = [schema.BufferT()], {}, [0] * len(model.buffers)
    used = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    used |= {metadata.buffer for metadata in model.metadata or []}
    for index in sorted(used):
        data = model.buffers[index].data
        if data is None or len(data) == 0:
            continue
        content = np.asarray(data, np.uint8).tobytes()
        if content not in places:
            places[content] = len(kept)
            kept.append(model.buffers[index])
        moved[index] = places[content]
    model.buffers = kept
    for metadata in model.metadata or []:
        metadata.buffer = moved[metadata.buffer]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer = moved[tensor.buffer]
            if is_quantized(tensor):
                tensor.quantization.min = tensor.quantization.max = None
            else:
                tensor.quantization = None
        for operator in subgraph.operators:
            if operator.mutatingVariableInputs is not None and not any(operator.mutatingVariableInputs):
                operator.mutatingVariableInputs = None


def _layer_path(name, role, layer_names):
    nodes = name.split(";")  # all that the converter made this constant of
    if role == "kernel":
        nodes = [node for node in nodes if node.rpartition("/")[2].startswith(_PRODUCTS)] or nodes
    parts = nodes[0].split("/")
    if re.fullmatch(r"ReadVariableOp\d*", parts[-1]):  # numbered where both signatures read it
        return "/".join(parts[:-1])
    kept = []
    for part in parts[:-1]:
        # A scope entered a second time gets a number behind its name.
        stem = part if part in layer_names else part.rpartition("_")[0]
        if stem in layer_names:
            kept.append(stem)
    return "/".join([*kept, role if kept and role else parts[-1]])
