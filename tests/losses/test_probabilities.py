import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import logits_from_probabilities, softened_kl_divergence


def test_binary_logits_are_log_odds():
    np.testing.assert_allclose(
        logits_from_probabilities(np.array([[0.75], [0.5], [0.1]])), np.log([[3.0], [1.0], [1 / 9]]), atol=1e-6
    )


def test_categorical_logits_give_the_probabilities_back():
    probabilities = np.array([[0.7, 0.2, 0.1], [1e-20, 0.5, 0.5]], "float32")
    np.testing.assert_allclose(keras.ops.softmax(logits_from_probabilities(probabilities)), probabilities, rtol=1e-5)


@pytest.mark.parametrize("probabilities", [[[0.0]], [[1.0]], [[0.0, 1.0]]])
def test_certain_probabilities_give_finite_logits(probabilities):
    assert np.isfinite(logits_from_probabilities(np.array(probabilities, "float32"))).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_result_is_float32(dtype):
    assert logits_from_probabilities(tf.constant([[0.25, 0.75]], dtype)).dtype == tf.float32


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_logits_behind_a_keras_activation_are_recovered_exactly(activation):
    logits = tf.constant([[40.0, -40.0]])
    task = "binary" if activation == "sigmoid" else "categorical"
    outputs = keras.activations.get(activation)(logits)
    np.testing.assert_array_equal(logits_from_probabilities(outputs, task), logits)


def test_several_labels_need_the_binary_task():
    probabilities = np.array([[0.5, 0.75]])
    np.testing.assert_allclose(logits_from_probabilities(probabilities, "binary"), [[0.0, np.log(3)]], atol=1e-6)


def test_gradients_through_recovered_logits_are_finite_even_at_zero():
    student = tf.Variable([[0.0, 1.0], [1e-25, 1.0]])
    with tf.GradientTape() as tape:
        loss = softened_kl_divergence(tf.zeros((2, 2)), logits_from_probabilities(student), 4.0)
    assert np.isfinite(tape.gradient(loss, student)).all()


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task='multi'"):
        logits_from_probabilities(np.ones((1, 2)), task="multi")
