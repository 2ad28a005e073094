"""Soft targets that were computed once and travel with the examples."""

from keras import ops

from tfdistill._features import PREDICTION


class CachedTeacher:
    """A teacher that reads its answers from columns of the inputs instead of computing them.

    Under a `Distiller` the student does not see the columns. `predict` and `evaluate` do not need them, unless the
    distiller was made with `evaluate_distillation`.

    Args:
        column: key of the soft targets in the dict of inputs; the values are logits `[batch, k]`, or `[batch]` for k =
            1.
        features: what hidden layers of the teacher computed, for losses between features: `{teacher_layer_name:
            column}`, or a list of layer names, whose columns are then called "teacher_" and the name with "_" for "/"
            ("encoder/dense" is read from "teacher_encoder_dense"). A loss on attention scores finds them under the name
            of their layer.

    Attributes:
        columns: all the columns that it reads, which the student must not see.

    Raises:
        ValueError: where two names would share a column; when called, where a column is missing.

    Example:

    >>> import keras
    >>> teacher = CachedTeacher("teacher_logits")
    >>> teacher({"age": keras.ops.array([31]), "teacher_logits": keras.ops.array([0.5])}).shape
    TensorShape([1, 1])
    >>> CachedTeacher(features=["encoder/dense"]).columns
    ('teacher_logits', 'teacher_encoder_dense')
    """

    supports_jit = True  # reading a column compiles under XLA

    def __init__(self, column="teacher_logits", features=None):
        features = features or {}
        named = isinstance(features, dict)
        self.column = column
        self.features = dict(features) if named else {name: f"teacher_{name.replace('/', '_')}" for name in features}
        self.columns = (column, *self.features.values())
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(
                "`column` and `features` must name a column each. Pass features={name: column}. "
                f"Received: column={column!r}, features={features!r}"
            )

    def __call__(self, inputs):
        """Returns the soft targets as float32 `[batch, k]`; raises `ValueError` where they are missing."""
        targets = self._read(inputs, self.column, "soft targets")
        return ops.expand_dims(targets, axis=-1) if len(targets.shape) == 1 else targets

    def feature_outputs(self, inputs, names, training=False, labels=None):
        """Returns `{None: the soft targets, name: the column of that layer}`, all float32.

        Raises:
            ValueError: for a layer that is not among `features`, and for a missing column.
        """
        outputs = {PREDICTION: self(inputs)}
        for name in names:
            layer = name[0] if isinstance(name, tuple) else name
            if layer not in self.features:
                raise ValueError(
                    f"The cached teacher has no column for layer {layer!r}. Name it: CachedTeacher(features={{...}}). "
                    f"Received: features={self.features}"
                )
            outputs[name] = self._read(inputs, self.features[layer], "features")
        return outputs

    def __repr__(self):
        features = f", features={self.features!r}" if self.features else ""
        return f"CachedTeacher(column={self.column!r}{features})"

    def _read(self, inputs, column, what):
        if not isinstance(inputs, dict) or column not in inputs:
            received = list(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(
                f"The cached {what} are missing: the inputs must be a dict with the column {column!r}. "
                f"Received: {received}"
            )
        return ops.cast(inputs[column], "float32")
