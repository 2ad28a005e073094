"""How much each of several teachers counts for an example."""

import keras
from keras import ops

from tfdistill.losses.probabilities import resolve_task

LARGEST_ERROR = 1e30  # a teacher that rules out the true class is infinitely wrong; a softmax needs a finite number


def entropy_weights(logits, task="auto"):
    """Weights of the teachers for each example: the surer, the more.

    `w_k = (1 - H_k / Σ_j H_j) / (K - 1)`, with `H_k` the entropy of teacher k's distribution (for several labels, the
    sum of their entropies). They add up to 1. Where all are certain, and for K = 1, they are equal.

    Args:
        logits: `[K, batch, ..., classes]`, of K teachers.
        task: `"auto"`, `"binary"` or `"categorical"`, as in `tfdistill.losses.LogitsDistillation`.

    Returns: float32 `[K, batch, ...]`.

    >>> import keras
    >>> logits = keras.ops.array([[[0.0, 0.0]], [[50.0, 0.0]]])  # one of two teachers knows
    >>> keras.ops.convert_to_numpy(entropy_weights(logits)).tolist()
    [[0.0], [1.0]]
    """
    logits = ops.cast(logits, "float32")
    if logits.shape[0] == 1:
        return ops.ones(ops.shape(logits)[:-1], dtype="float32")
    if resolve_task(task, logits) == "binary":
        entropies = ops.sum(_product(ops.sigmoid(logits), ops.softplus(-logits)), axis=-1)
        entropies += ops.sum(_product(ops.sigmoid(-logits), ops.softplus(logits)), axis=-1)
    else:
        entropies = ops.sum(_product(ops.softmax(logits), -ops.log_softmax(logits)), axis=-1)
    total = ops.sum(entropies, axis=0, keepdims=True)
    shares = entropies / ops.where(total > 0.0, total, 1.0)
    return _lacking(ops.where(total > 0.0, shares, 1.0 / logits.shape[0]))


def confidence_weights(logits, labels, task="auto"):
    """Weights of the teachers for each example by how well they know its label (CA-MKD).

    `w_k = (1 - softmax_k(CE_k)) / (K - 1)`, with `CE_k` the cross-entropy of teacher k against the label (for several
    labels, the mean of theirs). They add up to 1. An example without a usable label counts all teachers equally: where
    `labels` is `None`, or the label is negative, NaN, beyond the classes, or no whole number. For K = 1 they are 1.

    Args:
        logits: `[K, batch, ..., classes]`, of K teachers.
        labels: classes `[batch, ...]` (or with a last dimension of 1) or distributions `[batch, ..., classes]`; of a
            binary task, 0 to 1 in the shape of the logits (for one logit, `[batch]` will do); or `None`.
        task: `"auto"`, `"binary"` or `"categorical"`, as in `tfdistill.losses.LogitsDistillation`.

    Returns: float32 `[K, batch, ...]`.

    Raises:
        ValueError: for labels whose shape suits neither.

    >>> import keras
    >>> logits = keras.ops.array([[[50.0, 0.0]], [[0.0, 50.0]]])
    >>> keras.ops.convert_to_numpy(confidence_weights(logits, keras.ops.array([1]))).tolist()
    [[0.0], [1.0]]

    Reference: Zhang, Chen and Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", 2022, arXiv 2201.00007.
    """
    logits = ops.cast(logits, "float32")
    task = resolve_task(task, logits)
    equal = 1.0 / logits.shape[0]
    if labels is None or logits.shape[0] == 1:
        return ops.full(ops.shape(logits)[:-1], equal, dtype="float32")
    errors, usable = (_binary_errors if task == "binary" else _categorical_errors)(
        logits, ops.convert_to_tensor(labels)
    )
    shares = ops.softmax(ops.minimum(errors, LARGEST_ERROR), axis=0)
    return _lacking(ops.where(usable[None], shares, equal))


def _lacking(shares):
    """Turns the teachers' shares of what is bad into weights."""
    return (1.0 - shares) / (shares.shape[0] - 1)


def _product(probabilities, values):
    # What has no probability counts for nothing, even where its logarithm is infinite.
    return ops.where(probabilities > 0.0, probabilities * values, 0.0)


def _binary_errors(logits, labels):
    if len(labels.shape) == len(logits.shape) - 2 and logits.shape[-1] == 1:
        labels = labels[..., None]
    if len(labels.shape) != len(logits.shape) - 1 or _differ(labels.shape[-1], logits.shape[-1]):
        raise _mismatch(labels, logits)
    labels = ops.cast(labels, "float32")
    usable = (labels >= 0.0) & (labels <= 1.0)  # False of NaN
    labels = ops.where(usable, labels, 0.0)
    errors = _product(labels, ops.softplus(-logits)) + _product(1.0 - labels, ops.softplus(logits))
    return ops.mean(errors, axis=-1), ops.all(usable, axis=-1)


def _categorical_errors(logits, labels):
    log_probabilities = ops.log_softmax(logits)
    if len(labels.shape) == len(logits.shape) - 1:
        if labels.shape[-1] != 1:
            return _errors_of_distributions(log_probabilities, labels)
        labels = labels[..., 0]
    if len(labels.shape) != len(logits.shape) - 2:
        raise _mismatch(labels, logits)
    if "float" in keras.backend.standardize_dtype(labels.dtype):
        labels = ops.cast(labels, "float32")
        whole = labels == ops.floor(labels)  # False of NaN
        labels = ops.where(whole & (labels >= 0.0) & (labels < 2.0**31), labels, -1.0)
    labels = ops.cast(labels, "int64")
    usable = (labels >= 0) & (labels < ops.cast(ops.shape(logits)[-1], "int64"))
    labels = ops.where(usable, labels, 0)
    labels = ops.broadcast_to(labels[None, ..., None], (*ops.shape(logits)[:-1], 1))
    return -ops.take_along_axis(log_probabilities, labels, axis=-1)[..., 0], usable


def _errors_of_distributions(log_probabilities, labels):
    if _differ(labels.shape[-1], log_probabilities.shape[-1]):
        raise _mismatch(labels, log_probabilities)
    labels = ops.cast(labels, "float32")
    usable = ops.all((labels >= 0.0) & (labels <= 1.0), axis=-1) & ops.any(labels > 0.0, axis=-1)
    return ops.sum(_product(ops.where(usable[..., None], labels, 0.0), -log_probabilities), axis=-1), usable


def _differ(one, other):
    return one is not None and other is not None and one != other


def _mismatch(labels, logits):
    return ValueError(
        f"`labels` of shape {tuple(labels.shape)} do not suit logits of shape {tuple(logits.shape[1:])}. Pass a class "
        "or a distribution an example; for a binary task, a label from 0 to 1 for each logit."
    )
