"""The arguments and the inputs that a teacher is called with."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.teachers import call_teacher
from tfdistill.teachers.calling import call_arguments, declared_inputs, select_inputs


class Layer(keras.layers.Layer):
    """Says whether it is called in training mode."""

    def call(self, inputs, training=True):
        return inputs + float(training)


class WithoutTraining(keras.Model):
    def call(self, inputs):
        return inputs


def function(inputs, training=True, labels=None):
    return training, labels


@pytest.mark.parametrize(
    "teacher, arguments",
    [
        (lambda inputs: inputs, {}),
        (lambda inputs, training: inputs, {"training": False}),
        (lambda inputs, *, labels: inputs, {"labels": 7}),
        (lambda *inputs, **options: inputs, {}),
        (function, {"training": False, "labels": 7}),
        (tf.function(function), {"training": False, "labels": 7}),
        (functools.partial(function, labels=3), {"training": False, "labels": 7}),
        (WithoutTraining(), {"training": False}),
        (max, {}),
    ],
)
def test_a_teacher_gets_the_arguments_that_it_takes(teacher, arguments):
    assert call_arguments(teacher, labels=7) == arguments


def test_training_is_off_in_models_of_keras_3():
    np.testing.assert_array_equal(call_teacher(Layer(), np.zeros(2)), [0.0, 0.0])
    np.testing.assert_array_equal(call_teacher(WithoutTraining(), np.zeros(2)), [0.0, 0.0])


def test_training_is_off_in_every_kind_of_tf_keras_model():
    tf_keras = pytest.importorskip("tf_keras")

    class Named(tf_keras.Model):
        def call(self, inputs, training=True):
            return inputs + float(training)

    class ByKeyword(tf_keras.Model):
        def call(self, inputs, **options):
            return inputs + float(options.get("training", True))

    class Without(tf_keras.Model):
        def call(self, inputs):
            return inputs

    for model in (Named(), ByKeyword(), Without()):
        np.testing.assert_array_equal(call_teacher(model, tf.zeros((2, 1))), [[0.0], [0.0]])
    x = tf_keras.Input((1,))
    for model in (
        tf_keras.Sequential([tf_keras.layers.Dropout(0.5)]),
        tf_keras.Model(x, tf_keras.layers.Dropout(0.5)(x)),
    ):
        np.testing.assert_array_equal(call_teacher(model, tf.ones((50, 1))), np.ones((50, 1)))


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_functional_models_of_both_kerases_get_what_they_declare(library):
    library = pytest.importorskip(library)
    batch = {"c": 3, "b": 2, "a": 1}

    def model(structure):
        inputs = {name: library.layers.Input((1,), name=name) for name in "ab"}
        given = structure(inputs)
        return library.Model(given, library.layers.Add()([inputs["a"], inputs["b"]]))

    assert select_inputs(model(lambda inputs: inputs), batch) == {"a": 1, "b": 2}
    assert select_inputs(model(lambda inputs: [inputs["b"], inputs["a"]]), batch) == [2, 1]
    one = library.layers.Input((1,), name="a")
    assert select_inputs(library.Model(one, library.layers.Dense(1)(one)), batch) == 1
    with pytest.raises(ValueError, match=r"The teacher '.*' misses the inputs \['b'\]. The batch has: \['a'\]"):
        select_inputs(model(lambda inputs: inputs), {"a": 1})


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_what_declares_no_inputs_gets_all_but_the_hidden_columns(library):
    library = pytest.importorskip(library)

    class Subclassed(library.Model):
        def call(self, inputs):
            return inputs["a"]

    model = Subclassed()
    model({"a": tf.ones((2, 1))})
    for teacher in (model, lambda inputs: inputs, library.Sequential([library.layers.Dense(1)])):
        assert declared_inputs(teacher) is None
        assert select_inputs(teacher, {"a": 1, "b": 2}, hidden_columns=("b",)) == {"a": 1}


def test_inputs_that_are_no_dict_are_passed_on():
    assert select_inputs(lambda inputs: inputs, [1, 2]) == [1, 2]
