"""Student's t distribution."""

import math

ROUNDS, SMALLEST = 10_000, 1e-300


def two_sided_p(t, degrees):
    """The chance that |T| is at least |t|: I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t²).

    >>> round(two_sided_p(2.0, 4), 6)
    0.116117
    """
    if math.isinf(t):
        return 0.0
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t), t * t / (degrees + t * t))


def quantile(level, degrees):
    """The t that a share `level` of the distribution, symmetric about 0, lies within: P(|T| < t) = level.

    >>> round(quantile(0.95, 4), 4)
    2.7764
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > 1 - level:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, degrees) > 1 - level else (low, middle)
    return (low + high) / 2


def incomplete_beta(a, b, x, complement):
    """The regularised incomplete beta function I_x(a, b); `complement` is 1 - x, exact where x is close to 1.

    By the continued fraction of DLMF 8.17.22, evaluated as Lentz does.
    """
    if x <= 0 or complement <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, complement, x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(complement)
    value = numerator = 1.0
    denominator = 0.0
    for step in range(ROUNDS):
        half, is_odd = divmod(step, 2)
        if step == 0:
            term = 1.0
        elif is_odd:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        denominator = 1 / _away_from_zero(1 + term * denominator)
        numerator = _away_from_zero(1 + term / numerator)
        value *= numerator * denominator
        if step and abs(numerator * denominator - 1) < 1e-15:
            break
    return math.exp(log_front) * (value - 1) / a


def _away_from_zero(value):
    return value if abs(value) > SMALLEST else SMALLEST
