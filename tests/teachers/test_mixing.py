"""Means of logits and of probabilities, against numpy and SciPy."""

import numpy as np
import pytest
from scipy import special

from tfdistill.teachers import mean_logits, mean_probabilities

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(3, 5, 4)) * 3  # teachers, examples, classes
WEIGHTS = np.array([0.5, 0.2, 0.3])


def test_mean_logits_are_the_weighted_mean():
    np.testing.assert_allclose(mean_logits(LOGITS, WEIGHTS), np.average(LOGITS, 0, WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_softmax_at_the_temperature_is_the_mean_of_softmaxes(temperature):
    expected = np.average(special.softmax(LOGITS / temperature, -1), 0, WEIGHTS)
    mean = mean_probabilities(LOGITS, WEIGHTS, temperature)
    np.testing.assert_allclose(special.softmax(np.array(mean) / temperature, -1), expected, rtol=1e-5)
    np.testing.assert_allclose(mean, temperature * np.log(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_sigmoid_at_the_temperature_is_the_mean_of_sigmoids(temperature):
    expected = np.average(special.expit(LOGITS / temperature), 0, WEIGHTS)
    mean = mean_probabilities(LOGITS, WEIGHTS, temperature, task="binary")
    np.testing.assert_allclose(special.expit(np.array(mean) / temperature), expected, rtol=1e-5)


def test_weights_may_differ_from_example_to_example():
    weights = special.softmax(GENERATOR.normal(size=(3, 5)), 0)
    expected = (weights[..., None] * LOGITS).sum(0)
    np.testing.assert_allclose(mean_logits(LOGITS, weights), expected, rtol=1e-4, atol=1e-5)
    expected = (weights[..., None] * special.softmax(LOGITS, -1)).sum(0)
    np.testing.assert_allclose(np.exp(mean_probabilities(LOGITS, weights)), expected, rtol=1e-5)


def test_one_teacher_is_repeated():
    np.testing.assert_allclose(mean_logits(LOGITS[:1], [1.0]), LOGITS[0], rtol=1e-6)
    np.testing.assert_allclose(
        mean_probabilities(LOGITS[:1], [1.0], 2.0), LOGITS[0] - 2 * special.logsumexp(LOGITS[0] / 2, -1)[:, None],
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(mean_probabilities(LOGITS[:1], [1.0], 2.0, "binary"), LOGITS[0], rtol=1e-4)


def test_extreme_logits_stay_finite_and_right():
    logits = np.array([[[50.0], [-50.0], [50.0]], [[50.0], [-50.0], [-50.0]]])
    np.testing.assert_allclose(mean_probabilities(logits, [0.5, 0.5]), [[50.0], [-50.0], [0.0]], atol=1e-5)
    logits = np.array([[[50.0, -50.0]], [[50.0, -50.0]]])
    np.testing.assert_allclose(mean_probabilities(logits, [0.5, 0.5]), [[0.0, -100.0]], atol=1e-4)


def test_what_one_teacher_rules_out_another_may_allow():
    logits = np.array([[[0.0, -np.inf]], [[0.0, 0.0]]])
    # probabilities (1, 0) and (1/2, 1/2): on average (3/4, 1/4)
    np.testing.assert_allclose(mean_probabilities(logits, [0.5, 0.5]), [np.log([0.75, 0.25])], rtol=1e-6)
    both = mean_probabilities(logits[[0, 0]], [0.5, 0.5])
    np.testing.assert_array_equal(both, [[0.0, -np.inf]])


def test_a_teacher_of_weight_0_does_not_count_even_where_it_is_infinite():
    logits = np.array([[[0.0, -np.inf]], [[1.0, 2.0]]])
    np.testing.assert_allclose(mean_logits(logits, [0.0, 1.0]), [[1.0, 2.0]])
    np.testing.assert_allclose(mean_probabilities(logits, [0.0, 1.0]), special.log_softmax([[1.0, 2.0]], -1), rtol=1e-6)
