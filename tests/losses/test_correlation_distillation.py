import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import CorrelationDistillation, correlation_distance

GENERATOR = np.random.default_rng(4)
TEACHER = GENERATOR.normal(0, 2, (7, 4)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (7, 4)).astype("float32")
EPSILON = 1e-8


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def correlation(first, second):
    first, second = first - first.mean(), second - second.mean()
    return first @ second / (np.linalg.norm(first) * np.linalg.norm(second) + EPSILON)


def terms(teacher, student, temperature=1.0, activation=softmax):
    """(1 - mean correlation of rows, 1 - mean correlation of columns), in float64."""
    teacher, student = (activation(np.float64(values) / temperature) for values in (teacher, student))
    rows = [correlation(*pair) for pair in zip(student, teacher, strict=True)]
    columns = [correlation(*pair) for pair in zip(student.T, teacher.T, strict=True)]
    return 1 - np.mean(rows), 1 - np.mean(columns)


def reference(teacher, student, temperature=1.0, beta=1.0, gamma=1.0):
    of_rows, of_columns = terms(teacher, student, temperature)
    return temperature**2 * (beta * of_rows + gamma * of_columns)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("beta, gamma", [(1.0, 1.0), (2.0, 0.0), (0.0, 3.0)])
def test_values_and_gradients_are_those_of_the_formula(temperature, beta, gamma, gradient, numerical_gradient):
    settings = {"temperature": temperature, "beta": beta, "gamma": gamma}
    value = correlation_distance(TEACHER, STUDENT, **settings)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT, **settings), rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: correlation_distance(TEACHER, student, **settings), STUDENT),
        numerical_gradient(lambda student: reference(TEACHER, student, **settings), STUDENT),
        atol=1e-4,
    )


def test_the_correlations_are_numpys():
    teacher, student = softmax(np.float64(TEACHER)), softmax(np.float64(STUDENT))
    rows = [np.corrcoef(s, t)[0, 1] for s, t in zip(student, teacher, strict=True)]
    columns = [np.corrcoef(s, t)[0, 1] for s, t in zip(student.T, teacher.T, strict=True)]
    value = correlation_distance(TEACHER, STUDENT)
    np.testing.assert_allclose(value, 2 - np.mean(rows) - np.mean(columns), rtol=1e-4)


def test_worked_by_hand():
    # Rows: 11/14 and 1. Columns: 1, 1, and 0, for the student says the same of class 2 in both examples.
    teacher, student = np.log([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]]), np.log([[0.5, 0.2, 0.3], [0.2, 0.5, 0.3]])
    value = CorrelationDistillation(beta=2.0, gamma=3.0).compute_loss(teacher, student)
    np.testing.assert_allclose(value, 2 * 3 / 28 + 3 * 1 / 3, rtol=1e-5)


def test_descending_raises_both_correlations(gradient):
    student = STUDENT.copy()
    before = terms(TEACHER, student)
    for _ in range(150):
        student -= 0.5 * gradient(lambda logits: correlation_distance(TEACHER, logits), student)
    after = terms(TEACHER, student)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.5 * before[1]


def test_one_binary_output_is_compared_across_the_batch():
    teacher, student = TEACHER[:, :1], STUDENT[:, :1]
    expected = 1 - correlation(sigmoid(np.float64(student[:, 0])), sigmoid(np.float64(teacher[:, 0])))
    np.testing.assert_allclose(CorrelationDistillation(beta=100.0).compute_loss(teacher, student), expected, rtol=1e-4)


def test_several_labels_are_compared_as_sigmoids(gradient, numerical_gradient):
    loss = CorrelationDistillation(temperature=2.0, task="binary")
    expected = 4 * np.sum(terms(TEACHER, STUDENT, 2.0, sigmoid))
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT), expected, rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: loss.compute_loss(TEACHER, student), STUDENT),
        numerical_gradient(lambda student: 4 * np.sum(terms(TEACHER, student, 2.0, sigmoid)), STUDENT),
        atol=1e-4,
    )


def test_with_two_classes_the_rows_teach_nothing(gradient):
    rows = gradient(lambda student: correlation_distance(TEACHER[:, :2], student, gamma=0.0), STUDENT[:, :2])
    np.testing.assert_allclose(rows, 0.0, atol=1e-5)


@pytest.mark.parametrize("logits", [np.zeros((7, 4)), np.full((7, 4), 50.0)])
def test_a_constant_student_counts_as_uncorrelated_without_gradient(logits, gradient):
    np.testing.assert_allclose(correlation_distance(TEACHER, logits), 2.0)
    np.testing.assert_allclose(gradient(lambda student: correlation_distance(TEACHER, student), logits), 0.0)


def test_a_uniform_teacher_counts_as_uncorrelated_without_gradient(gradient):
    uniform = np.zeros((7, 4))
    np.testing.assert_allclose(correlation_distance(uniform, STUDENT), 2.0)
    np.testing.assert_allclose(gradient(lambda student: correlation_distance(uniform, student), STUDENT), 0.0)


def test_a_batch_of_one_has_rows_alone():
    value = correlation_distance(TEACHER[:1], STUDENT[:1])
    np.testing.assert_allclose(value, terms(TEACHER[:1], STUDENT[:1])[0] + 1.0, rtol=1e-4)


def test_a_one_hot_teacher_is_matched_by_a_sure_student():
    labels = np.arange(7) % 4
    one_hot = np.where(np.eye(4)[labels] == 1, 0.0, -np.inf).astype("float32")
    np.testing.assert_allclose(correlation_distance(one_hot, 50.0 * np.eye(4)[labels]), 0.0, atol=1e-5)
    np.testing.assert_allclose(
        correlation_distance(one_hot, STUDENT), reference(1000.0 * np.eye(4)[labels], STUDENT), rtol=1e-4
    )


def test_extreme_logits_stay_finite(gradient):
    # Both sure, of classes 0 and 1: every row correlates as (1, 0) with (0, 1) does, -1; the columns are constant.
    teacher, student = np.tile([[50.0, -50.0]], (3, 1)), np.tile([[-50.0, 50.0]], (3, 1))
    np.testing.assert_allclose(correlation_distance(teacher, student), 3.0, rtol=1e-6)
    assert np.isfinite(gradient(lambda logits: correlation_distance(teacher, logits), student)).all()


def test_a_student_like_the_teacher_has_no_loss_and_no_gradient(gradient):
    np.testing.assert_allclose(correlation_distance(TEACHER, TEACHER), 0.0, atol=1e-5)
    found = gradient(lambda student: correlation_distance(TEACHER, student), TEACHER)
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_a_constant_added_to_a_row_changes_nothing():
    shifts = np.linspace(-30, 30, 7)[:, None]
    value = correlation_distance(TEACHER + shifts, STUDENT - shifts)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


def test_the_order_of_classes_and_of_examples_does_not_matter():
    classes, examples = GENERATOR.permutation(4), GENERATOR.permutation(7)
    for index in (np.ix_(range(7), classes), np.ix_(examples, range(4))):
        value = correlation_distance(TEACHER[index], STUDENT[index])
        np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


def test_as_the_temperature_grows_the_correlations_become_those_of_the_logits():
    # softmax(z/T) tends to (1 + (z - mean)/T)/k, and correlations see neither shift nor scale.
    centred = [values - values.mean(-1, keepdims=True) for values in (TEACHER, STUDENT)]
    value = correlation_distance(TEACHER, STUDENT, temperature=500.0) / 500.0**2
    np.testing.assert_allclose(value, np.sum(terms(*centred, activation=lambda values: values)), rtol=1e-2)


def test_weights_of_zero_and_one_select_rows(gradient):
    weights = np.array([1, 0, 1, 1, 0, 1, 1], "float32")
    kept = weights == 1
    student = np.where(kept[:, None], STUDENT, 1e4)
    loss = CorrelationDistillation()

    def weighted(logits):
        return loss.compute_loss(TEACHER, logits, sample_weight=weights)

    np.testing.assert_allclose(weighted(student), 5 / 7 * reference(TEACHER[kept], STUDENT[kept]), rtol=1e-4)
    found = gradient(weighted, student)
    np.testing.assert_allclose(found[~kept], 0.0)
    plain = gradient(lambda logits: loss.compute_loss(TEACHER[kept], logits), STUDENT[kept])
    np.testing.assert_allclose(found[kept], 5 / 7 * plain, atol=1e-5)


def test_a_row_counts_as_often_as_its_weight_says():
    weights = np.array([1, 2, 1, 3, 1, 1, 1])
    repeated = [np.repeat(values, weights, axis=0) for values in (TEACHER, STUDENT)]
    value = CorrelationDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights.astype("float32"))
    np.testing.assert_allclose(value, 10 / 7 * reference(*repeated), rtol=1e-4)


def test_weights_that_are_larger_make_the_loss_as_much_larger():
    weights = np.linspace(0.5, 2.0, 7).astype("float32")
    small, large = (CorrelationDistillation().compute_loss(TEACHER, STUDENT, sample_weight=c * weights) for c in (1, 5))
    np.testing.assert_allclose(large, 5 * small, rtol=1e-5)


def test_without_any_weight_the_loss_is_zero():
    assert CorrelationDistillation().compute_loss(TEACHER, STUDENT, sample_weight=np.zeros(7, "float32")) == 0.0


def test_time_steps_are_rows_and_masked_ones_do_not_count():
    teacher, student = (np.concatenate([values, values[:1]]).reshape(2, 4, 4) for values in (TEACHER, STUDENT))
    masked = tf.constant(student)
    masked._keras_mask = tf.constant([[True] * 4, [True] * 3 + [False]])
    value = CorrelationDistillation().compute_loss(teacher, masked)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)


def test_every_example_may_have_its_own_temperature():
    temperatures = np.linspace(1.0, 4.0, 7).astype("float32")[:, None]
    teacher, student = (softmax(values / temperatures) for values in (TEACHER, STUDENT))
    rows = [correlation(*pair) for pair in zip(student, teacher, strict=True)]
    columns = [correlation(*pair) for pair in zip(student.T, teacher.T, strict=True)]
    squares = temperatures[:, 0] ** 2
    expected = np.mean(squares * (1 - np.array(rows))) + np.mean(squares) * (1 - np.mean(columns))
    np.testing.assert_allclose(correlation_distance(TEACHER, STUDENT, temperatures[:, 0]), expected, rtol=1e-4)
    weights = np.array([1, 1, 0, 1, 0, 1, 1], "float32")
    kept = [values[weights == 1] for values in (TEACHER, STUDENT, temperatures[:, 0])]
    weighted = correlation_distance(TEACHER, STUDENT, temperatures[:, 0], sample_weight=weights)
    np.testing.assert_allclose(weighted, 5 / 7 * correlation_distance(*kept), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_compared_in_float32(dtype):
    teacher, student = tf.cast(TEACHER, dtype), tf.cast(STUDENT, dtype)
    value = correlation_distance(teacher, student)
    assert value.dtype == tf.float32
    expected = reference(tf.cast(teacher, "float64").numpy(), tf.cast(student, "float64").numpy())
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_probabilities_give_the_same_loss_as_their_logits():
    loss = CorrelationDistillation(from_logits=False)
    np.testing.assert_allclose(
        loss.compute_loss(softmax(TEACHER), softmax(STUDENT)), reference(TEACHER, STUDENT), rtol=1e-4
    )


@pytest.mark.parametrize("arguments", [{"beta": -1}, {"gamma": None}, {"temperature": 0}])
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        CorrelationDistillation(**arguments)
