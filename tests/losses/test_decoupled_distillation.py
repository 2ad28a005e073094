import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.losses import DecoupledDistillation, decoupled_kl_divergence, softened_kl_divergence

GENERATOR = np.random.default_rng(3)
TEACHER = GENERATOR.normal(0, 2, (6, 5)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (6, 5)).astype("float32")
LABELS = np.array([4, 0, 2, 2, 1, 3])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def reference(teacher, student, labels=LABELS, temperature=4.0, alpha=1.0, beta=8.0):
    """The formula by probabilities in float64, an example at a time."""
    values = []
    for t, s, y in zip(np.float64(teacher), np.float64(student), labels, strict=True):
        p_t, p_s = softmax(t / temperature), softmax(s / temperature)
        of_target = sum(a * np.log(a / b) for a, b in ((p_t[y], p_s[y]), (1 - p_t[y], 1 - p_s[y])))
        q_t, q_s = (np.delete(p, y) / np.delete(p, y).sum() for p in (p_t, p_s))
        values.append(temperature**2 * (alpha * of_target + beta * np.sum(q_t * np.log(q_t / q_s))))
    return np.array(values)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("alpha, beta", [(1.0, 8.0), (1.0, 0.0), (0.0, 2.0)])
def test_values_and_gradients_are_those_of_the_formula(temperature, alpha, beta, gradient, numerical_gradient):
    settings = {"temperature": temperature, "alpha": alpha, "beta": beta}
    values = decoupled_kl_divergence(TEACHER, STUDENT, LABELS, **settings)
    np.testing.assert_allclose(values, reference(TEACHER, STUDENT, **settings), rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: decoupled_kl_divergence(TEACHER, student, LABELS, **settings), STUDENT),
        numerical_gradient(lambda student: reference(TEACHER, student, **settings), STUDENT),
        atol=1e-4,
    )


def test_worked_by_hand():
    # Class 0 of p_t = (1/2, 1/4, 1/4) and p_s = (1/3, 1/2, 1/6): KL_b = ½ log(3/2) + ½ log(3/4),
    # q_t = (1/2, 1/2), q_s = (3/4, 1/4): KL_q = ½ log(2/3) + ½ log 2.
    teacher, student = np.log([[2.0, 1.0, 1.0]]), np.log([[2.0, 3.0, 1.0]])
    of_target, of_others = 0.5 * np.log(9 / 8), 0.5 * np.log(4 / 3)
    value = decoupled_kl_divergence(teacher, student, [0], temperature=1.0, alpha=3.0, beta=5.0)
    np.testing.assert_allclose(value, [3 * of_target + 5 * of_others], rtol=1e-6)


def test_the_terms_put_together_again_are_the_softened_divergence():
    # KL = KL_b + (1 - p_y) KL_q, the paper's reformulation.
    of_target = decoupled_kl_divergence(TEACHER, STUDENT, LABELS, 2.0, alpha=1.0, beta=0.0)
    of_others = decoupled_kl_divergence(TEACHER, STUDENT, LABELS, 2.0, alpha=0.0, beta=1.0)
    rest = 1.0 - softmax(TEACHER / 2)[np.arange(6), LABELS]
    np.testing.assert_allclose(
        of_target + rest * of_others, softened_kl_divergence(TEACHER, STUDENT, 2.0), rtol=1e-4, atol=1e-6
    )


def test_extreme_logits_stay_exact(gradient):
    # b_t = (1, e^-100), log b_s = (-100, 0): 100. q_t = (1/2, 1/2), log q_s = (0, -100): 50 - log 2.
    teacher, student = np.array([[50.0, -50.0, -50.0]]), np.array([[-50.0, 50.0, -50.0]])
    value = decoupled_kl_divergence(teacher, student, [0], temperature=1.0)
    np.testing.assert_allclose(value, [100 + 8 * (50 - np.log(2.0))], rtol=1e-6)
    # d KL_b = (b_s - b_t) on the target and its negative shared out by q_s; d KL_q = q_s - q_t.
    np.testing.assert_allclose(
        gradient(lambda logits: decoupled_kl_divergence(teacher, logits, [0], temperature=1.0), student),
        [[-1.0, 1.0 + 8 * 0.5, -8 * 0.5]],
        atol=1e-5,
    )
    # The probability of the other classes is e^-100, which float32 cannot tell from 0: their logarithm it can.
    np.testing.assert_allclose(decoupled_kl_divergence(teacher, teacher, [0], temperature=1.0), [0.0], atol=1e-5)


def test_a_student_sure_of_a_target_that_the_teacher_denies_gets_the_whole_loss(gradient):
    # 1 - p_y of the student is 2 e^-100, which the log of a sum, log(1 - p_y), takes for 0: KL_b = 100 - log 2.
    # q_t = (1, 0), q_s = (1/2, 1/2): KL_q = log 2.
    teacher, student = np.array([[-50.0, 50.0, -50.0]]), np.array([[50.0, -50.0, -50.0]])
    value = decoupled_kl_divergence(teacher, student, [0], temperature=1.0)
    np.testing.assert_allclose(value, [100 + 7 * np.log(2.0)], rtol=1e-6)
    np.testing.assert_allclose(
        gradient(lambda logits: decoupled_kl_divergence(teacher, logits, [0], temperature=1.0), student),
        [[1.0, -0.5 - 8 * 0.5, -0.5 + 8 * 0.5]],
        atol=1e-5,
    )


def test_a_one_hot_teacher_speaks_of_the_target_alone(gradient):
    # q_t is undefined where the teacher rules all others out: b alone, KL_b = -log p_y.
    teacher = np.where(np.eye(5)[LABELS] == 1, 0.0, -np.inf).astype("float32")
    expected = keras.losses.sparse_categorical_crossentropy(LABELS, STUDENT, from_logits=True)
    value = decoupled_kl_divergence(teacher, STUDENT, LABELS, temperature=1.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(
        gradient(lambda student: decoupled_kl_divergence(teacher, student, LABELS, 1.0), STUDENT),
        softmax(STUDENT) - np.eye(5)[LABELS],
        atol=1e-5,
    )


def test_a_uniform_teacher_pulls_to_uniform():
    # b_t = (1/5, 4/5), q_t uniform over 4.
    p = softmax(np.float64(STUDENT))[np.arange(6), LABELS]
    others = np.stack([np.delete(row, label) for row, label in zip(STUDENT, LABELS, strict=True)])
    of_target = 0.2 * np.log(0.2 / p) + 0.8 * np.log(0.8 / (1 - p))
    of_others = -np.mean(np.log(4 * softmax(np.float64(others))), axis=-1)
    value = decoupled_kl_divergence(np.zeros((6, 5)), STUDENT, LABELS, temperature=1.0)
    np.testing.assert_allclose(value, of_target + 8 * of_others, rtol=1e-4)


def test_classes_masked_with_minus_infinity_drop_out(gradient):
    def masked(logits):
        return tf.concat([logits, tf.fill((6, 2), -np.inf)], axis=-1)

    expected = decoupled_kl_divergence(TEACHER, STUDENT, LABELS)
    np.testing.assert_allclose(decoupled_kl_divergence(masked(TEACHER), masked(STUDENT), LABELS), expected, rtol=1e-5)
    found = gradient(lambda student: decoupled_kl_divergence(masked(TEACHER), masked(student), LABELS), STUDENT)
    plain = gradient(lambda student: decoupled_kl_divergence(TEACHER, student, LABELS), STUDENT)
    np.testing.assert_allclose(found, plain, atol=1e-5)


def test_with_two_classes_there_are_no_others():
    value = decoupled_kl_divergence(TEACHER[:, :2], STUDENT[:, :2], LABELS % 2, 3.0, alpha=1.0, beta=8.0)
    np.testing.assert_allclose(value, softened_kl_divergence(TEACHER[:, :2], STUDENT[:, :2], 3.0), rtol=1e-4)


def test_without_labels_the_teachers_class_is_the_target():
    loss = DecoupledDistillation()
    expected = reference(TEACHER, STUDENT, TEACHER.argmax(-1)).mean()
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT), expected, rtol=1e-4)
    unlabeled = np.full(6, -1)
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT, labels=unlabeled), expected, rtol=1e-4)


def test_labels_decide_the_target():
    for labels in (LABELS, LABELS[:, None], np.eye(5)[LABELS]):
        value = DecoupledDistillation().compute_loss(TEACHER, STUDENT, labels=labels)
        np.testing.assert_allclose(value, reference(TEACHER, STUDENT).mean(), rtol=1e-4)


def test_a_distiller_passes_the_labels_and_unlabelled_rows_fall_back_to_the_teacher():
    keras.utils.set_random_seed(2)
    teacher, student = (keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)]) for _ in range(2))
    distiller = Distiller(
        teacher,
        student,
        DecoupledDistillation(),
        student_loss_weight=0.5,
        evaluate_distillation=True,
        unlabeled_value=-1,
    )
    distiller.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = GENERATOR.normal(size=(6, 3)).astype("float32")
    outputs = teacher(inputs).numpy(), student(inputs).numpy()
    labels = np.where([True, False, True, True, False, True], LABELS, -1)
    targets = np.where(labels < 0, outputs[0].argmax(-1), labels)
    assert (targets != outputs[0].argmax(-1)).any()
    logs = distiller.evaluate(inputs, labels, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], reference(*outputs, targets).mean(), rtol=1e-4)


def test_every_output_has_its_own_labels():
    outputs = {"a": TEACHER, "b": TEACHER}, {"a": STUDENT, "b": STUDENT}
    value = DecoupledDistillation().compute_loss(*outputs, labels={"a": LABELS, "b": 4 - LABELS})
    expected = reference(TEACHER, STUDENT).mean() + reference(TEACHER, STUDENT, 4 - LABELS).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_sample_weights_multiply_and_the_batch_size_divides():
    weights = np.arange(6.0)
    value = DecoupledDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights, labels=LABELS)
    np.testing.assert_allclose(value, np.dot(weights, reference(TEACHER, STUDENT)) / 6, rtol=1e-4)


def test_masked_time_steps_do_not_count():
    teacher, student = (values.reshape(2, 3, 5) for values in (TEACHER, STUDENT))
    mask = np.array([[True, True, False], [True, False, True]])
    student = tf.constant(student)
    student._keras_mask = tf.constant(mask)
    value = DecoupledDistillation().compute_loss(teacher, student, labels=LABELS.reshape(2, 3))
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT)[mask.ravel()].mean(), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_compared_in_float32(dtype):
    teacher, student = tf.cast(TEACHER, dtype), tf.cast(STUDENT, dtype)
    value = decoupled_kl_divergence(teacher, student, LABELS)
    assert value.dtype == tf.float32
    expected = reference(tf.cast(teacher, "float64").numpy(), tf.cast(student, "float64").numpy())
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_a_constant_added_to_a_row_changes_nothing():
    shifts = np.linspace(-30, 30, 6)[:, None]
    value = decoupled_kl_divergence(TEACHER + shifts, STUDENT - shifts, LABELS)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-3)


def test_the_order_of_classes_and_of_examples_does_not_matter():
    classes, examples = GENERATOR.permutation(5), GENERATOR.permutation(6)
    value = decoupled_kl_divergence(TEACHER[:, classes], STUDENT[:, classes], np.argsort(classes)[LABELS])
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT), rtol=1e-4)
    value = decoupled_kl_divergence(TEACHER[examples], STUDENT[examples], LABELS[examples])
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT)[examples], rtol=1e-4)


def test_a_student_like_the_teacher_has_no_loss_and_no_gradient(gradient):
    np.testing.assert_allclose(decoupled_kl_divergence(TEACHER, TEACHER, LABELS), 0.0, atol=1e-5)
    found = gradient(lambda student: decoupled_kl_divergence(TEACHER, student, LABELS), TEACHER)
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_every_example_may_have_its_own_temperature():
    temperatures = np.linspace(1.0, 6.0, 6).astype("float32")
    expected = [
        reference(TEACHER[[i]], STUDENT[[i]], LABELS[[i]], temperature)[0] for i, temperature in enumerate(temperatures)
    ]
    np.testing.assert_allclose(decoupled_kl_divergence(TEACHER, STUDENT, LABELS, temperatures), expected, rtol=1e-4)


def test_a_learned_temperature_gets_the_whole_gradient(numerical_gradient):
    temperature = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(decoupled_kl_divergence(TEACHER, STUDENT, LABELS, tf.convert_to_tensor(temperature)))
    expected = numerical_gradient(lambda t: reference(TEACHER, STUDENT, temperature=t), 3.0)
    np.testing.assert_allclose(tape.gradient(value, temperature), expected, rtol=1e-3)


def test_probabilities_give_the_same_loss_as_their_logits():
    loss = DecoupledDistillation(from_logits=False)
    value = loss.compute_loss(softmax(TEACHER), softmax(STUDENT), labels=LABELS)
    np.testing.assert_allclose(value, reference(TEACHER, STUDENT).mean(), rtol=1e-4)


def test_binary_outputs_are_refused_before_they_run_and_when_they_run():
    def model(width):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)])

    with pytest.raises(
        ValueError, match=r"DecoupledDistillation compares distributions over classes.*shape=\(None, 1\)"
    ):
        DecoupledDistillation().validate_model_compatibility(model(1), model(1))
    with pytest.raises(ValueError, match="task='binary'"):
        DecoupledDistillation(task="binary").compute_loss(TEACHER, STUDENT)
    DecoupledDistillation().validate_model_compatibility(model(2), model(2))


@pytest.mark.parametrize("arguments", [{"alpha": -1}, {"beta": "8"}, {"beta": float("nan")}, {"temperature": 0}])
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        DecoupledDistillation(**arguments)


def test_outputs_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(1, 5\), student \(6, 5\)"):
        decoupled_kl_divergence(TEACHER[:1], STUDENT, LABELS)
