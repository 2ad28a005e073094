import numpy as np
import pytest

from tfdistill.losses.correlation import pearson_correlation

GENERATOR = np.random.default_rng(5)
FIRST = GENERATOR.normal(size=(4, 6)).astype("float32")
SECOND = GENERATOR.normal(size=(4, 6)).astype("float32")


def test_it_is_numpys_correlation():
    expected = [np.corrcoef(first, second)[0, 1] for first, second in zip(FIRST, SECOND, strict=True)]
    np.testing.assert_allclose(pearson_correlation(FIRST, SECOND), expected, atol=1e-6)
    np.testing.assert_allclose(pearson_correlation(FIRST.T, SECOND.T, axis=0), expected, atol=1e-6)


def test_a_weight_counts_like_repetition():
    weights = np.array([1, 0, 3, 2, 0, 1])
    repeated = [np.repeat(values, weights, axis=1) for values in (FIRST, SECOND)]
    expected = [np.corrcoef(first, second)[0, 1] for first, second in zip(*repeated, strict=True)]
    np.testing.assert_allclose(pearson_correlation(FIRST, SECOND, weights.astype("float32")), expected, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0, 300.0])
def test_a_constant_correlates_with_nothing_and_has_no_gradient(constant, gradient):
    values = np.full((4, 6), constant, "float32")
    for teacher in (FIRST, values):
        np.testing.assert_allclose(pearson_correlation(values, teacher), 0.0)
        np.testing.assert_allclose(gradient(lambda student, t=teacher: pearson_correlation(student, t), values), 0.0)


def test_tiny_values_give_a_finite_gradient(gradient):
    assert np.isfinite(gradient(lambda student: pearson_correlation(student, SECOND), FIRST * 1e-18)).all()
