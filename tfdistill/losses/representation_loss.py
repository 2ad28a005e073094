"""What every loss between the vectors of users and items is."""

import keras
from keras import ops

from tfdistill.losses.base import DistillationLoss

ENTITIES = ("user", "item")


class RepresentationLoss(DistillationLoss):
    """Compares the teacher's and the student's vectors of a batch's users and items. The base of such losses.

    A subclass defines `compute_loss` on {"user": [b, d], "item": [m, d]}, the item vectors being those of the positives
    and then of the negatives. Who occurs more than once in a batch has weight 0 where it comes again. Weights of the
    loss's own are made in `build(teacher_shape, student_shape)`, shapes of the same structure.
    """

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        """Returns the loss of a batch, a float32 scalar.

        Args:
            teacher_outputs, student_outputs: {"user": [b, d], "item": [m, d]}. No gradient flows into the teacher's.
            sample_weight: {"user": [b], "item": [m]}, 1 where a user or item occurs first and 0 where it comes again;
                `None` for 1.
            labels, step: not used.
        """
        raise NotImplementedError

    def begin_epoch(self, epoch, epochs):
        """Called before epoch `epoch`, from 0, of `epochs` in all; does nothing."""

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` unless both hold vectors of the same users and items."""
        for role, outputs in (("teacher", teacher_outputs), ("student", student_outputs)):
            if not isinstance(outputs, dict) or set(outputs) != set(ENTITIES):
                raise ValueError(
                    f'{type(self).__name__} compares {{"user": [b, d], "item": [m, d]}}. Received: {role} {outputs!r:.200}'
                )
            for entity, vectors in outputs.items():
                if len(vectors.shape) != 2:
                    raise ValueError(
                        f'The vectors of "{entity}" must be a matrix. Received: {role} of shape {tuple(vectors.shape)}'
                    )
        for entity in ENTITIES:
            rows = {
                role: one[entity].shape[0] for role, one in (("teacher", teacher_outputs), ("student", student_outputs))
            }
            if None not in rows.values() and len(set(rows.values())) > 1:
                raise ValueError(f'Teacher and student must have as many vectors of "{entity}". Received: {rows}')

    def prepare(self, teacher_outputs, student_outputs, sample_weight):
        """Returns {"user": (teacher, student, weights), "item": ...} in float32, the teacher without gradient."""
        self.validate_outputs(teacher_outputs, student_outputs)
        if not self.built:
            self.build(
                *({name: (None, one[name].shape[1]) for name in ENTITIES} for one in (teacher_outputs, student_outputs))
            )
        prepared = {}
        for entity in ENTITIES:
            student = ops.cast(student_outputs[entity], "float32")
            teacher = ops.stop_gradient(ops.cast(teacher_outputs[entity], "float32"))
            weights = (sample_weight or {}).get(entity)
            weights = ops.ones_like(student[:, 0]) if weights is None else ops.cast(weights, "float32")
            prepared[entity] = (teacher, student, weights)
        return prepared


def stacked(prepared):
    """Users and then items of what `prepare` returned: (teacher [n, d_t], student [n, d_s], weights [n])."""
    return tuple(ops.concatenate([prepared[entity][i] for entity in ENTITIES], axis=0) for i in range(3))


def unit_vectors(vectors, weights=None):
    """Vectors of length 1, and 0 where the weight is 0 or the vector is; float32 [n, d].

    >>> unit_vectors(keras.ops.array([[0.0, 4.0], [0.0, 0.0]])).numpy().tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    squares = ops.sum(ops.square(vectors), axis=1, keepdims=True)
    inverse = ops.where(squares > 0, ops.rsqrt(ops.where(squares > 0, squares, 1.0)), 0.0)
    if weights is not None:
        inverse *= ops.cast(ops.expand_dims(weights, 1) > 0, "float32")
    return vectors * inverse


@keras.saving.register_keras_serializable(package="tfdistill")
class TorchUniform(keras.initializers.Initializer):
    """Uniform between ±1/√fan_in, for kernels and biases: what the experts of the papers start from.

    Args:
        fan_in: how many inputs the layer has.
        seed: a whole number, or `None` for Keras's global seed.

    >>> float(keras.ops.max(TorchUniform(fan_in=4, seed=0)((1000,)))) <= 0.5
    True
    """

    def __init__(self, fan_in, seed=None):
        self.fan_in, self.seed = fan_in, seed
        bound = fan_in**-0.5
        self._uniform = keras.initializers.RandomUniform(-bound, bound, seed=seed)

    def __call__(self, shape, dtype=None):
        return self._uniform(shape, dtype=dtype)

    def get_config(self):
        return {"fan_in": self.fan_in, "seed": self.seed}
