"""One answer out of several teachers' answers."""

from keras import ops

from tfdistill.losses.probabilities import resolve_task


def mean_logits(logits, weights):
    """`Σ_k w_k z_k`, the weighted mean of the teachers' logits.

    Args:
        logits: `[K, batch, ..., classes]`.
        weights: `[K]`, or `[K, batch, ...]` for weights of their own for each example; they add up to 1.

    Returns: float32 `[batch, ..., classes]`.

    >>> import keras
    >>> mean_logits(keras.ops.array([[[1.0]], [[5.0]]]), keras.ops.array([0.75, 0.25]))[0, 0].numpy().item()
    2.0
    """
    logits = ops.cast(logits, "float32")
    weights = _for_each_entry(weights, logits)
    # A teacher that does not count must not count where its logits are infinite either.
    return ops.sum(ops.where(weights > 0.0, weights * logits, 0.0), axis=0)


def mean_probabilities(logits, weights, temperature=1.0, task="auto"):
    """Logits whose softmax (or sigmoid) at `temperature` is the weighted mean of the teachers' probabilities there.

    Categorical: `T log Σ_k w_k softmax(z_k / T)`. Binary: `T (log Σ_k w_k σ(z_k / T) - log Σ_k w_k σ(-z_k / T))`.

    A student that learns from this mean by cross-entropy or KL divergence at the same temperature gets the gradient of
    `Σ_k w_k CE(teacher k, student)`, since the cross-entropy is linear in the teacher's probabilities.

    Args:
        logits, weights: as in `mean_logits`.
        temperature: positive number T.
        task: `"auto"`, `"binary"` or `"categorical"`, as in `tfdistill.losses.LogitsDistillation`.

    Returns: float32 `[batch, ..., classes]`, categorical ones normalised: `log_softmax(result / T) = result / T`.

    >>> import keras
    >>> logits = keras.ops.log(keras.ops.array([[[0.9, 0.1]], [[0.5, 0.5]]]))
    >>> mean = mean_probabilities(logits, keras.ops.array([0.5, 0.5]))
    >>> [round(float(p), 4) for p in keras.ops.softmax(mean)[0]]
    [0.7, 0.3]
    """
    logits = ops.cast(logits, "float32") / temperature
    log_weights = ops.log(_for_each_entry(weights, logits))
    if resolve_task(task, logits) == "categorical":
        return temperature * ops.logsumexp(log_weights + ops.log_softmax(logits), axis=0)
    present = ops.logsumexp(log_weights - ops.softplus(-logits), axis=0)
    absent = ops.logsumexp(log_weights - ops.softplus(logits), axis=0)
    return temperature * (present - absent)


def _for_each_entry(weights, logits):
    weights = ops.cast(weights, "float32")
    return ops.reshape(weights, (-1, *[1] * (len(logits.shape) - 1))) if len(weights.shape) == 1 else weights[..., None]
