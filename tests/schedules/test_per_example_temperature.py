"""Temperatures by example: flsw and cwsm."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.schedules import ConfidenceTemperature, CurriculumTemperature, FocalTemperature, Linear

GENERATOR = np.random.default_rng(3)
TEACHER = GENERATOR.normal(0, 3, (16, 5)).astype("float32")
STUDENT = GENERATOR.normal(0, 3, (16, 5)).astype("float32")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def resolve(temperature, teacher, student, **arguments):
    return temperature.resolve(None, tf.constant(teacher), tf.constant(student), **arguments).numpy()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_temperatures_follow_the_formula(gamma):
    teacher, student = TEACHER.astype("float64"), STUDENT.astype("float64")
    cosines = (teacher * student).sum(-1) / np.linalg.norm(teacher, axis=-1) / np.linalg.norm(student, axis=-1)
    weights = (1 - cosines) ** gamma
    expected = 8.0 + 1.5 * (weights.mean() - weights)
    np.testing.assert_allclose(resolve(FocalTemperature(8.0, 1.5, gamma), TEACHER, STUDENT), expected, rtol=1e-5)


def test_confidence_temperatures_follow_the_formula():
    weights = 1 / softmax(STUDENT.astype("float64")).max(-1)
    expected = 8.0 + 1.5 * (weights.mean() - weights)
    np.testing.assert_allclose(resolve(ConfidenceTemperature(8.0, 1.5), TEACHER, STUDENT), expected, rtol=1e-5)


def test_where_the_student_disagrees_or_is_unsure_the_temperature_is_lower():
    # w = 0 and 2² for the same and the opposite direction: 4 + (2 - w), with a floor of 1.
    teacher, student = [[1.0, -1.0], [1.0, -1.0]], [[5.0, -5.0], [-3.0, 3.0]]
    np.testing.assert_allclose(resolve(FocalTemperature(4.0), teacher, student), [6.0, 2.0], rtol=1e-5)
    # w = 4 for four equal logits, 1 for a sure student: 4 + (2.5 - w)
    student = [[0.0, 0.0, 0.0, 0.0], [90.0, 0.0, 0.0, 0.0]]
    np.testing.assert_allclose(resolve(ConfidenceTemperature(4.0), student, student), [2.5, 5.5], rtol=1e-5)


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0, beta=100.0), ConfidenceTemperature(4.0, beta=100.0)])
def test_no_temperature_is_below_the_floor(temperature):
    assert resolve(temperature, TEACHER, STUDENT).min() == 1.0


def test_the_floor_can_be_set():
    assert resolve(FocalTemperature(0.5, beta=100.0, lowest=0.25), TEACHER, STUDENT).min() == 0.25


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0), ConfidenceTemperature(4.0)])
def test_a_batch_of_equals_has_the_base_temperature(temperature):
    np.testing.assert_allclose(resolve(temperature, TEACHER[[0, 0, 0]], STUDENT[[0, 0, 0]]), [4.0] * 3, rtol=1e-6)


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0), ConfidenceTemperature(4.0)])
def test_the_order_of_examples_and_classes_does_not_matter(temperature):
    rows, columns = GENERATOR.permutation(16), GENERATOR.permutation(5)
    expected = resolve(temperature, TEACHER, STUDENT)[rows]
    np.testing.assert_allclose(
        resolve(temperature, TEACHER[rows][:, columns], STUDENT[rows][:, columns]), expected, rtol=1e-5
    )


def test_a_constant_on_the_students_logits_does_not_change_its_confidence():
    expected = resolve(ConfidenceTemperature(4.0), TEACHER, STUDENT)
    np.testing.assert_allclose(resolve(ConfidenceTemperature(4.0), TEACHER, STUDENT + 30.0), expected, rtol=1e-5)


def test_one_logit_is_as_confident_as_two_classes():
    logits = np.array([[0.0], [np.log(4.0)], [-np.log(4.0)]], "float32")
    two_classes = np.concatenate([logits, 0 * logits], axis=-1)
    one = resolve(ConfidenceTemperature(4.0), logits, logits)
    np.testing.assert_allclose(one, resolve(ConfidenceTemperature(4.0), two_classes, two_classes), rtol=1e-6)
    np.testing.assert_allclose(one, [3.5, 4.25, 4.25], rtol=1e-6)  # w = 2, 5/4, 5/4 with the mean 3/2


def test_one_logit_disagrees_as_the_distributions_do():
    # (p, 1-p) is (1, 0) and (0, 1), (1/2, 1/2) and (1, 0), (1/2, 1/2) twice: cosines 0, √½, 1.
    teacher, student = [[60.0], [0.0], [0.0]], [[-60.0], [60.0], [0.0]]
    weights = np.array([1.0, 1 - np.sqrt(0.5), 0.0])
    expected = 4.0 + weights.mean() - weights
    np.testing.assert_allclose(resolve(FocalTemperature(4.0, gamma=1.0), teacher, student), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 1), (6, 4)])
def test_several_labels_are_averaged(shape):
    teacher, student = GENERATOR.normal(0, 2, (2, *shape)).astype("float32")
    p, q = sigmoid(teacher.astype("float64")), sigmoid(student.astype("float64"))
    cosines = (p * q + (1 - p) * (1 - q)) / np.hypot(p, 1 - p) / np.hypot(q, 1 - q)
    for temperature, weights in (
        (FocalTemperature(4.0), ((1 - cosines) ** 2).mean(-1)),
        (ConfidenceTemperature(4.0), (1 / np.maximum(q, 1 - q)).mean(-1)),
    ):
        result = resolve(temperature, teacher, student, task="binary")
        np.testing.assert_allclose(result, 4.0 + weights.mean() - weights, rtol=1e-5)


def test_every_time_step_has_a_temperature_of_its_own():
    teacher, student = TEACHER.reshape(4, 4, 5), STUDENT.reshape(4, 4, 5)
    for temperature in (FocalTemperature(8.0), ConfidenceTemperature(8.0)):
        expected = resolve(temperature, TEACHER, STUDENT).reshape(4, 4)
        np.testing.assert_allclose(resolve(temperature, teacher, student), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0, gamma=0.5), ConfidenceTemperature(4.0)])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 50.0, 1e30])
def test_extreme_logits_have_finite_temperatures(temperature, scale):
    logits = scale * np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 0.0]], "float32")
    result = resolve(temperature, logits[::-1], logits)
    assert np.isfinite(result).all() and (result >= 1.0).all()


def test_the_size_of_logits_does_not_matter_to_a_cosine():
    expected = resolve(FocalTemperature(4.0), TEACHER, STUDENT)
    np.testing.assert_allclose(resolve(FocalTemperature(4.0), 1e-25 * TEACHER, 1e25 * STUDENT), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0), ConfidenceTemperature(4.0)])
def test_classes_masked_with_minus_infinity_drop_out(temperature):
    mask = np.full((16, 1), -np.inf, "float32")
    masked = resolve(temperature, np.hstack([TEACHER, mask]), np.hstack([STUDENT, mask]))
    np.testing.assert_allclose(masked, resolve(temperature, TEACHER, STUDENT), rtol=1e-6)


@pytest.mark.parametrize("temperature", [FocalTemperature(4.0), ConfidenceTemperature(4.0)])
def test_no_gradient_flows_through_the_temperature(temperature):
    teacher, student = tf.Variable(TEACHER), tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(temperature.resolve(None, teacher, student))
    assert tape.gradient(value, [teacher, student]) == [None, None]


def test_the_base_can_be_a_schedule():
    temperature = FocalTemperature(Linear(8.0, 4.0, steps=10))
    late = temperature.resolve(tf.constant(10), tf.constant(TEACHER), tf.constant(STUDENT))
    np.testing.assert_allclose(late, resolve(FocalTemperature(4.0), TEACHER, STUDENT), rtol=1e-5)
    with pytest.raises(ValueError, match="step=None"):
        resolve(temperature, TEACHER, STUDENT)
    copy = FocalTemperature.from_config(temperature.get_config())
    assert copy.get_config() == temperature.get_config()


@pytest.mark.parametrize("temperature_class", [FocalTemperature, ConfidenceTemperature])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"base": 0}, "`base` must be a positive number"),
        ({"base": CurriculumTemperature(5)}, "`base` must be a positive number or a schedule"),
        ({"base": 0.5}, "`base` must not be below `lowest`. Received: base=0.5, lowest=1.0"),
        ({"base": Linear(4.0, 0.5, 10)}, "`base` must not be below `lowest`"),
        ({"base": 4.0, "beta": None}, "`beta` must be a finite number"),
        ({"base": 4.0, "lowest": 0}, "`lowest` must be a positive number"),
    ],
)
def test_wrong_arguments_are_named(temperature_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        temperature_class(**arguments)


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="`gamma` must be a number that is not negative. Received: gamma=-1"):
        FocalTemperature(4.0, gamma=-1)
