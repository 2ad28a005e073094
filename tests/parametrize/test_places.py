"""Transforms at outputs, inputs and fused activations."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfdistill.parametrize import OutputTransform, WeightTransform, parametrize
from tfdistill.parametrize.places import operations_of, tensor_paths
from tfdistill.parametrize.scope import final_weights


class Plus(OutputTransform):
    def __init__(self, amount, where="output"):
        super().__init__()
        self.amount, self.where = amount, where

    def call(self, output, training=False):
        return output + self.amount


def doubling():
    dense = layers.Dense(1, activation=lambda x: 2 * x, kernel_initializer="ones", name="dense")
    return keras.Sequential([keras.Input((1,)), dense])


@pytest.mark.parametrize(("where", "expected"), [("output", 2 * 1 + 10), ("activation", 2 * 11), ("input:0", 2 * 11)])
def test_a_transform_acts_where_it_says(where, expected):
    model = doubling()
    changed = parametrize(model, choose_outputs=lambda model, args, kwargs: [(model.layers[0], Plus(10, where))])
    assert float(changed(np.ones((1, 1)))[0, 0]) == expected
    assert float(model(np.ones((1, 1)))[0, 0]) == 2  # and leaves no trace


def test_an_entry_of_a_dict_is_named_by_its_key():
    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((1,), name="b")}
    model = keras.Model(inputs, layers.Subtract()([inputs["a"], inputs["b"]]))
    changed = parametrize(model, choose_outputs=lambda model, args, kwargs: [(model, Plus(10, "input:0/b"))])
    assert float(changed({"b": np.ones((1, 1)), "a": np.ones((1, 1))})[0, 0]) == -10


def test_paths_name_arguments_by_place_and_key():
    one, two = ops.ones(1), ops.ones(2)
    assert list(tensor_paths((one,), {})) == list(tensor_paths(([one],), {})) == ["0"]
    assert list(tensor_paths(({"b": one, "a": two}, 3), {"mask": None, "extra": one})) == ["0/a", "0/b", "extra"]


def test_bare_operations_of_functional_parts_can_be_transformed():
    x = keras.Input((1,))
    model = keras.Model(x, layers.Dense(1, kernel_initializer="ones")(x * 3))
    bare = [one for one in operations_of(model) if not isinstance(one, layers.Layer)]
    assert [type(one).__name__ for one in bare] == ["Multiply"]
    changed = parametrize(model, choose_outputs=lambda model, args, kwargs: [(bare[0], Plus(10))])
    assert float(changed(np.ones((1, 1)))[0, 0]) == 13


def test_a_subclassed_model_shows_the_arguments_of_its_first_call():
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, kernel_initializer="ones", name="dense")

        def call(self, first, second):
            return self.dense(first + second)

    seen = []

    def choose(model, args, kwargs):
        seen.append((len(args), sorted(kwargs)))
        return [(model.dense, Plus(10))]

    model = Sum()
    model(np.ones((1, 1)), second=np.ones((1, 1)))
    changed = parametrize(model, choose_outputs=choose)
    assert not seen
    assert float(changed(np.ones((1, 1)), second=np.ones((1, 1)))[0, 0]) == 12
    assert seen == [(1, ["second"])]


def test_final_weights_are_not_transformed_again():
    class Twice(WeightTransform):
        def call(self, value, training=False):
            return 2 * value

    changed = parametrize(doubling(), lambda weight: Twice() if weight.is_multiplied else None)
    assert float(changed(np.ones((1, 1)))[0, 0]) == 4
    with final_weights():
        assert float(changed(np.ones((1, 1)))[0, 0]) == 2
    assert float(changed(np.ones((1, 1)))[0, 0]) == 4
