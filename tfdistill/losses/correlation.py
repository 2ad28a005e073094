"""Pearson's correlation, finite and with a finite gradient whatever the data."""

from keras import ops

# Deviations below this share of the values' size are rounding, not variation.
ROUNDING = 1e-6
# Added to the product of the norms, as in the code of the authors of DIST.
EPSILON = 1e-8


def pearson_correlation(first, second, weights=1.0, axis=-1):
    """Returns the weighted correlation of two tensors along an axis.

        Σ w (x - x̄)(y - ȳ) / (sqrt(Σ w (x - x̄)²) sqrt(Σ w (y - ȳ)²) + 1e-8),    x̄ = Σ w x / Σ w

    Where either side is constant (to 1e-6 of its size, float32's rounding) there is no correlation to speak of: it is 0
    there, without gradient.

    Args:
        first, second: float32 tensors of the same shape.
        weights: tensor that broadcasts to their shape.
        axis: axis along which to correlate.

    >>> import keras
    >>> round(float(pearson_correlation(keras.ops.array([1.0, 2.0, 3.0]), keras.ops.array([1.0, 3.0, 2.0]))), 4)
    0.5
    """
    first_deviation, first_norm = _deviation(first, weights, axis)
    second_deviation, second_norm = _deviation(second, weights, axis)
    product = ops.sum(weights * first_deviation * second_deviation, axis=axis)
    return product / (first_norm * second_norm + EPSILON)


def _deviation(values, weights, axis):
    """Deviations from the mean and their norm; zeros without gradient where the values are constant."""
    weights = weights * ops.ones_like(values)
    mean = ops.divide_no_nan(
        ops.sum(weights * values, axis=axis, keepdims=True), ops.sum(weights, axis=axis, keepdims=True)
    )
    deviation = values - mean
    square = ops.sum(weights * deviation**2, axis=axis, keepdims=True)
    varies = square > ROUNDING**2 * ops.sum(weights * values**2, axis=axis, keepdims=True)
    # The root of 0 has no finite derivative, so it is never taken.
    norm = ops.where(varies, ops.sqrt(ops.where(varies, square, 1.0)), 0.0)
    return ops.where(varies, deviation, 0.0), ops.squeeze(norm, axis=axis)
