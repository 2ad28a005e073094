"""TensorFlow Recommenders: its towers as teachers, and the losses of this package as tasks of its models.

TFRS runs on tf_keras. Set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported.
"""

import numpy as np
import tensorflow as tf

from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.ranking_loss import check_number
from tfdistill.retrieval_distiller import TeacherVectors

try:
    import tf_keras
except ImportError as error:
    raise ImportError(
        "tfdistill.tfrs is for models of tf_keras, which is not installed. Install it: pip install 'tfdistill[legacy]'"
    ) from error


def tower_vectors(user_tower, item_tower, users, items, batch_size=4096):
    """The vectors that two towers make of all users and items: a teacher for `RetrievalDistiller`, or what to export.

    Args:
        user_tower, item_tower: callables such as the towers of a TFRS model, inputs -> float [batch, d].
        users, items: what they take for every user and item, by number: an array [n, ...] of any dtype, strings included,
            or {name: array [n, ...]}.
        batch_size: rows a call.

    Returns: `tfdistill.retrieval_distiller.TeacherVectors`, which `tfdistill.export.export_retrieval` takes, too.

    Raises:
        ValueError: for inputs of several lengths, and outputs that are not two matrices of one width.

    >>> tables = tf_keras.layers.Embedding(3, 4), tf_keras.layers.Embedding(5, 4)
    >>> vectors = tower_vectors(*tables, np.arange(3), np.arange(5))
    >>> vectors.user.shape, vectors.item.shape
    ((3, 4), (5, 4))
    """
    return TeacherVectors(
        user=_vectors(user_tower, users, "users", batch_size), item=_vectors(item_tower, items, "items", batch_size)
    )


class DistillationTask(tf_keras.layers.Layer):
    """A loss of `tfdistill.losses` as a task, called in a model's `compute_loss` beside `tfrs.tasks.Retrieval` or `Ranking`.

        task loss = weight * loss(teacher outputs, student outputs)

    What a loss learns itself (projectors, experts) is trained with the model. Losses are means over the batch if their page
    does not say otherwise, and `tfrs.tasks.Retrieval` is a sum: its weight is then to be chosen accordingly.

    Args:
        loss: a `DistillationLoss` that is computed from what it is called with. (A schedule in it stands at its first step:
            TFRS has no step to tell.)
        weight: what the loss is multiplied with.
        name: name of the layer, and of the metric that logs the loss without its weight.

    Call arguments:
        teacher_outputs, student_outputs: as the loss takes them: logits [batch, k], scores [batch, n], or for losses
            between vectors {"user": [b, d], "item": [m, d]}. No gradient flows into the teacher's.
        sample_weight, labels: as the loss takes them, or `None`.

    Returns: a float32 scalar.

    Raises:
        ValueError: for a loss that is none, and a weight below 0.

    Example:

    ```python
    class Student(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.user_tower, self.item_tower = tf_keras.layers.Embedding(943, 8), tf_keras.layers.Embedding(1682, 8)
            self.task = tfrs.tasks.Retrieval()
            self.distillation = DistillationTask(tfdistill.losses.LogitsDistillation(temperature=2.0), weight=100.0)

        def compute_loss(self, inputs, training=False):
            user = self.user_tower(inputs["user"], training=training)  # without `training`, TFMOT prunes nothing
            item = self.item_tower(inputs["item"], training=training)
            teacher_user, teacher_item = tf.gather(vectors.user, inputs["user"]), tf.gather(vectors.item, inputs["item"])
            teacher_scores = tf.matmul(teacher_user, teacher_item, transpose_b=True)
            scores = tf.matmul(user, item, transpose_b=True)
            return self.task(user, item) + self.distillation(teacher_scores, scores)
    ```
    """

    def __init__(self, loss, weight=1.0, name="distillation_loss"):
        if not isinstance(loss, DistillationLoss):
            raise ValueError(f"`loss` must be a loss of tfdistill.losses. Received: loss={loss!r}")
        super().__init__(name=name, dtype="float32", autocast=False)
        self.weight = check_number("weight", weight, at_least=0)
        self.__dict__["loss"] = loss  # tf_keras would take the variables of a Keras 3 layer for its own
        self._tracker = tf_keras.metrics.Mean(name=name)

    @property
    def trainable_weights(self):
        return super().trainable_weights + [variable.value for variable in self.loss.trainable_variables]

    def call(self, teacher_outputs, student_outputs, sample_weight=None, labels=None):
        teacher_outputs = tf.nest.map_structure(tf.stop_gradient, teacher_outputs)
        if not self.loss.built:
            self.loss.build(_shape(teacher_outputs), _shape(student_outputs))
        loss = self.loss.compute_loss(teacher_outputs, student_outputs, sample_weight=sample_weight, labels=labels)
        self._tracker.update_state(loss)
        return self.weight * loss


def _shape(outputs):
    return tf.nest.map_structure(lambda output: tuple(output.shape), outputs)


def _vectors(tower, inputs, argument, batch_size):
    inputs = tf.nest.map_structure(np.asarray, inputs)
    lengths = {len(array) for array in tf.nest.flatten(inputs)}
    if len(lengths) != 1:
        raise ValueError(f"`{argument}` must have arrays of one length. Received lengths: {sorted(lengths)}")
    chunks = []
    for start in range(0, lengths.pop(), batch_size):
        chunk = tf.nest.map_structure(lambda array, start=start: tf.constant(array[start : start + batch_size]), inputs)
        chunks.append(np.asarray(tower(chunk), np.float32))
    return np.concatenate(chunks)
