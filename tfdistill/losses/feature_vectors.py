"""Features as float32 tensors and as one vector an example, whatever layer they come from."""

import math

from keras import ops

# Below this squared length a vector has no direction that float32 could tell.
SMALLEST_SQUARED_LENGTH = 1e-24


def as_features(outputs):
    """What a layer computed, in float32 and 0 at the steps that its Keras mask leaves out.

    Args:
        outputs: tensor `[batch, ...]` of any dtype.
    """
    features = ops.cast(ops.convert_to_tensor(outputs), "float32")
    mask = getattr(outputs, "_keras_mask", None)
    if mask is None or len(mask.shape) > len(features.shape):
        return features
    mask = ops.cast(mask, "bool")
    while len(mask.shape) < len(features.shape):
        mask = ops.expand_dims(mask, axis=-1)
    return ops.where(mask, features, 0.0)


def as_vectors(outputs):
    """The same as one vector an example, `[batch, dimensions]`."""
    features = as_features(outputs)
    width = vector_width(features.shape)
    return ops.reshape(features, (ops.shape(features)[0], -1) if width is None else (-1, width))


def vector_width(shape):
    """The number of features of an example, of outputs of this shape; `None` where it is not known."""
    return None if None in tuple(shape)[1:] else math.prod(tuple(shape)[1:])


def unit_vectors(vectors, weights=1.0):
    """Vectors `[..., dimensions]` scaled to length 1. A vector of zeros stays one and passes no gradient on.

    Args:
        vectors: float32 tensor.
        weights: how much each dimension counts in the length, a number or a tensor `[dimensions]`.
    """
    squared_length = ops.sum(weights * ops.square(vectors), axis=-1, keepdims=True)
    has_direction = squared_length > SMALLEST_SQUARED_LENGTH
    return vectors * ops.where(has_direction, ops.rsqrt(ops.where(has_direction, squared_length, 1.0)), 0.0)
