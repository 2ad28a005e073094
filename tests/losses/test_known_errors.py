"""Errors seen in other implementations: each is computed here, and ours is the right value and not that."""

import keras
import numpy as np
import pytest

from tfdistill.losses import (
    BlendedDistillation,
    CorrelationDistillation,
    DecoupledDistillation,
    LogitsDistillation,
    MultiLevelDistillation,
)

GENERATOR = np.random.default_rng(10)
TEACHER = GENERATOR.normal(0, 2, (8, 5)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (8, 5)).astype("float32")
LABELS = np.arange(8) % 5
T = 3.0


def softmax(logits):
    exponentials = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


P, Q = softmax(TEACHER / T), softmax(STUDENT / T)


def is_right_and_not_wrong(loss, right, wrong, **arguments):
    value = float(loss.compute_loss(TEACHER, STUDENT, **arguments))
    np.testing.assert_allclose(value, right, rtol=1e-4)
    assert abs(value - wrong) > 0.05 * abs(right)


def test_dkd_compares_logarithms_and_not_probabilities():
    # PyTorch's kl_div(input, target) is Σ target (log target - input): input must be log-probabilities.
    def parts(distribution):
        of_target = distribution[np.arange(8), LABELS]
        others = distribution[np.eye(5)[LABELS] == 0].reshape(8, 4)
        return np.stack([of_target, 1 - of_target], axis=-1), others / others.sum(-1, keepdims=True)

    def kl_div(given, target):
        return np.sum(target * (np.log(target) - given), axis=-1)

    (b_t, q_t), (b_s, q_s) = parts(P), parts(Q)
    right = T**2 * np.mean(kl(b_t, b_s) + 8 * kl(q_t, q_s))
    wrong = T**2 * np.mean(kl_div(b_s, b_t) + 8 * kl_div(q_s, q_t))
    is_right_and_not_wrong(DecoupledDistillation(T), right, wrong, labels=LABELS)


def test_distillation_is_no_squared_error_of_softened_probabilities():
    right = T**2 * np.mean(kl(P, Q))
    for wrong in (np.mean((P - Q) ** 2), T**2 * np.mean((P - Q) ** 2), T**2 * np.mean(np.sum((P - Q) ** 2, axis=-1))):
        is_right_and_not_wrong(LogitsDistillation(T), right, wrong)


@pytest.mark.parametrize(
    "loss, wrong",
    [
        (LogitsDistillation(T), np.mean(kl(P, Q))),
        (LogitsDistillation(T, "categorical_crossentropy"), -np.mean(np.sum(P * np.log(Q), axis=-1))),
        (BlendedDistillation(1.0, T), np.mean(kl(P, Q))),
    ],
)
def test_the_squared_temperature_is_there(loss, wrong):
    is_right_and_not_wrong(loss, T**2 * wrong, wrong)


def test_the_squared_temperature_is_in_the_correlations_of_dist_and_not_in_those_of_mld():
    rows = np.mean([np.corrcoef(q, p)[0, 1] for p, q in zip(P, Q, strict=True)])
    columns = np.mean([np.corrcoef(q, p)[0, 1] for p, q in zip(P.T, Q.T, strict=True)])
    is_right_and_not_wrong(CorrelationDistillation(T), T**2 * (2 - rows - columns), 2 - rows - columns)
    grams = np.sum((P.T @ P - Q.T @ Q) ** 2) / 5 + np.sum((P @ P.T - Q @ Q.T) ** 2) / 8
    divergence = np.mean(kl(P, Q))
    loss = MultiLevelDistillation(T, other_temperatures=())
    is_right_and_not_wrong(loss, T**2 * divergence + grams, divergence + grams)
    is_right_and_not_wrong(loss, T**2 * divergence + grams, T**2 * (divergence + grams))


@pytest.mark.parametrize("loss", [LogitsDistillation(T), BlendedDistillation(1.0, T)])
def test_the_mean_is_over_examples_and_not_over_classes(loss):
    right = T**2 * np.mean(kl(P, Q))
    is_right_and_not_wrong(loss, right, right / 5)


def test_dist_raises_the_correlation_of_columns():
    rows = np.mean([np.corrcoef(q, p)[0, 1] for p, q in zip(P, Q, strict=True)])
    columns = np.mean([np.corrcoef(q, p)[0, 1] for p, q in zip(P.T, Q.T, strict=True)])
    right, wrong = T**2 * (2 - rows - columns), T**2 * (1 - rows + columns)
    is_right_and_not_wrong(CorrelationDistillation(T), right, wrong)


def test_the_name_of_a_loss_does_not_skip_the_softmax():
    right = T**2 * np.mean(kl(P, Q))
    wrong = float(keras.distillation.LogitsDistillation(T, "kl_divergence").compute_loss(TEACHER, STUDENT))
    is_right_and_not_wrong(LogitsDistillation(T, "kl_divergence"), right, wrong)


def test_a_binary_student_is_compared_with_the_teacher_and_not_the_teacher_with_itself():
    p, q = (1 / (1 + np.exp(-np.float64(values[:, :1]) / T)) for values in (TEACHER, STUDENT))
    value = LogitsDistillation(T, "binary_crossentropy").compute_loss(TEACHER[:, :1], STUDENT[:, :1])
    np.testing.assert_allclose(value, -(T**2) * np.mean(p * np.log(q) + (1 - p) * np.log(1 - q)), rtol=1e-4)
    assert abs(float(value) + T**2 * np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))) > 0.1
