"""From one value an example to the loss of a batch."""

from keras import ops

from tfdistill._replicas import mean_over_replicas


def reduce_loss(values, sample_weight=None, mask=None, reduction="sum_over_batch_size"):
    """Reduces the values of a batch to a scalar, the way Keras reduces its own losses.

    `"sum_over_batch_size"` (and `"mean"`): `Σ w_i v_i / n`, with n the number of values and not the sum of the weights,
    so a weight of 2 counts like the example twice. `"sum"`: `Σ w_i v_i`. `"mean_with_sample_weight"`:
    `Σ w_i v_i / Σ w_i`. `None`: like `"sum_over_batch_size"`, since the loss of a batch is a scalar.

    Args:
        values: float tensor `[batch, ...]`; a scalar is returned as it is.
        sample_weight: tensor that lacks trailing dimensions of `values` at most, or has one more of size 1.
        mask: boolean tensor of the rank of `values` (another is ignored); values that are masked out count neither in
            the sum nor in n.
        reduction: see above.

    >>> import keras
    >>> float(reduce_loss(keras.ops.array([1.0, 3.0]), sample_weight=keras.ops.array([2.0, 1.0])))  # (2 + 3) / 2
    2.5
    """
    values = ops.cast(values, "float32")
    if len(values.shape) == 0:
        return values
    counted, weights = weights_of(values, sample_weight, mask)
    total = ops.sum(values * weights)
    if reduction == "sum":
        return total
    count = ops.sum(weights if reduction == "mean_with_sample_weight" else counted)
    if mask is not None or reduction == "mean_with_sample_weight":
        count = mean_over_replicas(count)  # replicas with less to count count less
    return ops.divide_no_nan(total, count)


def weights_of(values, sample_weight=None, mask=None):
    """Returns float32 tensors shaped like `values`: 1 for what counts and 0 for what is masked out, and that weighted."""
    counted = ops.ones_like(values, dtype="float32")
    if mask is not None and len(mask.shape) == len(values.shape):
        counted = counted * ops.cast(mask, "float32")
    return counted, counted if sample_weight is None else counted * _aligned(sample_weight, values)


def _aligned(weights, values):
    weights = ops.cast(weights, "float32")
    if len(weights.shape) == len(values.shape) + 1 and weights.shape[-1] == 1:
        return ops.squeeze(weights, axis=-1)
    while len(weights.shape) < len(values.shape):
        weights = ops.expand_dims(weights, axis=-1)
    return weights
