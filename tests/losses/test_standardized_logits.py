import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import (
    AnnealingDistillation,
    BlendedDistillation,
    CorrelationDistillation,
    DecoupledDistillation,
    FeatureDistillation,
    LogitsDistillation,
    MultiLevelDistillation,
    StandardizedLogits,
    standardize_logits,
)

GENERATOR = np.random.default_rng(7)
TEACHER = GENERATOR.normal(1, 5, (6, 4)).astype("float32")
STUDENT = GENERATOR.normal(-3, 1, (6, 4)).astype("float32")
LABELS = np.array([3, 0, 2, 1, 1, 0])
RESPONSE_LOSSES = [
    LogitsDistillation(2.0),
    LogitsDistillation(2.0, "mse"),
    DecoupledDistillation(),
    CorrelationDistillation(),
    MultiLevelDistillation(),
    BlendedDistillation(0.3, 2.0),
    AnnealingDistillation(0.5),
]
around_any = pytest.mark.parametrize("loss", RESPONSE_LOSSES, ids=lambda loss: type(loss).__name__)


def standard(logits):
    logits = np.asarray(logits, "float64")
    return (logits - logits.mean(-1, keepdims=True)) / (1e-7 + logits.std(-1, ddof=1, keepdims=True))


def kl(teacher, student, temperature):
    p, q = (np.exp(values / temperature) for values in (teacher, student))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    return temperature**2 * np.sum(p * np.log(p / q), axis=-1)


def test_the_mean_goes_and_the_spread_is_one_with_bessels_correction():
    np.testing.assert_allclose(standardize_logits(TEACHER), standard(TEACHER), atol=1e-5)
    np.testing.assert_allclose(standardize_logits([[10.0, 20.0, 30.0]]), [[-1.0, 0.0, 1.0]], atol=1e-6)


def test_worked_by_hand():
    # (-1, 0, 1) at T = 2 against a constant row, which becomes zeros: 4 (log 3 - H)
    p = np.exp([-0.5, 0.0, 0.5]) / np.sum(np.exp([-0.5, 0.0, 0.5]))
    value = StandardizedLogits().compute_loss(np.array([[10.0, 20.0, 30.0]]), np.full((1, 3), 7.0))
    np.testing.assert_allclose(value, 4 * (np.log(3) + np.sum(p * np.log(p))), rtol=1e-5)


def test_value_and_gradient_are_those_of_the_formula(gradient, numerical_gradient):
    loss = StandardizedLogits()
    expected = kl(standard(TEACHER), standard(STUDENT), 2.0).mean()
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT), expected, rtol=1e-4)
    np.testing.assert_allclose(
        gradient(lambda student: loss.compute_loss(TEACHER, student), STUDENT),
        numerical_gradient(lambda student: kl(standard(TEACHER), standard(student), 2.0).mean(), STUDENT),
        atol=1e-5,
    )


@around_any
def test_any_response_loss_sees_standardised_logits_of_both(loss):
    weights = np.arange(6).astype("float32")
    arguments = {"sample_weight": weights, "labels": LABELS}
    expected = loss.compute_loss(standard(TEACHER), standard(STUDENT), **arguments)
    value = StandardizedLogits(loss).compute_loss(TEACHER, STUDENT, **arguments)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@around_any
def test_shift_and_scale_of_either_model_do_not_matter(loss):
    scales, shifts = np.geomspace(0.1, 10, 6)[:, None], np.linspace(-30, 30, 6)[:, None]
    value = StandardizedLogits(loss).compute_loss(TEACHER * scales, STUDENT / scales + shifts)
    np.testing.assert_allclose(value, StandardizedLogits(loss).compute_loss(TEACHER, STUDENT), rtol=1e-3)


@around_any
def test_the_configuration_nests_the_loss(loss):
    wrapper = StandardizedLogits(loss, from_logits=False, teacher_from_logits=True)
    config = keras.saving.serialize_keras_object(wrapper)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy.loss) is type(loss)
    assert (copy.from_logits, copy.teacher_from_logits) == (False, True)
    assert keras.saving.serialize_keras_object(copy) == config


@pytest.mark.parametrize("constant", [0.0, 1.0, -50.0, 1 / 3])
def test_a_constant_row_becomes_zeros_without_gradient(constant, gradient):
    logits = np.full((2, 4), constant, "float32")
    np.testing.assert_allclose(standardize_logits(logits), 0.0)
    found = gradient(lambda values: standardize_logits(values) ** 2 + standardize_logits(values), logits)
    np.testing.assert_allclose(found, 0.0)


@around_any
def test_extreme_and_constant_rows_have_a_finite_loss_and_gradient(loss, gradient):
    rows = [[50.0, -50.0, -50.0], [0.0, 0.0, 0.0], [50.0, 50.0, 50.0], [50.0, 50.0, 49.999996]]
    wrapper = StandardizedLogits(loss)
    for teacher in (rows, rows[::-1]):
        assert np.isfinite(wrapper.compute_loss(np.array(teacher), np.array(rows)))
        assert np.isfinite(gradient(lambda student, t=teacher: wrapper.compute_loss(np.array(t), student), rows)).all()


def test_classes_at_minus_infinity_stay_there_and_do_not_count(gradient):
    masked = np.concatenate([STUDENT, np.full((6, 1), -np.inf)], axis=-1)
    np.testing.assert_allclose(standardize_logits(masked)[:, :4], standard(STUDENT), atol=1e-5)
    assert (standardize_logits(masked)[:, 4].numpy() == -np.inf).all()
    teacher = np.concatenate([TEACHER, np.full((6, 1), -np.inf)], axis=-1)
    loss = StandardizedLogits()
    np.testing.assert_allclose(loss.compute_loss(teacher, masked), loss.compute_loss(TEACHER, STUDENT), rtol=1e-5)
    assert np.isfinite(gradient(lambda student: loss.compute_loss(teacher, student), masked)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_standardised_in_float32(dtype):
    logits = tf.cast(TEACHER, dtype)
    assert standardize_logits(logits).dtype == tf.float32
    np.testing.assert_allclose(standardize_logits(logits), standard(tf.cast(logits, "float64").numpy()), atol=1e-5)


def test_a_mask_of_time_steps_is_kept():
    teacher, student = (values.reshape(2, 3, 4) for values in (TEACHER, STUDENT))
    masked = tf.constant(student)
    masked._keras_mask = tf.constant([[True, True, False], [True, False, True]])
    value = StandardizedLogits().compute_loss(teacher, masked)
    expected = kl(standard(TEACHER), standard(STUDENT), 2.0)[[0, 1, 3, 5]].mean()
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_several_outputs_keep_their_losses_labels_and_weights():
    loss = StandardizedLogits(LogitsDistillation(2.0, {"a": "kl_divergence", "b": None}))
    value = loss.compute_loss({"a": TEACHER, "b": TEACHER}, {"a": STUDENT, "b": TEACHER})
    np.testing.assert_allclose(value, kl(standard(TEACHER), standard(STUDENT), 2.0).mean(), rtol=1e-4)


def test_probabilities_are_turned_into_logits_first():
    loss = StandardizedLogits(from_logits=False, teacher_from_logits=True)
    value = loss.compute_loss(TEACHER, keras.ops.softmax(STUDENT))
    np.testing.assert_allclose(value, kl(standard(TEACHER), standard(STUDENT), 2.0).mean(), rtol=1e-4)


def test_binary_outputs_are_refused_before_they_run_and_when_they_run():
    def model(width):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)])

    with pytest.raises(ValueError, match=r"StandardizedLogits compares distributions over classes.*shape=\(None, 1\)"):
        StandardizedLogits().validate_model_compatibility(model(1), model(1))
    with pytest.raises(ValueError, match=r"StandardizedLogits compares distributions over classes.*shape=\(6, 1\)"):
        StandardizedLogits().compute_loss(TEACHER[:, :1], STUDENT[:, :1])
    for loss in (LogitsDistillation(task="binary"), LogitsDistillation(loss="binary_crossentropy")):
        with pytest.raises(ValueError, match="task='binary'"):
            StandardizedLogits(loss).compute_loss(TEACHER, STUDENT)
    StandardizedLogits().validate_model_compatibility(model(3), model(3))


@pytest.mark.parametrize(
    "loss, message",
    [
        ("kl_divergence", "must be a response loss"),
        (FeatureDistillation(), "must be a response loss"),
        (StandardizedLogits(), "must be a response loss"),
        (LogitsDistillation(from_logits=False), "give `from_logits` to StandardizedLogits"),
        (LogitsDistillation(teacher_from_logits=False), "give `from_logits` to StandardizedLogits"),
    ],
)
def test_wrong_losses_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        StandardizedLogits(loss)
