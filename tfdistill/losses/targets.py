"""Which class is the target of an example."""

from keras import ops


def target_classes(labels, teacher_logits):
    """Returns the target class of each example: its hard label, or else the class that the teacher finds most probable.

    The teacher stands in wherever no usable label is: without labels at all, where a class number is NaN, negative or
    too large, and where a row of class probabilities has a NaN, a negative entry or nothing above 0. Such are the rows
    without a label of a `tfdistill.Distiller`.

    Args:
        labels: class numbers `[batch, ...]` or `[batch, ..., 1]` of any dtype, or one-hot rows or class probabilities
            `[batch, ..., k]`, whose largest entry is the target; or `None`.
        teacher_logits: tensor `[batch, ..., k]`.

    Returns:
        int32 `[batch, ...]`.

    Raises:
        ValueError: for labels of another shape.

    >>> import keras
    >>> target_classes(keras.ops.array([0, -1]), keras.ops.array([[1.0, 3.0], [1.0, 3.0]])).numpy().tolist()
    [0, 1]
    """
    best = ops.cast(ops.argmax(teacher_logits, axis=-1), "int32")
    if labels is None:
        return best
    labels = ops.cast(labels, "float32")
    rank, classes = len(teacher_logits.shape), ops.shape(teacher_logits)[-1]
    if len(labels.shape) == rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    if len(labels.shape) == rank - 1:
        usable = ops.logical_and(labels >= 0.0, labels < ops.cast(classes, "float32"))
        return ops.where(usable, ops.cast(ops.where(usable, labels, 0.0), "int32"), best)
    if len(labels.shape) != rank or labels.shape[-1] not in (None, teacher_logits.shape[-1]):
        raise ValueError(
            "Labels must be class numbers, one an example, or one-hot rows shaped like the outputs. "
            f"Received: labels {tuple(labels.shape)}, outputs {tuple(teacher_logits.shape)}"
        )
    usable = ops.logical_and(ops.all(labels >= 0.0, axis=-1), ops.any(labels > 0.0, axis=-1))
    return ops.where(usable, ops.cast(ops.argmax(labels, axis=-1), "int32"), best)
