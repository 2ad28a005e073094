import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import AnnealingDistillation, annealed_squared_error
from tfdistill.schedules import AnnealingSchedule

GENERATOR = np.random.default_rng(9)
TEACHER = GENERATOR.normal(0, 2, (6, 4)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (6, 4)).astype("float32")


def reference(teacher, student, scale):
    return np.mean((np.float64(student) - scale * np.float64(teacher)) ** 2, axis=-1)


@pytest.mark.parametrize("scale", [1.0, 1 / 7])
def test_values_and_gradients_are_those_of_the_formula(scale, gradient):
    value = annealed_squared_error(TEACHER, STUDENT, scale)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT, scale), rtol=1e-5)
    np.testing.assert_allclose(
        gradient(lambda student: annealed_squared_error(TEACHER, student, scale), STUDENT),
        2 / 4 * (STUDENT - scale * TEACHER),
        atol=1e-5,
    )


def test_worked_by_hand():
    # (1 - 1, 3 - (-2)) = (0, 5)
    np.testing.assert_allclose(annealed_squared_error([[2.0, -4.0]], [[1.0, 3.0]], scale=0.5), [12.5])


def test_a_schedule_makes_the_teacher_louder_step_by_step():
    loss = AnnealingDistillation(AnnealingSchedule(max_temperature=4, steps_per_temperature=10))
    for step, scale in ((0, 0.25), (10, 0.5), (29, 0.75), (30, 1.0), (1000, 1.0)):
        value = loss.compute_loss(TEACHER, STUDENT, step=step)
        np.testing.assert_allclose(value, reference(TEACHER, STUDENT, scale).mean(), rtol=1e-5)


def test_a_schedule_without_a_step_is_refused():
    loss = AnnealingDistillation(AnnealingSchedule(steps_per_temperature=10))
    with pytest.raises(ValueError, match="AnnealingSchedule needs the number of the training step"):
        loss.compute_loss(TEACHER, STUDENT)


def test_extreme_logits_and_binary_outputs_are_the_same_formula(gradient):
    teacher, student = np.array([[50.0]]), np.array([[-50.0]])
    loss = AnnealingDistillation(0.5)
    np.testing.assert_allclose(loss.compute_loss(teacher, student), 75.0**2)
    np.testing.assert_allclose(gradient(lambda logits: loss.compute_loss(teacher, logits), student), [[-150.0]])


def test_a_student_like_the_scaled_teacher_has_no_loss_and_no_gradient(gradient):
    np.testing.assert_allclose(annealed_squared_error(TEACHER, 0.5 * TEACHER, 0.5), 0.0)
    found = gradient(lambda student: annealed_squared_error(TEACHER, student, 0.5), 0.5 * TEACHER)
    np.testing.assert_allclose(found, 0.0)


def test_a_constant_added_to_both_and_the_order_of_classes_do_not_matter():
    expected = reference(TEACHER, STUDENT, 1.0)
    np.testing.assert_allclose(annealed_squared_error(TEACHER + 7, STUDENT + 7), expected, rtol=1e-4)
    classes = GENERATOR.permutation(4)
    np.testing.assert_allclose(annealed_squared_error(TEACHER[:, classes], STUDENT[:, classes]), expected, rtol=1e-5)


def test_sample_weights_multiply_and_masked_time_steps_do_not_count():
    values = reference(TEACHER, STUDENT, 1.0)
    weights = np.arange(6.0)
    value = AnnealingDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(value, np.dot(weights, values) / 6, rtol=1e-5)
    mask = np.array([[True, True, False], [True, False, True]])
    student = tf.constant(STUDENT.reshape(2, 3, 4))
    student._keras_mask = tf.constant(mask)
    value = AnnealingDistillation().compute_loss(TEACHER.reshape(2, 3, 4), student)
    np.testing.assert_allclose(value, values[mask.ravel()].mean(), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_compared_in_float32(dtype):
    # 300² overflows float16
    teacher, student = tf.fill((2, 3), tf.constant(300.0, dtype)), tf.zeros((2, 3), dtype)
    value = AnnealingDistillation().compute_loss(teacher, student)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, 90000.0)


def test_probabilities_are_turned_into_logits_first():
    loss = AnnealingDistillation(from_logits=False)
    value = loss.compute_loss(keras.ops.sigmoid(TEACHER[:, :1]), keras.ops.sigmoid(STUDENT[:, :1]))
    np.testing.assert_allclose(value, reference(TEACHER[:, :1], STUDENT[:, :1], 1.0).mean(), rtol=1e-4)


def test_the_configuration_has_the_scale_and_no_temperature():
    config = AnnealingDistillation(0.5).get_config()
    assert config["scale"] == 0.5
    assert "temperature" not in config


@pytest.mark.parametrize("scale", [0, -1.0, "1", None, float("nan"), True])
def test_a_scale_that_is_neither_a_positive_number_nor_a_schedule_is_refused(scale):
    with pytest.raises(ValueError, match="`scale` must be a positive number or a schedule"):
        AnnealingDistillation(scale)
