"""Soft targets that were computed once and travel with the examples."""

from keras import ops


class CachedTeacher:
    """A teacher that reads its answers from a column of the inputs instead of computing them.

    Under a `Distiller` the student does not see the column. `predict` and `evaluate` do not need it, unless the
    distiller was made with `evaluate_distillation`.

    Args:
        column: key of the soft targets in the dict of inputs; the values are logits `[batch, k]`, or `[batch]` for k =
            1.

    Example:

    >>> import keras
    >>> teacher = CachedTeacher("teacher_logits")
    >>> teacher({"age": keras.ops.array([31]), "teacher_logits": keras.ops.array([0.5])}).shape
    TensorShape([1, 1])
    """

    supports_jit = True  # reading a column compiles under XLA

    def __init__(self, column="teacher_logits"):
        self.column = column

    def __call__(self, inputs):
        """Returns the column as float32 `[batch, k]`; raises `ValueError` where it is missing."""
        if not isinstance(inputs, dict) or self.column not in inputs:
            received = list(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(
                f"The cached soft targets are missing: the inputs must be a dict with the column {self.column!r}. "
                f"Received: {received}"
            )
        targets = ops.cast(inputs[self.column], "float32")
        return ops.expand_dims(targets, axis=-1) if len(targets.shape) == 1 else targets

    def __repr__(self):
        return f"CachedTeacher(column={self.column!r})"
