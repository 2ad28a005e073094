"""What is in a TFLite file, read from the file itself; neither TensorFlow nor Keras is imported."""

import collections
import math

import numpy as np

from tfdistill import files
from tfdistill.export import flatbuffer, stored
from tfdistill.export.flops import operator_flops, total
from tfdistill.export.sizes import gzip_bytes
from tfdistill.export.spread import spread_of

_REAL = ("float32", "float16", "bfloat16", "float64")


def inspect_tflite(path):
    """Reads signatures, operators, weights and cost from a TFLite file.

    Operators, weights, parameters and operations are those of one graph, `serve_one` where the file has it: a second
    signature over the same weights adds nothing to them.

    Returns: a dict
        format: "tflite"; path; bytes; gzip_bytes
        signatures: [{"name", "inputs": [{"name", "dtype", "shape"}], "outputs": [...]}], None in a shape for a
            dimension that varies
        operators: {operator: how often}, most frequent first
        layers: the weights (constants that stand for real numbers, scalars left out), largest first:
            [{"name", "dtype", "shape", "bytes", "zeros", "distinct"}], each shared buffer once; zeros is the share that
            stands for exactly zero, distinct the number of distinct stored values
        parameters: elements of these weights
        flops: operations for one example, see `tfdistill.export.flops`
        foreign_operators: operators that the plain runtime cannot run (Flex, custom, strings); [] for our exports

    Raises:
        UserError: no such file, not a TFLite file, or a damaged one.

    >>> inspect_tflite("student.tflite")["operators"]["FULLY_CONNECTED"]
    3
    """
    model = flatbuffer.read(path)
    definitions = sorted(model.signatureDefs or [], key=lambda definition: definition.subgraphIndex)
    signatures = [_signature(model, definition) for definition in definitions]
    by_name = {definition.signatureKey.decode(): definition.subgraphIndex for definition in definitions}
    main = model.subgraphs[by_name.get("serve_one", by_name.get("serving_default", 0))]
    operators = collections.Counter(flatbuffer.operator_name(model, operator) for operator in main.operators)
    layers, parameters = _weights(model, main)
    return {
        "format": "tflite",
        "path": str(path),
        "bytes": files.size(path),
        "gzip_bytes": gzip_bytes(path),
        "parameters": parameters,
        "flops": total(_operator_flops(model, main, operator) for operator in main.operators),
        "signatures": signatures,
        "operators": dict(operators.most_common()),
        "layers": layers,
        "foreign_operators": flatbuffer.foreign_operators(model),
    }


def _signature(model, definition):
    tensors = model.subgraphs[definition.subgraphIndex].tensors

    def described(maps):
        return [
            {
                "name": entry.name.decode(),
                "dtype": flatbuffer.dtype(tensors[entry.tensorIndex]),
                "shape": flatbuffer.shape(tensors[entry.tensorIndex]),
            }
            for entry in maps
        ]

    name = definition.signatureKey.decode()
    return {"name": name, "inputs": described(definition.inputs), "outputs": described(definition.outputs)}


def _weights(model, subgraph):
    layers, parameters, seen = [], 0, set()
    for tensor in subgraph.tensors:
        content = flatbuffer.constant(model, tensor)
        stands_for_reals = flatbuffer.dtype(tensor) in _REAL or flatbuffer.is_quantized(tensor)
        if content is None or not flatbuffer.shape(tensor) or not stands_for_reals:
            continue
        parameters += math.prod(flatbuffer.shape(tensor))
        if tensor.buffer in seen:
            continue
        seen.add(tensor.buffer)
        layers.append(
            {
                "name": flatbuffer.tensor_name(tensor),
                "dtype": flatbuffer.dtype(tensor),
                "shape": flatbuffer.shape(tensor),
                "bytes": len(content),
                **spread_of(stored.integers(model, tensor), _zero(tensor)),
            }
        )
    return sorted(layers, key=lambda layer: (-layer["bytes"], layer["name"])), parameters


def _zero(tensor):
    """The stored number, or one a channel, that stands for zero."""
    points = tensor.quantization.zeroPoint if flatbuffer.is_quantized(tensor) else None
    if points is None or len(points) == 0:
        return 0
    shape = [-1 if axis == tensor.quantization.quantizedDimension else 1 for axis in range(len(tensor.shape))]
    return points[0] if len(points) == 1 else np.reshape(points, shape)


def _operator_flops(model, subgraph, operator):
    def shapes(indices):
        return [[size or 1 for size in flatbuffer.shape(subgraph.tensors[i])] for i in indices if i >= 0]

    return operator_flops(
        flatbuffer.operator_name(model, operator),
        shapes(operator.inputs),
        shapes(operator.outputs),
        left_is_transposed=bool(getattr(operator.builtinOptions, "adjX", False)),
        activation=bool(getattr(operator.builtinOptions, "fusedActivationFunction", 0)),
    )
