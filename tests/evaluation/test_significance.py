import itertools

import numpy as np
import pytest
from scipy import stats

from tfdistill.evaluation import confidence_interval, paired_test


@pytest.fixture
def values():
    random = np.random.default_rng(4)
    return random.random(300), random.random(300) * 0.9


@pytest.mark.parametrize("count", [2, 3, 5, 300])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_the_t_interval_is_scipys(values, count, level):
    first = values[0][:count]
    found = confidence_interval(first, level, method="t")
    expected = stats.t.interval(level, count - 1, first.mean(), stats.sem(first))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(first.mean())


def test_the_bootstrap_interval_is_scipys_up_to_the_draws(values):
    found = confidence_interval(values[0], draws=20_000)
    drawn = stats.bootstrap([values[0]], np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    width = found.high - found.low
    assert found.low == pytest.approx(drawn.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(drawn.confidence_interval.high, abs=0.05 * width)
    assert found == confidence_interval(values[0], draws=20_000) != confidence_interval(values[0], draws=20_000, seed=1)


@pytest.mark.parametrize("count", [2, 3, 5, 30, 300])
def test_the_paired_t_test_is_scipys(values, count):
    first, second = (one[:count] for one in values)
    found, expected = paired_test(first, second), stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.difference == pytest.approx(np.mean(first - second)) and found.count == count


def test_sign_flips_of_few_values_are_all_tried():
    first, second = np.array([0.9, 0.4, 0.7, 0.6, 0.8]), np.array([0.5, 0.5, 0.2, 0.3, 0.7])
    difference = first - second
    means = [np.mean(np.multiply(signs, difference)) for signs in itertools.product([-1, 1], repeat=5)]
    expected = np.mean([abs(mean) >= abs(np.mean(difference)) - 1e-12 for mean in means])
    assert paired_test(first, second, "sign_flip").p_value == expected


def test_sign_flips_of_many_values_are_scipys_up_to_the_draws(values):
    first, second = (one[:40] for one in values)
    found = paired_test(first, second, "sign_flip", draws=20_000)
    expected = stats.permutation_test(
        (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, rng=1
    )
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_of_two_equal_models_neither_is_better(values):
    for method in ("t", "sign_flip"):
        assert paired_test(values[0], values[0], method).p_value == 1.0
    assert paired_test(values[0], values[1]).difference == -paired_test(values[1], values[0]).difference


def test_wrong_arguments_are_refused(values):
    with pytest.raises(ValueError, match="`values` must be at least 2 numbers"):
        confidence_interval([0.5])
    with pytest.raises(ValueError, match="`values` must be numbers. Received: nan"):
        confidence_interval([0.5, np.nan])
    with pytest.raises(ValueError, match="`level` must be between 0 and 1. Received: level=95"):
        confidence_interval(values[0], level=95)
    with pytest.raises(ValueError, match="`method` must be 'bootstrap' or 't'. Received: method='normal'"):
        confidence_interval(values[0], method="normal")
    with pytest.raises(ValueError, match="`draws` must be at least 1"):
        confidence_interval(values[0], draws=0)
    with pytest.raises(ValueError, match="Received lengths: 300 and 299"):
        paired_test(values[0], values[1][:-1])
    with pytest.raises(ValueError, match="`method` must be 't' or 'sign_flip'"):
        paired_test(*values, method="wilcoxon")
