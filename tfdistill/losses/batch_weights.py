"""How sample weights enter losses between the rows of a batch."""

from keras import ops

from tfdistill.losses.reduction import weights_of


def batch_weights(outputs, sample_weight=None, mask=None):
    """Returns what each row counts in relations within a batch, and the factor of the whole loss.

    A loss between rows is no sum over examples, so `Σ w_i v_i / n` is taken apart: relations are computed with the
    weights relative to their mean over the rows that count at all (weight not 0), and the loss is multiplied by
    `Σ w_i / n`. Hence a row of weight 0 is as good as absent, weights of 0 and 1 select rows, and weights that are c
    times as large make the loss c times as large.

    Args:
        outputs: tensor `[batch, ..., k]`; each position in front of the last dimension is a row.
        sample_weight: weights `[batch]` or `[batch, ...]`, or `None`.
        mask: boolean tensor `[batch, ...]` of the rows that count, or `None`.

    Returns:
        float32 tensors: relative weights `[rows]`, and the factor, a scalar.

    >>> import keras
    >>> weights, factor = batch_weights(keras.ops.zeros((3, 2)), keras.ops.array([3.0, 0.0, 1.0]))
    >>> weights.numpy().tolist(), round(float(factor), 4)
    ([1.5, 0.0, 0.5], 1.3333)
    """
    counted, weights = weights_of(outputs[..., 0], sample_weight, mask)
    total = ops.sum(weights)
    rows_that_count = ops.sum(ops.cast(ops.not_equal(weights, 0.0), "float32"))
    relative = weights * ops.divide_no_nan(rows_that_count, total)
    return ops.reshape(relative, (-1,)), ops.divide_no_nan(total, ops.sum(counted))
