"""16-bit activations and 8-bit weights, through ai-edge-quantizer, with ranges that are extremes over all rows.

TensorFlow's converter refuses 16-bit activations for models that take ids ("Empty min/max for tensor serve_one_user").
"""

import contextlib
import importlib.util
import io
import warnings

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfdistill.errors import UserError
from tfdistill.export import compact, flatbuffer, low_bit

_NOT_QUANTIZED = ("INPUT", "OUTPUT", "GATHER", "DIV", "LOGISTIC", "SOFTMAX")
_MARGIN = 2  # one bit of sixteen for what lies beyond the rows that ranges are taken from
_RANGE_BITS = (
    12  # ranges are rounded up to so many bits: two signatures whose sums differ in the last bit get one scale
)


def check_is_installed():
    """Raises UserError unless ai-edge-quantizer can be imported."""
    if importlib.util.find_spec("ai_edge_quantizer") is None:
        raise UserError("tflite_int16: needs ai-edge-quantizer. Install it with pip install 'tfdistill[int16]'.")


def compute_in_sixteen_bits(model, batches):
    """Turns a float graph into one of 16-bit activations and 8-bit weights.

    Tables are int8 with one scale and give float rows; divisions and the function at the output stay float as well.

    Args:
        model: `ModelT` of float32, converted for both signatures; the constants have their names.
        batches: function that yields (signature, {field: array}), the rows that ranges are taken from.

    Returns: a new `ModelT`.
    """
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    low_bit.store_weights(model, bits=8, only_tables=True)
    compact.drop_unused(model)
    compact.share_buffers(model)
    names = _name_uniquely(model)
    content = flatbuffer.pack(model)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):  # it tells sizes, times and what it is for
        warnings.simplefilter("ignore", UserWarning)
        work = quantizer.Quantizer(bytearray(content))
        operation = qtyping.TFLOperationName
        work.add_static_config(
            regex=".*", operation_name=operation.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8
        )
        for name in _NOT_QUANTIZED:
            work.update_quantization_recipe(
                regex=".*", operation_name=operation[name], algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        try:
            quantized = work.quantize(_ranges(model, content, batches())).quantized_model
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"tflite_int16: ai-edge-quantizer cannot quantise this model: {reason}") from error
    result = flatbuffer.parse(bytes(quantized))
    for subgraph in result.subgraphs:
        for tensor in subgraph.tensors:
            tensor.name = names.get(flatbuffer.tensor_name(tensor))
    return result


def _name_uniquely(model):
    """Gives every tensor a name that no other has; returns {that name: the old one}."""
    names = {}
    for graph, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            name = f"graph_{graph}_tensor_{index}"
            names[name], tensor.name = tensor.name, name.encode()
    return names


def _ranges(model, content, batches):
    """{tensor: {"min", "max"}} of all floats computed in the graphs, symmetric, over all rows."""
    interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
    graphs = {entry.signatureKey.decode(): entry.subgraphIndex for entry in model.signatureDefs}
    runners = {signature: interpreter.get_signature_runner(signature) for signature in graphs}
    computed = {
        signature: [
            index
            for index, tensor in enumerate(model.subgraphs[graph].tensors)
            if tensor.type == schema.TensorType.FLOAT32 and flatbuffer.constant(model, tensor) is None
        ]
        for signature, graph in graphs.items()
    }
    limits = {}
    for signature, batch in batches:
        runners[signature](**batch)
        for index in computed[signature]:
            values, key = interpreter.get_tensor(index, graphs[signature]), (graphs[signature], index)
            if values.size:
                limits[key] = max(limits.get(key, 0.0), float(np.abs(values).max()))
    return {
        f"graph_{graph}_tensor_{index}": _symmetric(limit, len(model.subgraphs[graph].tensors[index].shape))
        for (graph, index), limit in limits.items()
    }


def _symmetric(limit, rank):
    if not np.isfinite(limit):
        raise UserError("calibration: the model computes numbers that are not finite on these rows.")
    fraction, exponent = np.frexp(_MARGIN * max(limit, np.finfo(np.float32).tiny * 2**20))
    limit = np.float32(np.ldexp(np.ceil(fraction * 2**_RANGE_BITS) / 2**_RANGE_BITS, exponent))
    shape = (1,) * rank
    return {"min": np.full(shape, -limit, np.float32), "max": np.full(shape, limit, np.float32)}
