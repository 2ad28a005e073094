import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tfdistill.losses import ContrastiveDistillation, contrastive
from tfdistill.schedules import ConfidenceTemperature, Linear

GENERATOR = np.random.default_rng(0)
TEACHER = GENERATOR.normal(size=(5, 4)).astype("float32")
STUDENT = GENERATOR.normal(size=(5, 4)).astype("float32")


def reference(teacher, student, temperature=0.07):
    teacher, student = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (teacher.astype("float64"), student.astype("float64"))
    )
    similarities = student @ teacher.T / temperature
    return -(np.diag(log_softmax(similarities, axis=1)) + np.diag(log_softmax(similarities, axis=0))) / 2


def projected(loss, teacher, student):
    weights = [weight.numpy() for weight in loss.weights]
    return (
        features.reshape(len(features), -1) @ kernel + bias
        for features, kernel, bias in ((teacher, *weights[:2]), (student, *weights[2:]))
    )


def test_two_examples_worked_by_hand():
    expected = np.log(1 + np.exp(-1))
    np.testing.assert_allclose(contrastive(np.eye(2), np.eye(2), temperature=1.0), [expected] * 2, rtol=1e-6)


def test_values_and_gradients_are_those_of_the_definition(numerical_gradient):
    teacher, student = tf.Variable(TEACHER), tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        values = contrastive(teacher, student, temperature=0.5)
        total = tf.reduce_sum(values)
    np.testing.assert_allclose(values, reference(TEACHER, STUDENT, 0.5), rtol=1e-5)
    gradients = tape.gradient(total, [teacher, student])
    by_teacher = numerical_gradient(lambda rows: reference(rows, STUDENT, 0.5).sum(), TEACHER)
    by_student = numerical_gradient(lambda rows: reference(TEACHER, rows, 0.5).sum(), STUDENT)
    np.testing.assert_allclose(gradients[0], by_teacher, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradients[1], by_student, rtol=1e-3, atol=1e-5)


def test_scale_rotation_of_both_and_order_do_not_matter():
    plain = contrastive(TEACHER, STUDENT)
    rotation = np.linalg.qr(GENERATOR.normal(size=(4, 4)))[0].astype("float32")
    np.testing.assert_allclose(contrastive(3 * TEACHER @ rotation, 0.1 * STUDENT @ rotation), plain, rtol=1e-4)
    order = GENERATOR.permutation(5)
    np.testing.assert_allclose(contrastive(TEACHER[order], STUDENT[order]), plain.numpy()[order], rtol=1e-5)


def test_examples_of_weight_zero_are_no_negatives():
    weights = np.array([1, 0, 2, 1, 0], "float32")
    kept = weights > 0
    values = contrastive(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(values.numpy()[kept], reference(TEACHER[kept], STUDENT[kept]), rtol=1e-4)
    loss = ContrastiveDistillation(dimension=3)
    loss.build((None, 4), (None, 4))
    value = loss.compute_loss(TEACHER, STUDENT, sample_weight=weights)
    expected = reference(*projected(loss, TEACHER[kept], STUDENT[kept]))
    np.testing.assert_allclose(value, np.dot(weights[kept], expected) / 5, rtol=1e-4)
    assert loss.compute_loss(TEACHER, STUDENT, sample_weight=np.zeros(5)) == 0.0


def test_examples_that_are_in_the_batch_twice_add_log_2_and_no_gradient():
    def value_and_gradient(repeats):
        student = tf.Variable(STUDENT)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(contrastive(np.tile(TEACHER, (repeats, 1)), tf.tile(student, (repeats, 1))))
        return value, tape.gradient(value, student)

    (once, gradient), (twice, same_gradient) = value_and_gradient(1), value_and_gradient(2)
    np.testing.assert_allclose(twice - once, np.log(2), rtol=1e-4)
    np.testing.assert_allclose(same_gradient, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "student", [STUDENT[:1], np.zeros((5, 4), "float32"), np.ones((5, 4), "float32")], ids=["one", "zeros", "equal"]
)
def test_degenerate_batches_have_finite_loss_and_gradient(student):
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(contrastive(TEACHER[: len(student)], variable))
    assert np.isfinite(value) and np.isfinite(tape.gradient(value, variable)).all()
    if len(student) == 1:
        np.testing.assert_allclose(value, 0.0, atol=1e-5)


def test_both_sides_are_projected_and_no_gradient_reaches_the_teacher():
    teacher_maps, student_maps = TEACHER.reshape(5, 2, 2, 1), STUDENT[:, :3]
    loss = ContrastiveDistillation(dimension=6, temperature=0.1)
    loss.build((None, 2, 2, 1), (None, 3))
    assert [tuple(weight.shape) for weight in loss.weights] == [(4, 6), (6,), (3, 6), (6,)]
    teacher, student = tf.Variable(teacher_maps), tf.Variable(student_maps)
    with tf.GradientTape() as tape:
        value = loss.compute_loss(teacher, student)
    expected = reference(*projected(loss, teacher_maps, student_maps), 0.1).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    gradients = tape.gradient(value, [teacher, student, *(weight.value for weight in loss.weights)])
    assert gradients[0] is None and all(np.abs(gradient).max() > 0 for gradient in gradients[1:])


def test_the_projectors_are_float32_whatever_the_policy():
    with_policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    keras.config.set_dtype_policy(with_policy)
    try:
        loss = ContrastiveDistillation(dimension=3)
        value = loss.compute_loss(tf.cast(TEACHER, "float16"), tf.cast(STUDENT, "float16"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert value.dtype == "float32" and {weight.dtype for weight in loss.weights} == {"float32"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec((None, 4))] * 2, jit_compile=jit_compile)
    def values(teacher, student):
        return contrastive(teacher, student)

    np.testing.assert_allclose(values(TEACHER, STUDENT), reference(TEACHER, STUDENT), rtol=1e-4)


def test_the_temperature_may_follow_a_schedule():
    loss = ContrastiveDistillation(dimension=3, temperature=Linear(0.5, 0.1, steps=10))
    loss.build((None, 4), (None, 4))
    expected = reference(*projected(loss, TEACHER, STUDENT), 0.3).mean()
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT, step=5), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 0}, "`dimension` must be a whole positive number. Received: dimension=0"),
        ({"temperature": 0}, "`temperature` must be a positive number"),
        ({"temperature": ConfidenceTemperature(1.0)}, "`temperature` of similarities must be a positive number or a"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveDistillation(**arguments)


def test_features_of_unknown_shape_and_several_outputs_are_refused():
    with pytest.raises(ValueError, match=r"teacher features of known shape .* Received: \(None, None, 4\)"):
        ContrastiveDistillation().build((None, None, 4), (None, 4))
    with pytest.raises(ValueError, match="one output. Received: 2"):
        ContrastiveDistillation().compute_loss([TEACHER, TEACHER], STUDENT)
    with pytest.raises(ValueError, match="same examples"):
        ContrastiveDistillation().compute_loss(TEACHER, STUDENT[:2])


def test_the_configuration_round_trips_with_the_projectors():
    loss = ContrastiveDistillation("a", "b", dimension=3, temperature=Linear(0.5, 0.1, steps=10))
    loss.build((None, 4), (None, 2))
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.built and copy.count_params() == loss.count_params()
    assert keras.saving.serialize_keras_object(copy) == config


def test_of_a_large_batch_evenly_spread_examples_stand_for_all():
    features = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    loss, every = ContrastiveDistillation(dimension=4, examples=3), ContrastiveDistillation(dimension=4, examples=None)
    for one in (loss, every):
        one.build((None, 3), (None, 3))
    every.set_weights(loss.get_weights())
    some = every.compute_loss(features[::3], features[::3])
    np.testing.assert_allclose(loss.compute_loss(features, features), some, rtol=1e-5)
