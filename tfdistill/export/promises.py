"""Whether a converted file holds what its model promises: zeros, shared values, narrow integers, no foreign operator."""

import dataclasses
import itertools
import math

import numpy as np

from tfdistill._families import is_tf_keras
from tfdistill.errors import UserError
from tfdistill.export import flatbuffer, stored
from tfdistill.parametrize import weights_of

LARGE = 1024  # elements from which a weight has to have the type of the format
SPARSE = 0.05  # share of exact zeros from which a weight counts as pruned
MOST_SHARED = 256  # a weight with no more distinct values counts as clustered ...
VALUES_A_SHARED = 4  # ... if it has this many times as many elements
_SAME_NAME, _SAME_CONTENT = 0.7, 0.9  # similarity from which a tensor of the name, or of any name, is the weight
_SHORT = 8  # numbers that are too few to tell channels apart by
_TYPES = {
    "tflite_float32": ("float32",),
    "tflite_float16": ("float16",),
    "tflite_dynamic_int8": ("int8",),
    "tflite_weight_only_int8": ("int8",),
    "tflite_int8": ("int8",),
    "tflite_int16": ("int8", "int16"),
    "tflite_int4": ("int4",),
}


@dataclasses.dataclass(frozen=True)
class Promise:
    """What a weight of a model promises of its tensor in the file.

    Attributes:
        path: the weight's path, "hidden_1/kernel".
        value: float array, as in the model.
        is_sparse: whether its zeros have to be zeros in the file.
        distinct: how many distinct values there may be; `None` for any number.
    """

    path: str
    value: np.ndarray
    is_sparse: bool
    distinct: int | None


def promises_of(model, used=None, value=None):
    """The promises of a model's kernels and tables.

    A weight of which at least a twentieth is exactly zero (but not all of it) is pruned: zeros must stay zeros. One with
    at most 256 distinct values, and at least four times as many elements, is clustered: values that are equal must stay
    equal, within each channel where channels have scales of their own.

    Args:
        model: plain `keras.Model`, or one of tf_keras.
        used: paths of the variables that the exported function reads; `None` for all.
        value: function that gives a variable's value, an array, where that is not its own: quantised in training.

    Returns: list of `Promise`.
    """
    promises = []
    for name, path, variable in _multiplied(model):
        if used is not None and name not in used:
            continue
        array = np.asarray(variable.numpy() if value is None else value(variable), np.float32)
        zeros, distinct = np.count_nonzero(array == 0) / max(array.size, 1), _distinct(array)
        is_sparse = SPARSE <= zeros < 1
        if is_sparse or distinct is not None:
            promises.append(Promise(path, array, is_sparse, distinct))
    return promises


def _multiplied(model):
    """The kernels and tables of a model: (the variable's name in an exported module, the weight's path, the variable)."""
    if is_tf_keras(model):
        named = [(variable.name.partition(":")[0], variable) for variable in model.trainable_variables]
        return [(name, name, one) for name, one in named if len(one.shape) >= 2 and "bias" not in name]
    return [(one.variable.path, one.path, one.variable) for one in weights_of(model) if one.is_multiplied]


def check_promises(promises, content, format, types=True):
    """Looks into the bytes of a TFLite file for what was promised.

    Args:
        promises: what `promises_of` returned.
        content: the file's bytes.
        format: one of `tfdistill.export.FORMATS`: every constant of two axes or more and at least 1,024 elements has to
            be stored in its type.
        types: whether to look at the types; a model quantised in training may leave weights in float.

    Raises:
        UserError: a promise is broken, or the tensor of a weight with one is not in the file; names the weight.
    """
    model = flatbuffer.parse(content)
    foreign = flatbuffer.foreign_operators(model)
    if foreign:
        raise UserError(f"{format}: the plain TFLite runtime cannot run {', '.join(foreign)}.")
    if types:
        _check_types(model, format)
    constants = list(_constants(model)) if promises else []
    for promise in promises:
        matches = _matches(promise, constants, model)
        if not matches:
            kind = "pruned" if promise.is_sparse else "clustered"
            raise UserError(
                f"{promise.path}: is {kind} in the model, and no tensor of the {format} file is it: the conversion"
                " worked something else out of it. Leave this weight out of pruning and clustering."
            )
        for found in matches:
            _check_match(promise, found, format)


def _check_types(model, format):
    for subgraph in model.subgraphs:
        readers = {}
        for operator in subgraph.operators:
            for index in operator.inputs:
                readers.setdefault(index, []).append(operator)
        for index, tensor in enumerate(subgraph.tensors):
            shape, dtype = flatbuffer.shape(tensor), flatbuffer.dtype(tensor)
            if flatbuffer.constant(model, tensor) is None or not (_is_float(dtype) or flatbuffer.is_quantized(tensor)):
                continue
            if math.prod(shape) < LARGE or sum(size > 1 for size in shape) < 2:
                continue
            allowed = _TYPES[format]
            if format == "tflite_int4" and any(
                _reads_bytes(model, operator, shape) for operator in readers.get(index, [])
            ):
                allowed = ("int8",)
            if dtype not in allowed:
                name = flatbuffer.tensor_name(tensor) or f"a constant of shape {shape}"
                raise UserError(f"{name}: is {dtype} in the {format} file, which promises {' or '.join(allowed)}.")


def _reads_bytes(model, operator, shape):
    """Whether an operator looks rows up that do not fill whole bytes with 4-bit numbers, or something other than rows."""
    name, options = flatbuffer.operator_name(model, operator), operator.builtinOptions
    if name not in ("GATHER", "EMBEDDING_LOOKUP"):
        return False
    return len(shape) != 2 or shape[1] % 2 == 1 or bool(name == "GATHER" and (options.axis or options.batchDims))


def _constants(model):
    """Every constant of real numbers in the file, each once: (tensor, subgraph's tensors apart)."""
    seen = set()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if flatbuffer.constant(model, tensor) is None or tensor.buffer in seen:
                continue
            if _is_float(flatbuffer.dtype(tensor)) or flatbuffer.is_quantized(tensor):
                seen.add(tensor.buffer)
                yield tensor


def _matches(promise, constants, model):
    """[(tensor's name, its values arranged ...)] of the tensors that are this weight: pairs of arrays of one shape."""
    named, others = [], []
    for tensor in constants:
        if math.prod(flatbuffer.shape(tensor)) != promise.value.size:
            continue
        values = stored.reals(model, tensor)
        arranged, similarity = _arranged(promise.value, values)
        if _is_named(flatbuffer.tensor_name(tensor), promise.path) and similarity > _SAME_NAME:
            named.append((arranged, values))
        elif similarity > _SAME_CONTENT:
            others.append((arranged, values))
    return named or others


def _is_named(name, path):
    return bool(name) and (f"/{path}".endswith(f"/{name}") or f"/{name}".endswith(f"/{path}"))


def _arranged(value, target):
    """A weight with its axes in the order that is most like a tensor's, in the tensor's shape, and how like it is."""
    best, similarity = value.reshape(target.shape), -1.0
    for order in itertools.permutations(range(value.ndim)):
        candidate = value.transpose(order).reshape(target.shape)
        likeness = _similarity(candidate, target)
        if likeness > similarity:
            best, similarity = candidate, likeness
    return best, similarity


def _similarity(first, second):
    """The cosine of two arrays, of their channels where a normalisation may have given each a factor; 0 to 1."""
    return max(_cosine(first, second, axis) for axis in (None, 0, first.ndim - 1))


def _cosine(first, second, axis):
    if axis is None or first.size // max(first.shape[axis], 1) < _SHORT:
        first, second = first.reshape(1, -1), second.reshape(1, -1)
    else:
        first, second = (np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for array in (first, second))
    products = np.abs((first * second).sum(axis=1)).sum()
    lengths = (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)).sum()
    return float(products / lengths) if lengths else 0.0


def _check_match(promise, found, format):
    value, in_file = found
    if promise.is_sparse:
        lost = np.count_nonzero(in_file[value == 0])
        if lost:
            zeros = np.count_nonzero(value == 0)
            raise UserError(
                f"{promise.path}: {lost:,} of its {zeros:,} zeros are not zero in the {format} file. Pruning promises"
                " that they are."
            )
    if promise.distinct is not None and not _shares(value, in_file, promise.distinct):
        raise UserError(
            f"{promise.path}: has {promise.distinct} distinct values in the model and {len(np.unique(in_file))} in the"
            f" {format} file. A normalisation in front of a layer is multiplied into its kernel: put it behind, or leave"
            " this weight out of clustering."
        )


def _shares(value, in_file, most):
    """Whether values are shared in the file as in the model: over all, or within every channel."""
    if len(np.unique(in_file)) <= most:
        return True
    return any(
        all(
            len(np.unique(in_file.take(place, axis))) <= len(np.unique(value.take(place, axis)))
            for place in range(value.shape[axis])
        )
        for axis in (0, value.ndim - 1)
    )


def _distinct(value):
    """The number of distinct values of a clustered weight; `None` for one that is not."""
    most = min(MOST_SHARED, value.size // VALUES_A_SHARED)
    if most < 1 or len(np.unique(value.reshape(-1)[: 4 * MOST_SHARED])) > most:
        return None
    count = len(np.unique(value))
    return count if count <= most else None


def _is_float(dtype):
    return "float" in dtype
