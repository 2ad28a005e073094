"""Transforms that are chosen when a model is first called."""

import keras
import numpy as np
import pytest

from tfdistill.parametrize import WeightTransform, parametrize


class Doubled(WeightTransform):
    def call(self, value, training=False):
        return 2 * value


def test_a_choice_that_raises_raises_at_every_call_and_leaves_nothing_behind():
    def choose(weight):
        if weight.name == "bias":
            raise ValueError("no bias")
        return Doubled()

    model = parametrize(keras.Sequential([keras.layers.Dense(2)]), choose)
    for _ in range(2):
        with pytest.raises(ValueError, match="no bias"):
            model(np.ones((1, 3)))
    assert model.weight_transforms == []
