import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import BlendedDistillation, blended_divergence, softened_kl_divergence

GENERATOR = np.random.default_rng(8)
TEACHER = GENERATOR.normal(0, 2, (6, 4)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (6, 4)).astype("float32")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def reference(teacher, student, alpha, temperature, l2_on, binary=False):
    teacher, student = np.float64(teacher), np.float64(student)
    activation = sigmoid if binary else softmax
    p, q = activation(teacher / temperature), activation(student / temperature)
    terms = p * np.log(p / q)
    if binary:
        terms = terms + (1 - p) * np.log((1 - p) / (1 - q))
    if l2_on == "probabilities":
        teacher, student = activation(teacher), activation(student)
    reduce = np.mean if binary else np.sum
    return alpha * temperature**2 * reduce(terms, axis=-1) + (1 - alpha) * reduce((student - teacher) ** 2, axis=-1)


@pytest.mark.parametrize("task", ["categorical", "binary"])
@pytest.mark.parametrize("l2_on", ["probabilities", "logits"])
@pytest.mark.parametrize("alpha, temperature", [(0.3, 1.0), (0.8, 4.0), (0.0, 2.0), (1.0, 2.0)])
def test_values_and_gradients_are_those_of_the_formula(alpha, temperature, l2_on, task, gradient, numerical_gradient):
    settings = (alpha, temperature, l2_on)
    value = blended_divergence(TEACHER, STUDENT, *settings, task)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT, *settings, task == "binary"), rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: blended_divergence(TEACHER, student, *settings, task), STUDENT),
        numerical_gradient(lambda student: reference(TEACHER, student, *settings, task == "binary"), STUDENT),
        atol=1e-4,
    )


def test_worked_by_hand():
    # Probabilities (3/4, 1/4) and (1/2, 1/2), logits (log 3, 0) and (0, 0).
    teacher, student = np.log([[3.0, 1.0]]), np.zeros((1, 2))
    divergence = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value = blended_divergence(teacher, student, alpha=0.25)
    np.testing.assert_allclose(value, [0.25 * divergence + 0.75 * 2 / 16], rtol=1e-5)
    value = blended_divergence(teacher, student, alpha=0.25, l2_on="logits")
    np.testing.assert_allclose(value, [0.25 * divergence + 0.75 * np.log(3) ** 2], rtol=1e-5)


def test_one_binary_output_is_a_sigmoid():
    # sigmoid(log 3) = 3/4 against 1/2
    divergence = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value = BlendedDistillation(0.5).compute_loss(np.log([[3.0]]), np.zeros((1, 1)))
    np.testing.assert_allclose(value, 0.5 * divergence + 0.5 / 16, rtol=1e-5)


def test_extreme_logits_stay_exact(gradient):
    # KL 100; probabilities differ by 1 in both classes; logits by 100 in both.
    teacher, student = np.array([[50.0, -50.0]]), np.array([[-50.0, 50.0]])
    np.testing.assert_allclose(blended_divergence(teacher, student, 0.5), [0.5 * 100 + 0.5 * 2], rtol=1e-6)
    value = blended_divergence(teacher, student, 0.5, l2_on="logits")
    np.testing.assert_allclose(value, [0.5 * 100 + 0.5 * 2e4], rtol=1e-6)
    found = gradient(lambda logits: blended_divergence(teacher, logits, 0.5), student)
    np.testing.assert_allclose(found, [[-0.5, 0.5]], atol=1e-6)


def test_a_one_hot_teacher_and_a_uniform_one():
    labels = np.array([0, 1, 2, 3, 0, 1])
    one_hot = np.where(np.eye(4)[labels] == 1, 0.0, -np.inf)
    p = softmax(np.float64(STUDENT))
    expected = 0.5 * -np.log(p[np.arange(6), labels]) + 0.5 * np.sum((p - np.eye(4)[labels]) ** 2, axis=-1)
    np.testing.assert_allclose(blended_divergence(one_hot, STUDENT, 0.5), expected, rtol=1e-4)
    uniform = np.zeros((6, 4))
    expected = reference(uniform, STUDENT, 0.5, 2.0, "probabilities")
    np.testing.assert_allclose(blended_divergence(uniform, STUDENT, 0.5, 2.0), expected, rtol=1e-4)


@pytest.mark.parametrize("l2_on", ["probabilities", "logits"])
def test_a_student_like_the_teacher_has_no_loss_and_no_gradient(l2_on, gradient):
    np.testing.assert_allclose(blended_divergence(TEACHER, TEACHER, 0.5, 3.0, l2_on), 0.0, atol=1e-5)
    found = gradient(lambda student: blended_divergence(TEACHER, student, 0.5, 3.0, l2_on), TEACHER)
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_a_constant_added_to_a_row_matters_to_the_logits_alone():
    shifts = np.linspace(1, 30, 6)[:, None]
    value = blended_divergence(TEACHER, STUDENT + shifts, 0.5, 2.0)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT, 0.5, 2.0, "probabilities"), rtol=1e-4)
    assert (blended_divergence(TEACHER, STUDENT + shifts, 0.5, 2.0, "logits").numpy() != value.numpy()).all()


def test_the_order_of_classes_and_of_examples_does_not_matter():
    classes, examples = GENERATOR.permutation(4), GENERATOR.permutation(6)
    expected = reference(TEACHER, STUDENT, 0.5, 2.0, "logits")
    settings = (0.5, 2.0, "logits")
    value = blended_divergence(TEACHER[:, classes], STUDENT[:, classes], *settings)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    value = blended_divergence(TEACHER[examples], STUDENT[examples], *settings)
    np.testing.assert_allclose(value, expected[examples], rtol=1e-4)


def test_with_alpha_one_it_is_plain_distillation():
    value = BlendedDistillation(1.0, 3.0).compute_loss(TEACHER, STUDENT)
    np.testing.assert_allclose(value, np.mean(softened_kl_divergence(TEACHER, STUDENT, 3.0)), rtol=1e-6)


def test_sample_weights_multiply_and_masked_time_steps_do_not_count():
    values = reference(TEACHER, STUDENT, 0.5, 1.0, "probabilities")
    weights = np.arange(6.0)
    value = BlendedDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(value, np.dot(weights, values) / 6, rtol=1e-4)
    mask = np.array([[True, True, False], [True, False, True]])
    student = tf.constant(STUDENT.reshape(2, 3, 4))
    student._keras_mask = tf.constant(mask)
    value = BlendedDistillation().compute_loss(TEACHER.reshape(2, 3, 4), student)
    np.testing.assert_allclose(value, values[mask.ravel()].mean(), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_compared_in_float32(dtype):
    teacher, student = tf.cast(TEACHER, dtype), tf.cast(STUDENT, dtype)
    value = blended_divergence(teacher, student, 0.5, 2.0)
    assert value.dtype == tf.float32
    exact = (tf.cast(values, "float64").numpy() for values in (teacher, student))
    np.testing.assert_allclose(value, reference(*exact, 0.5, 2.0, "probabilities"), rtol=1e-4)


@pytest.mark.parametrize(
    "arguments", [{"alpha": -0.1}, {"alpha": 1.5}, {"alpha": True}, {"l2_on": "y"}, {"temperature": 0}]
)
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        BlendedDistillation(**arguments)
    with pytest.raises(ValueError, match="`l2_on` must be one of 'probabilities', 'logits'"):
        blended_divergence(TEACHER, STUDENT, l2_on="scores")
