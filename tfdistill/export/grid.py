"""Which integers and which scale stand for a weight: symmetric, so that zero stays exactly zero."""

import numpy as np

from tfdistill.errors import UserError

SAMPLE = 2**18  # numbers that a scale is chosen on; choosing on all rows of a large table would take minutes
_ON_GRID = 1e-3  # of a step: what float32 leaves of an exact multiple
_SHARES = np.linspace(0.3, 1.0, 71, dtype=np.float32)


def to_integers(values, bits, axis=None):
    """Rounds a weight to integers from -(2^(bits-1) - 1) to 2^(bits-1) - 1, each standing for integer * scale.

    If all values are multiples of one step already (quantisation-aware training leaves them so), the scale is that
    step and nothing is lost. Otherwise, with m the largest absolute value and t the largest integer, 8 bits take
    s = m / t, and fewer bits the s of 71 shares of m / t with the least sum of (value - rounded value)^2: with 15 steps
    for a bell-shaped table, cutting off its tails costs less than coarse steps. The lowest integer, -2^(bits-1), is left
    out: at 4 bits LiteRT's built-in kernels read it wrong.

    Args:
        values: float array.
        bits: 4 or 8.
        axis: the axis that has a scale for each of its places; `None` for one scale.

    Returns: `(integers, scales)`: int8 of the shape of `values`; float32 [1], or [values.shape[axis]].

    Raises:
        UserError: a value is not finite.

    >>> to_integers(np.array([0.0, 0.5, -3.5]), bits=4)
    (array([ 0,  1, -7], dtype=int8), array([0.5], dtype=float32))
    """
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise UserError("a weight holds numbers that are not finite: look at the training loss, and train again.")
    top = 2 ** (bits - 1) - 1
    channels = values.reshape(1, -1) if axis is None else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    scales = _scales(channels, top, search=bits < 8)
    shape = [-1 if place == axis else 1 for place in range(values.ndim)]
    steps = values / (scales[0] if axis is None else scales.reshape(shape))
    return np.clip(np.round(steps), -top, top).astype(np.int8), scales


def _scales(channels, top, search):
    """The scale of each row of `channels` [channels, n]."""
    limits = np.abs(channels).max(axis=1, initial=0).astype(np.float32)
    limits[limits < np.finfo(np.float32).tiny * 1000] = top  # nothing but zeros: any scale will do, 1 it is
    # An odd stride, so that the sample of a table is not from one of its columns.
    sample = channels[:, :: max(channels.size // SAMPLE, 1) | 1] if channels.size > SAMPLE else channels
    scales, is_open = limits / top, np.ones(len(limits), bool)
    for steps in range(top, 0, -1):
        candidates = limits / steps
        found = is_open & (_distance_to_grid(sample, candidates) < _ON_GRID)
        scales[found], is_open[found] = candidates[found], False
        if not is_open.any():
            return scales
    if search:
        best = np.full(len(limits), np.inf, np.float32)
        for share in _SHARES:
            candidates = (limits / top * share)[:, None]
            rounded = np.clip(np.round(sample / candidates), -top, top) * candidates
            errors = np.square(rounded - sample).sum(axis=1)
            better = is_open & (errors < best)
            best[better], scales[better] = errors[better], candidates[better, 0]
    return scales


def _distance_to_grid(sample, scales):
    """The largest distance of each row's values to a multiple of its scale, in scales."""
    steps = sample / scales[:, None]
    return np.abs(steps - np.round(steps)).max(axis=1, initial=0)
