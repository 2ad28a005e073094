import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import softened_crossentropy, softened_kl_divergence


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture
def logits():
    generator = np.random.default_rng(0)
    return generator.normal(0, 3, (2, 6, 5)).astype("float32")


def test_categorical_kl_worked_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2)
    teacher, student = np.log([[3.0, 1.0]]), np.zeros((1, 2))
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(softened_kl_divergence(teacher, student), [expected], rtol=1e-6)


def test_temperature_softens_both_sides_and_multiplies_by_its_square():
    # Logits 2 log 3 at T = 2 are log 3: the distribution of the test above, times 4.
    teacher, student = 2 * np.log([[3.0, 1.0]]), np.zeros((1, 2))
    expected = 4 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    np.testing.assert_allclose(softened_kl_divergence(teacher, student, temperature=2.0), [expected], rtol=1e-6)


def test_binary_crossentropy_worked_by_hand():
    # p = sigmoid(log 3) = 3/4. At q = 1/2 H = log 2 whatever p is; at logit -log 3 q = 1/4.
    teacher = np.log([[3.0], [3.0]])
    student = np.array([[0.0], [-np.log(3.0)]])
    expected = [np.log(2.0), -0.75 * np.log(0.25) - 0.25 * np.log(0.75)]
    np.testing.assert_allclose(softened_crossentropy(teacher, student), expected, rtol=1e-6)


def test_kl_equals_keras_on_softened_softmax(logits):
    teacher, student = logits
    expected = 9 * keras.losses.kl_divergence(softmax(teacher / 3), softmax(student / 3))
    np.testing.assert_allclose(softened_kl_divergence(teacher, student, 3.0), expected, rtol=1e-4)


def test_crossentropy_equals_keras_on_softened_outputs(logits):
    teacher, student = logits
    categorical = 9 * keras.losses.categorical_crossentropy(softmax(teacher / 3), student / 3, from_logits=True)
    np.testing.assert_allclose(softened_crossentropy(teacher, student, 3.0), categorical, rtol=1e-5)
    binary = 9 * keras.losses.binary_crossentropy(sigmoid(teacher / 3), student / 3, from_logits=True)
    np.testing.assert_allclose(softened_crossentropy(teacher, student, 3.0, task="binary"), binary, rtol=1e-5)


@pytest.mark.parametrize("task", ["binary", "categorical"])
def test_kl_is_crossentropy_less_the_teachers_entropy(logits, task):
    teacher, student = logits
    entropy = softened_crossentropy(teacher, teacher, 2.0, task)
    expected = (
        softened_crossentropy(student_logits=student, teacher_logits=teacher, temperature=2.0, task=task) - entropy
    )
    np.testing.assert_allclose(softened_kl_divergence(teacher, student, 2.0, task), expected, atol=1e-5)


def test_extreme_logits_stay_exact():
    # The teacher is sure of the class that the student gives e^-100: KL = 100, and 50 for one sigmoid.
    teacher, student = np.array([[50.0, -50.0]]), np.array([[-50.0, 50.0]])
    np.testing.assert_allclose(softened_kl_divergence(teacher, student), [100.0])
    np.testing.assert_allclose(softened_kl_divergence(teacher[:, :1], student[:, :1]), [50.0])
    np.testing.assert_allclose(softened_kl_divergence(teacher, teacher), [0.0])


@pytest.mark.parametrize("function", [softened_kl_divergence, softened_crossentropy])
@pytest.mark.parametrize("shape", [(1, 2), (1, 1)])
def test_gradients_at_extreme_logits_are_finite_and_right(function, shape):
    # d/ds = T (q - p): with T = 1 and both certain of different classes, -1 and 1.
    teacher = tf.constant([[50.0, -50.0]])[:, : shape[1]]
    student = tf.Variable([[-50.0, 50.0]])[:, : shape[1]]
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = function(teacher, student)
    np.testing.assert_allclose(tape.gradient(value, student), [[-1.0, 1.0][: shape[1]]], atol=1e-6)


def test_a_one_hot_teacher_gives_the_hard_crossentropy(logits):
    student = logits[0]
    labels = np.arange(6) % 5
    one_hot = np.where(np.eye(5)[labels] == 1, 0.0, -np.inf).astype("float32")
    expected = keras.losses.sparse_categorical_crossentropy(labels, student, from_logits=True)
    np.testing.assert_allclose(softened_crossentropy(one_hot, student), expected, rtol=1e-5)
    np.testing.assert_allclose(softened_kl_divergence(one_hot, student), expected, rtol=1e-5)


def test_a_uniform_teacher_gives_log_k_against_a_uniform_student():
    np.testing.assert_allclose(softened_crossentropy(np.zeros((1, 4)), np.full((1, 4), 7.0)), [np.log(4)], rtol=1e-6)
    np.testing.assert_allclose(softened_kl_divergence(np.zeros((1, 4)), np.full((1, 4), 7.0)), [0.0], atol=1e-7)


def test_classes_masked_with_minus_infinity_drop_out():
    masked = softened_kl_divergence([[1.0, 2.0, -np.inf]], tf.constant([[0.5, 0.0, -np.inf]]), 2.0)
    np.testing.assert_allclose(masked, softened_kl_divergence([[1.0, 2.0]], [[0.5, 0.0]], 2.0), rtol=1e-6)
    student = tf.Variable([[0.5, 0.0, -np.inf]])
    with tf.GradientTape() as tape:
        value = softened_kl_divergence([[1.0, 2.0, -np.inf]], student, 2.0)
    assert np.isfinite(tape.gradient(value, student)).all()


def test_adding_a_constant_to_a_row_of_logits_changes_nothing(logits):
    teacher, student = logits
    shifts = np.array([[-30.0], [-1.0], [0.0], [1.0], [10.0], [30.0]], "float32")
    np.testing.assert_allclose(
        softened_kl_divergence(teacher + shifts, student - shifts, 4.0),
        softened_kl_divergence(teacher, student, 4.0),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_gradient_is_temperature_times_the_difference_of_distributions(logits):
    teacher, student = logits
    for temperature in (1.0, 4.0):
        variable = tf.Variable(student)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(softened_kl_divergence(teacher, variable, temperature))
        expected = temperature * (softmax(student / temperature) - softmax(teacher / temperature))
        np.testing.assert_allclose(tape.gradient(value, variable), expected, atol=1e-5)


def test_at_high_temperature_the_gradient_tends_to_the_difference_of_centred_logits(logits):
    # Hinton's limit: T² KL -> |z_s - z_t|² / (2 k) for centred logits, so the gradient does not fade as T grows.
    teacher, student = (values - values.mean(-1, keepdims=True) for values in logits)
    value = softened_kl_divergence(teacher, student, 500.0)
    np.testing.assert_allclose(value, ((student - teacher) ** 2).sum(-1) / 10, rtol=2e-2)


def test_float16_logits_are_computed_in_float32(logits):
    teacher, student = logits.astype("float16")
    value = softened_kl_divergence(tf.constant(teacher), tf.constant(student), 3.0)
    assert value.dtype == tf.float32
    expected = softened_kl_divergence(teacher.astype("float32"), student.astype("float32"), 3.0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_no_gradient_reaches_the_teacher(logits):
    teacher = tf.Variable(logits[0])
    with tf.GradientTape() as tape:
        value = softened_kl_divergence(teacher, logits[1])
    assert tape.gradient(value, teacher) is None


def test_several_labels_are_averaged_like_keras_does():
    # Two labels with logits 0 for teacher and student: log 2 each, and their mean is log 2.
    np.testing.assert_allclose(softened_crossentropy(np.zeros((1, 2)), np.zeros((1, 2)), task="binary"), [np.log(2)])


def test_time_steps_are_kept_apart():
    assert softened_kl_divergence(np.zeros((2, 3, 4)), np.zeros((2, 3, 4))).shape == (2, 3)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(4, 1\), student \(4, 3\)"):
        softened_kl_divergence(np.zeros((4, 1)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"\[batch, ..., classes\]"):
        softened_kl_divergence(np.zeros(4), np.zeros(4))


def test_a_softmax_over_one_class_is_refused():
    with pytest.raises(ValueError, match="task='binary'"):
        softened_kl_divergence(np.zeros((4, 1)), np.zeros((4, 1)), task="categorical")


@pytest.mark.parametrize("function", [softened_kl_divergence, softened_crossentropy])
def test_a_learned_temperature_has_a_finite_gradient_beside_masked_classes(function, logits):
    teacher, student = logits
    gradients = []
    for masked in (0, 2):
        infinities = np.full((6, masked), -np.inf, "float32")
        temperature = tf.Variable(2.0)
        with tf.GradientTape() as tape:
            sides = (np.concatenate([values, infinities], axis=-1) for values in (teacher, student))
            value = tf.reduce_sum(function(*sides, tf.convert_to_tensor(temperature)))
        gradients.append(float(tape.gradient(value, temperature)))
    step = 1e-2
    up, down = (np.sum(function(teacher, student, 2.0 + sign * step)) for sign in (1, -1))
    np.testing.assert_allclose(gradients[0], (up - down) / (2 * step), rtol=1e-2)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4)
