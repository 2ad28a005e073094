"""Trains a student, alone or under a Distiller, for a set number of epochs."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill import Distiller

UNLABELED = -1
STEPS_PER_EXECUTION = 20


def fit(student, training, hard_loss, columns, epoch_rows, *, epochs, batch_size, learning_rate, seed):
    """Trains with Adam and a learning rate that falls to zero along a cosine; leaves the student as it is at the end.

    Args:
        student: a functional `keras.Model` that declares its inputs.
        training: `Training`.
        hard_loss: a Keras loss.
        columns: (x, y) of all rows there are, x a dict that also has the teacher's columns; a row whose y is -1 has no
            label.
        epoch_rows: epoch number -> numbers of its rows; as many in every epoch.
        epochs, batch_size, learning_rate, seed: of the training.
    """
    rows = shuffled(epoch_rows, epochs * training.epochs, batch_size, np.random.default_rng(seed))
    model = student
    if training.losses is not None:
        model = Distiller(
            training.teacher,
            student,
            training.losses,
            distillation_loss_weights=training.weights,
            student_loss_weight=training.share,
            unlabeled_value=UNLABELED if np.any(columns[1] == UNLABELED) else None,
        )
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, len(rows))),
        hard_loss,
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,
    )
    columns = tf.nest.map_structure(tf.convert_to_tensor, columns)

    def batch(numbers):
        return tf.nest.map_structure(lambda column: tf.gather(column, numbers), columns)

    # One call of fit for all epochs: a call costs more than an epoch of so small a student.
    batches = tf.data.Dataset.from_tensor_slices(rows).map(batch, num_parallel_calls=2, deterministic=True)
    model.fit(batches.prefetch(8), shuffle=False, verbose=0)


def shuffled(epoch_rows, epochs, batch_size, random):
    """The rows of every step, int32 [steps, batch size]; the rows that fill no batch are left out of their epoch."""
    order = [random.permutation(epoch_rows(epoch)) for epoch in range(epochs)]
    return np.concatenate([rows[: len(rows) // batch_size * batch_size] for rows in order]).reshape(-1, batch_size)
