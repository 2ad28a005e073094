"""Divergences between softened distributions, computed from logits in float32 and log space.

With p the teacher's and q the student's distribution at temperature T, that is softmax(z/T) or sigmoid(z/T), both
functions return one value an example, multiplied by T² so that the gradient keeps its size whatever T (Hinton, Vinyals
and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531).
"""

from keras import ops

from tfdistill.losses.probabilities import resolve_task
from tfdistill.losses.shapes import check_same_shape


def softened_kl_divergence(teacher_logits, student_logits, temperature=1.0, task="auto"):
    """T² KL(p || q) of each example.

    Categorical: `T² Σ_k p_k (log p_k - log q_k)` over the last dimension. Binary: the same over the two outcomes of each
    entry, averaged over the last dimension (the labels of a multi-label task), as Keras's binary cross-entropy does.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype. No gradient flows into it.
        student_logits: tensor of the same shape. Classes at -inf for teacher and student alike drop out.
        temperature: positive number, scalar tensor, or tensor `[batch, ...]` of one temperature an example.
        task: `"auto"` (binary where k is 1, else categorical), `"binary"` or `"categorical"`.

    Returns:
        float32 `[batch, ...]`, never negative but for rounding.

    Raises:
        ValueError: where the shapes differ or do not suit the task.

    >>> import keras
    >>> teacher, student = keras.ops.array([[2.0, 0.0]]), keras.ops.array([[0.0, 0.0]])
    >>> round(float(softened_kl_divergence(teacher, student, temperature=2.0)[0]), 4)  # 4 * 0.110944
    0.4438
    """
    task, teacher, student = _softened(teacher_logits, student_logits, temperature, task)
    if task == "binary":
        values = ops.mean(
            ops.sigmoid(teacher) * (ops.softplus(-student) - ops.softplus(-teacher))
            + ops.sigmoid(-teacher) * (ops.softplus(student) - ops.softplus(teacher)),
            axis=-1,
        )
    else:
        values = kl_divergence(teacher, student)
    return values * temperature**2


def softened_crossentropy(teacher_logits, student_logits, temperature=1.0, task="auto"):
    """T² H(p, q) of each example: the KL divergence plus the teacher's entropy, so the same gradient.

    Categorical: `-T² Σ_k p_k log q_k`. Binary: `-T² (p log q + (1 - p) log(1 - q))`, averaged over the last dimension.
    Arguments, shapes and errors as in `softened_kl_divergence`.

    >>> import keras
    >>> round(float(softened_crossentropy(keras.ops.array([[0.0]]), keras.ops.array([[0.0]]))[0]), 4)  # log(2)
    0.6931
    """
    task, teacher, student = _softened(teacher_logits, student_logits, temperature, task)
    if task == "binary":
        values = ops.mean(
            ops.sigmoid(teacher) * ops.softplus(-student) + ops.sigmoid(-teacher) * ops.softplus(student), axis=-1
        )
    else:
        values = _expectation(ops.softmax(teacher), -ops.log_softmax(student))
    return values * temperature**2


def softened(logits, temperature):
    """Logits divided by a temperature: one for all, or one an example, `[batch, ...]` without the last dimension."""
    if not hasattr(temperature, "shape"):
        return logits / temperature
    if len(temperature.shape) > 0:
        temperature = ops.expand_dims(temperature, axis=-1)
    # A learned temperature has no gradient from a class at -inf, where the derivative of the quotient is no number.
    is_finite = ops.isfinite(logits)
    return ops.where(is_finite, ops.where(is_finite, logits, 0.0) / temperature, logits)


def kl_divergence(teacher, student):
    """KL of softmax(teacher) from softmax(student) over the last dimension; gradients flow into both."""
    return _expectation(ops.softmax(teacher), ops.log_softmax(teacher) - ops.log_softmax(student))


def _softened(teacher_logits, student_logits, temperature, task):
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    return resolve_task(task, student), softened(teacher, temperature), softened(student, temperature)


def _expectation(probabilities, values):
    # A class that the teacher rules out counts for nothing, even where its logarithm is infinite.
    return ops.sum(probabilities * ops.where(probabilities > 0.0, values, 0.0), axis=-1)
