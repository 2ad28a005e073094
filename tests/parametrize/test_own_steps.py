"""Models with a training step of their own."""

import keras
import numpy as np
import pytest

from tfdistill.sparsity import prune_low_magnitude


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(4)

    def call(self, x):
        return self.hidden(x)

    def train_step(self, data):
        return {"loss": 0.0}


def test_fit_of_a_pruned_model_refuses_to_pass_over_the_train_step_of_the_model():
    model = OwnStep()
    pruned = prune_low_magnitude(model)
    pruned.compile("sgd", "mse")
    with pytest.raises(ValueError, match="OwnStep .* has a train_step of its own.*its student"):
        pruned.fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0)


def test_a_functional_model_has_no_step_of_its_own():
    inputs = keras.Input((3,))
    pruned = prune_low_magnitude(keras.Model(inputs, keras.layers.Dense(4)(inputs)))
    pruned.compile("sgd", "mse")
    assert np.isfinite(pruned.fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0).history["loss"][0])
