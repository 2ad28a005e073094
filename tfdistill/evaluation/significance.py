"""How sure a mean is, and whether one model is better than another by more than chance."""

import dataclasses

import numpy as np

from tfdistill.data.random_streams import generator
from tfdistill.evaluation import student_t

NUMBERS_AT_A_TIME = 1 << 22
EXACT_UP_TO = 16


@dataclasses.dataclass(frozen=True)
class ConfidenceInterval:
    """A mean and where it may lie.

    Attributes:
        mean, low, high: floats.
        level: such as .95.
    """

    mean: float
    low: float
    high: float
    level: float


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """What `paired_test` found.

    Attributes:
        difference: mean of first - second.
        interval: `ConfidenceInterval` of it, by t.
        p_value: how often chance alone gives a difference so far from 0, to either side, if the two are equally good.
        count: how many pairs of values.
        method: "t" or "sign_flip".
    """

    difference: float
    interval: ConfidenceInterval
    p_value: float
    count: int
    method: str


def confidence_interval(values, level=0.95, method="bootstrap", draws=2000, seed=0):
    """Where the mean of a metric may lie, had other users been drawn (or other seeds).

    "bootstrap" draws as many values with replacement, `draws` times, and takes the quantiles of the means: no assumption but
    enough values. "t" takes mean ± t s / √n, with t of n - 1 degrees: for few values, such as five seeds.

    Source: "An Introduction to the Bootstrap", Efron and Tibshirani, 1993, section 13.3 (percentile interval).

    Args:
        values: float [n], at least 2: a metric by user, such as `evaluation.per_user["recall@50"]`, or by seed.
        level: the share of such intervals that hold the true mean.
        method: "bootstrap" or "t".
        draws: of the bootstrap.
        seed: of the bootstrap, non-negative integer.

    Returns: `ConfidenceInterval`.

    Raises:
        ValueError: for fewer than 2 values, values that are no numbers, and arguments out of range.

    >>> interval = confidence_interval([0.27, 0.28, 0.26], method="t")
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2452, 0.2948)
    """
    values = _checked("values", values)
    _check_level(level)
    if method == "t":
        return _t_interval(values, level)
    if method != "bootstrap":
        raise ValueError(f"`method` must be 'bootstrap' or 't'. Received: method={method!r}")
    _check_draws(draws)
    random, means = generator("bootstrap", seed), np.empty(draws)
    step = max(1, NUMBERS_AT_A_TIME // len(values))
    for start in range(0, draws, step):
        stop = min(start + step, draws)
        means[start:stop] = values[random.integers(len(values), size=(stop - start, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(float(values.mean()), float(low), float(high), level)


def paired_test(first, second, method="t", level=0.95, draws=10_000, seed=0):
    """Tests whether two models differ, by values of one metric for the same users (or seeds, or folds), in the same order.

    "t" is the paired t-test, two-sided: t = mean(d) / (s(d) / √n) with n - 1 degrees, d = first - second. "sign_flip" is the
    randomisation test: were the models equally good, each d could as well have the other sign; the p-value is the share of
    sign patterns whose mean is at least as far from 0, all 2^n for n up to 16, else `draws` of them and the one that was:
    (1 + hits) / (1 + draws). It assumes no distribution.

    Testing many pairs of models finds some difference by chance: multiply the p-value by how many were compared.

    Sources: "A Comparison of Statistical Significance Tests for Information Retrieval Evaluation", Smucker, Allan and
    Carterette, CIKM 2007.

    Args:
        first, second: float [n], at least 2.
        method: "t" or "sign_flip".
        level: of the interval of the difference.
        draws, seed: of "sign_flip".

    Returns: `PairedTest`.

    Raises:
        ValueError: for values of different lengths, fewer than 2, no numbers, and arguments out of range.

    >>> test = paired_test([0.27, 0.28, 0.26], [0.25, 0.27, 0.25])
    >>> round(test.difference, 4), round(test.p_value, 4)
    (0.0133, 0.0572)
    """
    first, second = _checked("first", first), _checked("second", second)
    if len(first) != len(second):
        raise ValueError(
            "`first` and `second` must be of the same users, in the same order. Received lengths:"
            f" {len(first)} and {len(second)}"
        )
    _check_level(level)
    difference = first - second
    interval = _t_interval(difference, level)
    if method == "t":
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        p_value = (
            1.0
            if not difference.any()
            else student_t.two_sided_p(_ratio(difference.mean(), error), len(difference) - 1)
        )
    elif method == "sign_flip":
        _check_draws(draws)
        p_value = _sign_flip(difference, draws, seed)
    else:
        raise ValueError(f"`method` must be 't' or 'sign_flip'. Received: method={method!r}")
    return PairedTest(interval.mean, interval, p_value, len(difference), method)


def _t_interval(values, level):
    mean = float(values.mean())
    margin = student_t.quantile(level, len(values) - 1) * float(values.std(ddof=1)) / np.sqrt(len(values))
    return ConfidenceInterval(mean, mean - float(margin), mean + float(margin), level)


def _ratio(mean, error):
    return float(mean / error) if error else np.inf


def _sign_flip(difference, draws, seed):
    count = len(difference)
    # Sums of the same numbers in another order differ in the last digits: what is as far counts as at least as far.
    bound = abs(difference.sum()) * (1 - 1e-12)
    if count <= EXACT_UP_TO:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((2 * patterns - 1) @ difference) >= bound).mean())
    random, hits = generator("sign_flip", seed), 0
    step = max(1, NUMBERS_AT_A_TIME // count)
    for start in range(0, draws, step):
        signs = random.integers(2, size=(min(step, draws - start), count), dtype=np.int8)
        hits += np.count_nonzero(np.abs(2 * (signs @ difference) - difference.sum()) >= bound)
    return (1 + hits) / (1 + draws)


def _checked(name, values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"`{name}` must be at least 2 numbers, shape [n]. Received shape: {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must be numbers. Received: {values[~np.isfinite(values)][0]}")
    return values


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1. Received: level={level}")


def _check_draws(draws):
    if draws < 1:
        raise ValueError(f"`draws` must be at least 1. Received: draws={draws}")
