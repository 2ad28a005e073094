import numpy as np
import tensorflow as tf

from tfdistill.losses.feature_vectors import as_features, as_vectors, unit_vectors, vector_width


def test_features_become_one_float32_vector_an_example():
    vectors = as_vectors(tf.ones((5, 2, 3), "float16"))
    assert vectors.dtype == "float32" and tuple(vectors.shape) == (5, 6)
    assert tuple(as_vectors(tf.ones(4)).shape) == (4, 1)
    assert vector_width((None, 2, 3)) == 6 and vector_width((None, None, 3)) is None


def test_the_width_stays_known_where_the_batch_is_not():
    @tf.function(input_signature=[tf.TensorSpec((None, 2, 3))])
    def width(features):
        return tf.constant(as_vectors(features).shape[1])

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def vectors_of_sequences(features):
        return as_vectors(features)

    assert int(width(tf.zeros((4, 2, 3)))) == 6
    assert tuple(vectors_of_sequences(tf.zeros((4, 5, 3))).shape) == (4, 15)


def test_steps_that_the_keras_mask_leaves_out_are_zero():
    sequence = tf.ones((1, 3, 2))
    sequence._keras_mask = tf.constant([[True, False, True]])
    np.testing.assert_array_equal(as_features(sequence)[0], [[1, 1], [0, 0], [1, 1]])


def test_unit_vectors_have_length_one_and_zero_stays_zero_without_gradient():
    vectors = tf.Variable([[3.0, 4.0], [0.0, 0.0], [3e-9, 4e-9]])
    with tf.GradientTape() as tape:
        units = unit_vectors(vectors)
    np.testing.assert_allclose(units, [[0.6, 0.8], [0, 0], [0.6, 0.8]], rtol=1e-6)
    assert np.isfinite(tape.gradient(units, vectors)).all()
    np.testing.assert_allclose(unit_vectors(tf.constant([[3.0, 4.0]]), tf.constant([0.0, 4.0])), [[0.375, 0.5]])
