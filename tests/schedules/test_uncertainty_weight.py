"""The weight by learned uncertainty."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import UncertaintyWeight


def test_the_weighted_loss_is_worked_by_hand():
    # ½ e^{-log 2} 4 + ½ log 2 = 1 + 0.346574
    weighted = UncertaintyWeight(float(np.log(2.0))).weigh(tf.constant(4.0), None, True)
    np.testing.assert_allclose(weighted, 1.346574, rtol=1e-6)


def test_the_gradients_are_worked_by_hand():
    # d/dL = ½ e^{-s}; d/ds = ½ - ½ e^{-s} L, with s = log 2 and L = 4.
    weight, loss = UncertaintyWeight(float(np.log(2.0))), tf.Variable(4.0)
    with tf.GradientTape() as tape:
        weighted = weight.weigh(loss, None, True)
    by_loss, by_weight = tape.gradient(weighted, [loss, weight.log_variance.value])
    np.testing.assert_allclose([by_loss, by_weight], [0.25, -0.5], rtol=1e-6)


def test_training_makes_the_weight_half_the_inverse_of_the_loss():
    weight, optimizer = UncertaintyWeight(), keras.optimizers.SGD(1.0)
    for _ in range(200):
        with tf.GradientTape() as tape:
            weighted = weight.weigh(tf.constant(5.0), None, True)
        optimizer.apply(tape.gradient(weighted, weight.trainable_variables), weight.trainable_variables)
    np.testing.assert_allclose(weight.log_variance.value, np.log(5.0), rtol=1e-4)
    np.testing.assert_allclose(weighted, 0.5 + 0.5 * np.log(5.0), rtol=1e-4)


def test_evaluation_weighs_like_training():
    weight = UncertaintyWeight(0.3)
    loss = tf.constant(2.0)
    assert float(weight.weigh(loss, None, True)) == float(weight.weigh(loss, None, False))


def test_a_wrong_initial_is_named():
    with pytest.raises(ValueError, match="`initial` must be a finite number. Received: initial=nan"):
        UncertaintyWeight(float("nan"))
