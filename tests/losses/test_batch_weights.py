import numpy as np
import tensorflow as tf

from tfdistill.losses.batch_weights import batch_weights


def test_without_weights_every_row_counts_once():
    weights, factor = batch_weights(tf.zeros((3, 2)))
    np.testing.assert_allclose(weights, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(factor, 1.0)


def test_weights_are_relative_to_the_mean_of_those_above_zero_and_their_mean_is_the_factor():
    weights, factor = batch_weights(tf.zeros((4, 2)), tf.constant([2.0, 0.0, 6.0, 1.0]))
    np.testing.assert_allclose(weights, [2 / 3, 0.0, 2.0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(factor, 9 / 4)


def test_time_steps_are_rows_and_masked_ones_do_not_count():
    mask = tf.constant([[True, True, False], [True, False, False]])
    weights, factor = batch_weights(tf.zeros((2, 3, 5)), tf.constant([1.0, 3.0]), mask)
    np.testing.assert_allclose(weights, [0.6, 0.6, 0.0, 1.8, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(factor, 5 / 3, rtol=1e-6)


def test_without_any_weight_all_is_zero():
    weights, factor = batch_weights(tf.zeros((2, 2)), tf.zeros(2))
    np.testing.assert_allclose(weights, [0.0, 0.0])
    assert factor == 0.0
