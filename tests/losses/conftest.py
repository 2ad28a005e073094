"""Fixtures for tests of losses: gradients, ours and by differences."""

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def gradient():
    """Returns a function: the gradient of a loss, or of the sum of its values, at a point, as TensorFlow computes it."""

    def differentiate(function, point):
        point = tf.constant(point, "float32")
        with tf.GradientTape() as tape:
            tape.watch(point)
            values = function(point)
        return tape.gradient(values, point).numpy()

    return differentiate


@pytest.fixture
def numerical_gradient():
    """Returns a function: the same of a NumPy function, by central differences in float64."""

    def differentiate(function, point, step=1e-5):
        point = np.asarray(point, "float64")
        slopes = np.zeros_like(point)
        for index in np.ndindex(*point.shape):
            shift = np.zeros_like(point)
            shift[index] = step
            slopes[index] = (np.sum(function(point + shift)) - np.sum(function(point - shift))) / (2 * step)
        return slopes

    return differentiate
