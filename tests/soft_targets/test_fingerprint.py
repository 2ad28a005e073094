"""Which teachers are the same."""

import keras
import numpy as np
import pytest

from tfdistill import teachers
from tfdistill.soft_targets import teacher_fingerprint


def ranker(units=3, activation="relu", seed=1):
    keras.utils.set_random_seed(seed)
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    both = keras.layers.Concatenate()([inputs["a"], keras.layers.Dense(2)(inputs["b"])])
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation), keras.layers.Dense(1)])
    return keras.Model(inputs, inner(both))


def test_a_model_made_again_is_the_same_whatever_keras_numbers_it():
    first = teacher_fingerprint(ranker())
    assert teacher_fingerprint(ranker()) == first
    assert len(first) == 64


def test_a_saved_and_loaded_model_is_the_same(tmp_path):
    model = ranker()
    model.save(tmp_path / "ranker.keras")
    assert teacher_fingerprint(keras.saving.load_model(tmp_path / "ranker.keras")) == teacher_fingerprint(model)


def test_freezing_and_compiling_change_nothing():
    model = ranker()
    before = teacher_fingerprint(model)
    model.trainable = False
    model.compile("adam", "mse")
    assert teacher_fingerprint(model) == before


def test_weights_widths_and_activations_count():
    model = ranker()
    prints = {
        teacher_fingerprint(other) for other in (model, ranker(units=4), ranker(activation="tanh"), ranker(seed=2))
    }
    weights = model.get_weights()
    weights[0][0, 0] += 1e-6
    model.set_weights(weights)
    assert len(prints | {teacher_fingerprint(model)}) == 5


def test_a_subclassed_model_is_known_by_its_class_and_weights():
    class Tower(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units, kernel_initializer="ones")

        def call(self, inputs):
            return self.dense(inputs)

    towers = [Tower(3), Tower(3), Tower(4)]
    with pytest.raises(ValueError, match="has no weights yet"):
        teacher_fingerprint(towers[0])
    for tower in towers:
        tower(np.ones((1, 2)))
    first, second, other = map(teacher_fingerprint, towers)
    assert first == second != other


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "ranker.keras"
    ranker().save(path)
    expected = teachers.fingerprint(path)
    assert teacher_fingerprint(path) == teacher_fingerprint(str(path)) == expected
    assert teacher_fingerprint(teachers.load_teacher(path)) == expected


def test_an_ensemble_is_known_by_its_teachers_and_how_they_are_combined():
    one, two = ranker(seed=1), ranker(seed=2)
    prints = [
        teacher_fingerprint([one, two]),
        teacher_fingerprint(teachers.Ensemble([one, two])),
        teacher_fingerprint(teachers.Ensemble([two, one])),
        teacher_fingerprint(teachers.Ensemble([one, two], weights=[1, 3])),
        teacher_fingerprint(teachers.Ensemble([one, two], combine="probabilities")),
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 4


def test_a_teacher_may_say_who_it_is():
    class Named:
        fingerprint = "ranker 7"

    class Asked:
        def fingerprint(self):
            return "ranker 8"

    assert [teacher_fingerprint(Named()), teacher_fingerprint(Asked())] == ["ranker 7", "ranker 8"]


def test_a_plain_callable_needs_a_name():
    with pytest.raises(ValueError, match="`fingerprint` is needed for a teacher that is a plain callable"):
        teacher_fingerprint(lambda x: x)
