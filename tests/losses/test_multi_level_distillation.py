import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import MultiLevelDistillation, multi_level_divergence
from tfdistill.schedules import Linear

GENERATOR = np.random.default_rng(6)
TEACHER = GENERATOR.normal(0, 2, (6, 4)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (6, 4)).astype("float32")
TEMPERATURES = (4.0, 2.0, 3.0, 5.0, 6.0)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def level(teacher, student, temperature):
    """The three terms at one temperature, in float64."""
    p, q = softmax(np.float64(teacher) / temperature), softmax(np.float64(student) / temperature)
    rows, classes = p.shape
    divergence = temperature**2 * np.sum(p * np.log(p / q)) / rows
    of_classes = np.linalg.norm(p.T @ p - q.T @ q) ** 2 / classes
    of_examples = np.linalg.norm(p @ p.T - q @ q.T) ** 2 / rows
    return divergence, of_classes, of_examples


def reference(teacher, student, temperatures=TEMPERATURES):
    return sum(np.sum(level(teacher, student, temperature)) for temperature in temperatures)


@pytest.mark.parametrize("temperatures", [(1.0,), TEMPERATURES])
def test_values_and_gradients_are_those_of_the_formula(temperatures, gradient, numerical_gradient):
    value = multi_level_divergence(TEACHER, STUDENT, temperatures)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT, temperatures), rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: multi_level_divergence(TEACHER, student, temperatures), STUDENT),
        numerical_gradient(lambda student: reference(TEACHER, student, temperatures), STUDENT),
        atol=1e-4,
    )


def test_the_class_takes_a_base_temperature_and_four_more():
    np.testing.assert_allclose(
        MultiLevelDistillation().compute_loss(TEACHER, STUDENT), reference(TEACHER, STUDENT), rtol=1e-4
    )
    loss = MultiLevelDistillation(temperature=Linear(1.0, 3.0, steps=10), other_temperatures=[2.0])
    value = loss.compute_loss(TEACHER, STUDENT, step=5)  # 2 twice
    np.testing.assert_allclose(value, 2 * reference(TEACHER, STUDENT, [2.0]), rtol=1e-4)


def test_worked_by_hand():
    # P_t = (3/4, 1/4), P_s = (1/2, 1/2); PᵀP: (9 3; 3 1)/16 and (4 4; 4 4)/16; PPᵀ: 10/16 and 8/16.
    divergence = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    of_classes, of_examples = (25 + 1 + 1 + 9) / 256 / 2, 4 / 256
    value = multi_level_divergence(np.log([[3.0, 1.0]]), np.zeros((1, 2)), [1.0])
    np.testing.assert_allclose(value, divergence + of_classes + of_examples, rtol=1e-5)


def test_extreme_logits_stay_finite(gradient):
    # Sure of different classes: KL 100; PᵀP differs by 2² on both of the diagonal; PPᵀ is all ones for both.
    teacher, student = np.tile([[50.0, -50.0]], (2, 1)), np.tile([[-50.0, 50.0]], (2, 1))
    np.testing.assert_allclose(multi_level_divergence(teacher, student, [1.0]), 100 + (4 + 4) / 2, rtol=1e-6)
    found = gradient(lambda logits: multi_level_divergence(teacher, logits, [1.0]), student)
    np.testing.assert_allclose(found, np.tile([[-0.5, 0.5]], (2, 1)), atol=1e-5)


def test_a_one_hot_teacher_and_a_uniform_one():
    one_hot = np.where(np.eye(4)[[0, 1, 2, 3, 0, 1]] == 1, 0.0, -np.inf)
    np.testing.assert_allclose(
        multi_level_divergence(one_hot, STUDENT, [1.0]),
        reference(np.maximum(one_hot, -500.0), STUDENT, [1.0]),
        rtol=1e-4,
    )
    uniform = np.zeros((6, 4))
    np.testing.assert_allclose(multi_level_divergence(uniform, STUDENT), reference(uniform, STUDENT), rtol=1e-4)


def test_a_student_like_the_teacher_has_no_loss_and_no_gradient(gradient):
    np.testing.assert_allclose(multi_level_divergence(TEACHER, TEACHER), 0.0, atol=1e-5)
    found = gradient(lambda student: multi_level_divergence(TEACHER, student), TEACHER)
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_a_constant_added_to_a_row_changes_nothing():
    shifts = np.linspace(-30, 30, 6)[:, None]
    value = multi_level_divergence(TEACHER + shifts, STUDENT - shifts)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


def test_the_order_of_classes_and_of_examples_does_not_matter():
    classes, examples = GENERATOR.permutation(4), GENERATOR.permutation(6)
    for index in (np.ix_(range(6), classes), np.ix_(examples, range(4))):
        value = multi_level_divergence(TEACHER[index], STUDENT[index])
        np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


def test_one_binary_output_is_the_two_classes_of_its_sigmoid():
    teacher, student = (np.stack([values[:, 0], np.zeros(6)], axis=1) for values in (TEACHER, STUDENT))
    value = MultiLevelDistillation().compute_loss(TEACHER[:, :1], STUDENT[:, :1])
    np.testing.assert_allclose(value, reference(teacher, student), rtol=1e-4)


def test_several_labels_are_refused_before_they_run_and_when_they_run():
    loss = MultiLevelDistillation(task="binary")
    with pytest.raises(ValueError, match=r"sigmoids of several labels.*shape=\(6, 4\)"):
        loss.compute_loss(TEACHER, STUDENT)
    teacher, student = (keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)]) for _ in range(2))
    with pytest.raises(ValueError, match=r"sigmoids of several labels.*shape=\(None, 4\)"):
        loss.validate_model_compatibility(teacher, student)


def test_weights_of_zero_and_one_select_rows(gradient):
    weights = np.array([1, 0, 1, 1, 0, 1], "float32")
    kept = weights == 1
    student = np.where(kept[:, None], STUDENT, 1e4)
    loss = MultiLevelDistillation()

    def weighted(logits):
        return loss.compute_loss(TEACHER, logits, sample_weight=weights)

    np.testing.assert_allclose(weighted(student), 4 / 6 * reference(TEACHER[kept], STUDENT[kept]), rtol=1e-4)
    found = gradient(weighted, student)
    np.testing.assert_allclose(found[~kept], 0.0)
    plain = gradient(lambda logits: loss.compute_loss(TEACHER[kept], logits), STUDENT[kept])
    np.testing.assert_allclose(found[kept], 4 / 6 * plain, atol=1e-4)


def test_weights_that_are_larger_make_the_loss_as_much_larger():
    weights = np.linspace(0.5, 2.0, 6).astype("float32")
    small, large = (MultiLevelDistillation().compute_loss(TEACHER, STUDENT, sample_weight=c * weights) for c in (1, 5))
    np.testing.assert_allclose(large, 5 * small, rtol=1e-5)


def test_weights_enter_the_correlations_as_counts():
    weights = np.array([2.0, 1.0, 0.5, 0.5, 1.0, 1.0])  # with the mean 1, so they are relative weights already
    p, q = softmax(np.float64(TEACHER)), softmax(np.float64(STUDENT))
    divergence = weights @ np.sum(p * np.log(p / q), axis=-1) / 6
    of_classes = np.sum((p.T @ np.diag(weights) @ p - q.T @ np.diag(weights) @ q) ** 2) / 4
    of_examples = np.sum(np.outer(weights, weights) * (p @ p.T - q @ q.T) ** 2) / 6
    value = multi_level_divergence(TEACHER, STUDENT, [1.0], sample_weight=weights)
    np.testing.assert_allclose(value, divergence + of_classes + of_examples, rtol=1e-4)


def test_without_any_weight_the_loss_is_zero():
    assert MultiLevelDistillation().compute_loss(TEACHER, STUDENT, sample_weight=np.zeros(6, "float32")) == 0.0


def test_time_steps_are_rows_and_masked_ones_do_not_count():
    teacher, student = (np.concatenate([values, values[:2]]).reshape(2, 4, 4) for values in (TEACHER, STUDENT))
    masked = tf.constant(student)
    masked._keras_mask = tf.constant([[True] * 4, [True, True, False, False]])
    value = MultiLevelDistillation().compute_loss(teacher, masked)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_compared_in_float32(dtype):
    teacher, student = tf.cast(TEACHER, dtype), tf.cast(STUDENT, dtype)
    value = multi_level_divergence(teacher, student)
    assert value.dtype == tf.float32
    expected = reference(tf.cast(teacher, "float64").numpy(), tf.cast(student, "float64").numpy())
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("arguments", [{"other_temperatures": [2.0, -1.0]}, {"temperature": 0}])
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        MultiLevelDistillation(**arguments)
