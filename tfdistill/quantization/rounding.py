"""Rounding to a grid, with gradients as if there were none."""

from keras import ops


def straight_through(value, rounded):
    """`rounded`, bit for bit, with the gradient of `value`.

    Source: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013, arXiv 1308.3432.
    """
    return ops.stop_gradient(rounded) + (value - ops.stop_gradient(value))


def nearest(value):
    """The nearest whole number, halves up, as TensorFlow's fake quantisation rounds; straight-through gradients."""
    return straight_through(value, ops.floor(value + 0.5))


def scaled_gradient(value, factor):
    """`value`, bit for bit, with `factor` times its gradient."""
    return straight_through(value * factor, value)
