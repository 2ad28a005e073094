"""Numbers as people read them. What is missing is an en dash."""

import math
from datetime import datetime

MISSING = "–"


def number(value):
    """Returns `value` as a float, or None where it is no finite number.

    >>> number(3), number(None), number(float("nan"))
    (3.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def significant(value, digits=3):
    """Returns a number with `digits` significant digits, thousands separated and never in powers of ten.

    >>> significant(0.025119), significant(98.43), significant(8071.4)
    ('0.0251', '98.4', '8,070')
    """
    value = number(value)
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    # Rounding may add a digit (9.996 is 10.0), which then takes one decimal less.
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(decimals, 0)}f}".replace("-", "−")


def _with_unit(value, units, base=1000.0):
    value = number(value)
    if value is None:
        return MISSING
    index = 0
    while abs(float(f"{value:.3g}")) >= base and index + 1 < len(units):
        value, index = value / base, index + 1
    unit = units[index]
    digits = f"{value:.0f}" if unit == units[0] and value == int(value) else significant(value)
    return f"{digits} {unit}".strip()


def size(value):
    """Returns bytes in the unit that fits, 1 KB = 1000 bytes.

    >>> size(512), size(98_430), size(8_071_000)
    ('512 B', '98.4 KB', '8.07 MB')
    """
    return _with_unit(value, ["B", "KB", "MB", "GB", "TB"])


def short_count(value):
    """Returns a count in thousands, millions or billions.

    >>> short_count(640), short_count(92_481), short_count(2_104_000)
    ('640', '92.5 K', '2.10 M')
    """
    return _with_unit(value, ["", "K", "M", "G"])


def count(value):
    """Returns a whole count, thousands separated.

    >>> count(739012)
    '739,012'
    """
    value = number(value)
    return MISSING if value is None else f"{value:,.0f}".replace("-", "−")


def metric(value, decimals=4):
    """Returns a quality metric with four decimals.

    >>> metric(0.90301)
    '0.9030'
    """
    value = number(value)
    return MISSING if value is None else f"{value:.{decimals}f}".replace("-", "−")


def deviation(value):
    """Returns a metric's standard deviation to stand after its mean; nothing where it is missing.

    >>> deviation(0.00041), deviation(None)
    ('±.0004', '')
    """
    value = number(value)
    return "" if value is None else f"±{value:.4f}".replace("±0.", "±.")


def difference(value, brief=False):
    """Returns a difference between two outputs: two significant digits, below a thousandth in powers of ten.

    `brief` leaves the power of ten a single digit, for narrow tables.

    >>> difference(0.01423), difference(1.2e-7), difference(0)
    ('0.014', '1.2e-07', '0')
    """
    value = number(value)
    if value is None:
        return MISSING
    return significant(value, 2) if value == 0 or abs(value) >= 1e-3 else f"{value:.{0 if brief else 1}e}"


def times(value):
    """Returns a factor: one decimal below ten, none above.

    >>> times(4.23), times(82.3)
    ('4.2', '82')
    """
    value = number(value)
    if value is None:
        return MISSING
    return f"{value:,.1f}" if abs(value) < 9.95 else f"{value:,.0f}"


def percent(value, decimals=0):
    """Returns a share in percent.

    >>> percent(0.803)
    '80%'
    """
    value = number(value)
    return MISSING if value is None else f"{100 * value:.{decimals}f}%".replace("-", "−")


def seconds(value):
    """Returns a duration.

    >>> seconds(9.04), seconds(183.2), seconds(3720)
    ('9.0 s', '3 min 03 s', '1 h 02 min')
    """
    value = number(value)
    if value is None:
        return MISSING
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def date(value):
    """Returns an ISO time as day, month and time; text that is no ISO time comes back as it is.

    >>> date("2025-11-21T10:31:07+00:00")
    '21 November 2025, 10:31 UTC'
    """
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return str(value) if value else MISSING
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"
