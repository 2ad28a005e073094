"""Checks of constructor arguments."""

import math
import numbers


def is_number(value):
    """Whether `value` is a finite real number, of Python or NumPy; a bool is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def check_number(name, value):
    """Returns `value` as a number of Python; raises `ValueError` unless it is a finite number."""
    if not is_number(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return value.item() if hasattr(value, "item") else value


def check_positive(name, value):
    """Returns `value` as a number of Python; raises `ValueError` unless it is a finite number above 0."""
    if not is_number(value) or not value > 0:
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")
    return check_number(name, value)


def check_not_negative(name, value):
    """Returns `value` as a number of Python; raises `ValueError` unless it is a finite number of 0 or more."""
    if not is_number(value) or value < 0:
        raise ValueError(f"`{name}` must be a number that is not negative. Received: {name}={value!r}")
    return check_number(name, value)
