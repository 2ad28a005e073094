import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import AttentionTransfer, attention_transfer

GENERATOR = np.random.default_rng(0)
TEACHER = GENERATOR.normal(size=(3, 4, 4, 5)).astype("float32")
STUDENT = GENERATOR.normal(size=(3, 4, 4, 2)).astype("float32")


def reference(teacher, student):
    def normalised(maps):
        activity = (maps.astype("float64") ** 2).mean(-1).reshape(len(maps), -1)
        return activity / np.linalg.norm(activity, axis=1, keepdims=True)

    return ((normalised(teacher) - normalised(student)) ** 2).mean(1)


def test_two_positions_worked_by_hand():
    teacher, student = np.array([[[1.0], [0.0]]]), np.array([[[1.0], [1.0]]])
    expected = ((1 - 1 / np.sqrt(2)) ** 2 + 1 / 2) / 2
    np.testing.assert_allclose(attention_transfer(teacher, student), [expected], rtol=1e-6)


def test_values_and_gradients_are_those_of_the_definition(numerical_gradient):
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        values = attention_transfer(TEACHER, student)
        loss = tf.reduce_sum(values)
    np.testing.assert_allclose(values, reference(TEACHER, STUDENT), rtol=1e-5)
    expected = numerical_gradient(lambda features: reference(TEACHER, features).sum(), STUDENT)
    np.testing.assert_allclose(tape.gradient(loss, student), expected, rtol=1e-3, atol=1e-6)


def test_maps_of_different_sizes_are_pooled_before_the_squares():
    pooled, small = TEACHER.reshape(3, 2, 2, 2, 2, 5).mean((2, 4)), STUDENT[:, :2, :2]
    np.testing.assert_allclose(attention_transfer(TEACHER, small), reference(pooled, small), rtol=1e-5)
    np.testing.assert_allclose(attention_transfer(small, TEACHER), reference(small, pooled), rtol=1e-5)


def test_a_map_over_positions_is_compared_like_an_image():
    flat = [maps.reshape(3, 16, -1) for maps in (TEACHER, STUDENT)]
    np.testing.assert_allclose(attention_transfer(*flat), attention_transfer(TEACHER, STUDENT), rtol=1e-6)


def test_scale_of_an_example_and_order_of_channels_do_not_matter():
    scales = np.array([0.01, 1.0, 300.0], "float32").reshape(3, 1, 1, 1)
    plain = attention_transfer(TEACHER, STUDENT)
    np.testing.assert_allclose(attention_transfer(TEACHER, scales * STUDENT), plain, rtol=1e-4)
    np.testing.assert_allclose(attention_transfer(TEACHER[..., ::-1], -STUDENT), plain, rtol=1e-5)
    np.testing.assert_allclose(attention_transfer(TEACHER, 2 * TEACHER), 0.0, atol=1e-12)


def test_sample_weights_multiply_and_the_batch_size_divides():
    weights = np.array([2.0, 0.0, 1.0], "float32")
    loss = AttentionTransfer().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(loss, np.dot(weights, reference(TEACHER, STUDENT)) / 3, rtol=1e-5)


def test_float16_maps_are_compared_in_float32():
    # 300² overflows float16
    teacher, student = (tf.cast(300 * maps, "float16") for maps in (TEACHER, STUDENT))
    np.testing.assert_allclose(attention_transfer(teacher, student), reference(TEACHER, STUDENT), rtol=1e-2)


def test_a_dead_map_has_finite_loss_and_gradient():
    student = tf.Variable(np.zeros_like(STUDENT))
    with tf.GradientTape() as tape:
        loss = AttentionTransfer().compute_loss(TEACHER, student)
    np.testing.assert_allclose(loss, 1 / 16, rtol=1e-5)  # the teacher's map of length 1 over 16 positions
    assert np.isfinite(tape.gradient(loss, student)).all()


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        loss = AttentionTransfer().compute_loss(teacher, STUDENT)
    assert tape.gradient(loss, teacher) is None


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    @tf.function(
        input_signature=[tf.TensorSpec((None, 4, 4, 5)), tf.TensorSpec((None, 2, 2, 2))], jit_compile=jit_compile
    )
    def loss(teacher, student):
        return AttentionTransfer().compute_loss(teacher, student)

    student = STUDENT[:, :2, :2]
    np.testing.assert_allclose(loss(TEACHER, student), attention_transfer(TEACHER, student).numpy().mean(), rtol=1e-5)
    assert np.isfinite(loss(TEACHER[:1], student[:1]))


def test_outputs_that_are_no_maps_are_refused():
    with pytest.raises(ValueError, match=r"needs maps .* teacher \(3, 4, 4, 5\), student \(3, 2\)"):
        attention_transfer(TEACHER, STUDENT[:, 0, 0])
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="hidden")])
    with pytest.raises(ValueError, match="needs maps"):
        AttentionTransfer("hidden", "hidden").validate_model_compatibility(dense, dense)


def test_the_configuration_round_trips():
    config = keras.saving.serialize_keras_object(AttentionTransfer("a", "b"))
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.teacher_layer_name, copy.student_layer_name) == ("a", "b")
    assert keras.saving.serialize_keras_object(copy) == config
