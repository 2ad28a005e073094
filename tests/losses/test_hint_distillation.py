import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import HintDistillation, hint

GENERATOR = np.random.default_rng(0)
TEACHER = GENERATOR.normal(size=(4, 3)).astype("float32")
STUDENT = GENERATOR.normal(size=(4, 3)).astype("float32")


def test_the_squared_difference_worked_by_hand():
    np.testing.assert_allclose(hint(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])), [2.5])


def test_values_and_gradients_are_those_of_the_definition(gradient, numerical_gradient):
    np.testing.assert_allclose(hint(TEACHER, STUDENT), ((TEACHER - STUDENT) ** 2).mean(-1), rtol=1e-5)
    expected = numerical_gradient(lambda student: ((TEACHER - student) ** 2).mean(-1), STUDENT)
    np.testing.assert_allclose(gradient(lambda student: hint(TEACHER, student), STUDENT), expected, rtol=1e-4)


def test_equal_widths_need_no_projector():
    loss = HintDistillation()
    value = loss.compute_loss(TEACHER, STUDENT, sample_weight=np.array([1.0, 0.0, 2.0, 0.0]))
    assert loss.weights == []
    expected = np.dot([1, 0, 2, 0], ((TEACHER - STUDENT) ** 2).mean(-1)) / 4
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(loss.compute_loss(TEACHER, TEACHER), 0.0)


def test_other_widths_go_through_a_linear_map():
    loss = HintDistillation()
    value = loss.compute_loss(TEACHER, STUDENT[:, :2])
    kernel, bias = loss.get_weights()
    np.testing.assert_allclose(value, np.mean((STUDENT[:, :2] @ kernel + bias - TEACHER) ** 2), rtol=1e-5)


def test_training_the_projector_alone_recovers_a_linear_teacher():
    student = GENERATOR.normal(size=(32, 2)).astype("float32")
    teacher = student @ np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]], "float32") + 1.0
    loss = HintDistillation()
    loss.build((None, 3), (None, 2))
    optimizer = keras.optimizers.SGD(0.5)
    for _ in range(200):
        with tf.GradientTape() as tape:
            value = loss.compute_loss(teacher, student)
        variables = loss.trainable_variables
        optimizer.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)


def test_float16_features_are_compared_in_float32():
    # 300² overflows float16
    value = HintDistillation().compute_loss(tf.fill((2, 3), tf.constant(300.0, "float16")), tf.zeros((2, 3), "float16"))
    np.testing.assert_allclose(value, 90000.0)


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        value = HintDistillation().compute_loss(teacher, STUDENT)
    assert tape.gradient(value, teacher) is None


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    loss = HintDistillation(projector="dense")
    loss.build((None, 3), (None, 2))

    @tf.function(input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None, 2))], jit_compile=jit_compile)
    def value(teacher, student):
        return loss.compute_loss(teacher, student)

    for count in (1, 4):
        expected = loss.compute_loss(TEACHER[:count], STUDENT[:count, :2])
        np.testing.assert_allclose(value(TEACHER[:count], STUDENT[:count, :2]), expected, rtol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(4, 3\), student \(4, 1\).*`projector`"):
        hint(TEACHER, STUDENT[:, :1])
    with pytest.raises(ValueError, match=r"teacher \(4, 3\), student \(4, 1\)"):
        HintDistillation(projector=None).compute_loss(TEACHER, STUDENT[:, :1])


def test_the_configuration_round_trips():
    loss = HintDistillation("a", "b", projector="dense")
    loss.build((None, 3), (None, 2))
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.teacher_layer_name, copy.student_layer_name, copy.count_params()) == ("a", "b", 9)
    assert keras.saving.serialize_keras_object(copy) == config
