"""How sparse the weights of a model are."""

import keras
import numpy as np
from keras import ops

from tfdistill.parametrize.model import parametrized_parts
from tfdistill.parametrize.weights import weights_of
from tfdistill.sparsity.prunable import pruned_weights


def sparsity_of(model):
    """The share of zeros in every weight that a model computes with.

    Args:
        model: built Keras 3 model or layer, plain, or with transforms (as a whole or on some layers), or a
            `tfdistill.Distiller`, whose student and projectors are measured.

    Returns: {path: share of zeros from 0 to 1} of all kernels and tables, and whatever else is pruned.

    Raises:
        ValueError: for something else, and a model that is not built.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="hidden")])
    >>> model.layers[0].kernel.assign([[0.0, 3.0], [0.0, 0.0]]).shape
    TensorShape([2, 2])
    >>> sparsity_of(model)
    {'hidden/kernel': 0.75}
    """
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            f"`model` must be a Keras 3 model or layer. Received: {model!r} of type {type(model).__name__}"
        )
    if not model.variables:
        raise ValueError(f"{model.name!r} has no weights yet. Call it on a batch first.")
    parts, values = parametrized_parts(model), {}
    for part in parts:
        variables = part.model.variables
        values.update({id(variables[place]): value for place, value in part.transformed_values().items()})
    pruned = {id(weight.variable) for weight, _ in pruned_weights(model)}
    shares = {}
    for weight in weights_of(model.model if model in parts else model):
        if weight.is_multiplied or id(weight.variable) in pruned:
            value = ops.convert_to_numpy(values.get(id(weight.variable), weight.variable))
            shares[weight.path] = float(np.mean(value == 0))
    return shares
