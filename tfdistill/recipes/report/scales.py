"""Axes: from a value to a place on the page, and the round values worth a tick."""

import math


class LinearScale:
    """Maps `low`..`high`, widened by a margin on both sides, to `start`..`end` in pixels.

    >>> scale = LinearScale([0.0, 10.0], 0, 100, margin=0)
    >>> scale(5.0), scale.ticks(3)
    (50.0, [0.0, 5.0, 10.0])
    """

    def __init__(self, values, start, end, margin=0.08):
        self.low, self.high = _widened(min(values), max(values), margin)
        self.start, self.end = start, end

    def __call__(self, value):
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most):
        """Returns at most about `most` round values inside the axis: steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / max(most - 1, 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]


class LogScale:
    """Maps positive values to pixels by their logarithm, so that halving is the same distance everywhere.

    >>> scale = LogScale([1.0, 100.0], 0, 100, margin=0)
    >>> scale(10.0), scale.ticks(3)
    (50.0, [1.0, 10.0, 100.0])
    """

    def __init__(self, values, start, end, margin=0.08):
        low, high = math.log10(min(values)), math.log10(max(values))
        # Less than a factor of two across would blow noise up to the width of the chart.
        padding = max(0.0, math.log10(2) - (high - low)) / 2
        self.low, self.high = _widened(low - padding, high + padding, margin)
        self.start, self.end = start, end

    def __call__(self, value):
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most):
        """Returns the densest of three choices of round values (1-2-5, 1-3, 1 in a decade) with at most `most`."""
        for factors in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            decades = range(math.floor(self.low) - 1, math.ceil(self.high) + 1)
            values = [float(f"{factor * 10.0**decade:.6g}") for decade in decades for factor in factors]
            inside = [value for value in values if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9]
            if len(inside) <= most:
                break
        return inside


def _widened(low, high, margin):
    if high - low < 1e-12:
        around = abs(low) * 0.01 or 0.5
        low, high = low - around, high + around
    extra = (high - low) * margin
    return low - extra, high + extra
