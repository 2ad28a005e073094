"""Examples that nobody labelled, labelled by the teacher and mixed into the training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import LogitsDistillation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(32, 4)).astype("float32")
Y = GENERATOR.integers(0, 3, 32)
UNLABELED = GENERATOR.normal(size=(50, 4)).astype("float32")
HARD = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def distiller(teacher=None, **arguments):
    made = Distiller(teacher or network(), network(2), LogitsDistillation(), **{"unlabeled_value": -1, **arguments})
    made.compile(keras.optimizers.SGD(0.0), HARD)
    return made


def test_the_teacher_is_asked_about_labelled_and_unlabelled_examples_in_the_set_ratio():
    seen, inner = [], network()

    def teacher(x):
        tf.py_function(lambda batch: seen.append(batch.numpy()), [x], [])
        return inner(x)

    distiller(teacher).fit(X, Y, batch_size=8, verbose=0, transfer_set=UNLABELED, transfer_ratio=1.5)
    assert [len(batch) for batch in seen] == [20] * 4
    labelled = {row.tobytes() for row in X}
    assert [sum(row.tobytes() in labelled for row in batch) for batch in seen] == [8] * 4
    extra = [row.tobytes() for batch in seen for row in batch if row.tobytes() not in labelled]
    assert len(set(extra)) == len(extra) == 48  # none twice before all have come


def test_the_hard_loss_is_that_of_the_labelled_examples():
    made = distiller()
    history = made.fit(X, Y, batch_size=8, verbose=0, transfer_set=UNLABELED, transfer_ratio=2).history
    np.testing.assert_allclose(history["student_loss"], [HARD(Y, made.student(X))], rtol=1e-5)


def test_a_dataset_and_weights_may_be_mixed_too():
    data = tf.data.Dataset.from_tensor_slices((X, Y, np.full(32, 2.0, "float32"))).batch(8)
    unlabeled = tf.data.Dataset.from_tensor_slices(UNLABELED).batch(10)
    made = distiller()
    history = made.fit(data, verbose=0, transfer_set=unlabeled, transfer_ratio=1).history
    np.testing.assert_allclose(history["student_loss"], [2 * HARD(Y, made.student(X))], rtol=1e-5)


def test_one_seed_fixes_the_mixing():
    def weights():
        made = distiller()
        made.compile(keras.optimizers.SGD(0.1), HARD)
        keras.utils.set_random_seed(7)
        made.fit(X, Y, batch_size=8, epochs=2, verbose=0, transfer_set=UNLABELED)
        return made.student.get_weights()

    for one, other in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        ({"unlabeled_value": None}, {}, "construct the distiller with `unlabeled_value`"),
        ({}, {"validation_split": 0.5}, "`validation_split` cannot go with `transfer_set`"),
        ({}, {"transfer_ratio": -1}, "`ratio` must be a number of 0 or more"),
    ],
)
def test_what_cannot_be_is_named(made, arguments, message):
    with pytest.raises(ValueError, match=message):
        distiller(**made).fit(X, Y, verbose=0, transfer_set=UNLABELED, **arguments)
