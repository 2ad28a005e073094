"""A value that starts and ends its way gently."""

import math

import keras
from keras import ops

from tfdistill.schedules.linear import Linear
from tfdistill.schedules.schedule import fraction


@keras.saving.register_keras_serializable(package="tfdistill")
class Cosine(Linear):
    """From one value to another along half a period of a cosine.

        value = final + (initial - final) (1 + cos(π f)) / 2,    f = (step - begin) / steps, kept within 0 and 1

    With begin=0 it is `keras.optimizers.schedules.CosineDecay(initial, steps, alpha=final / initial)`. Arguments and
    errors as in `Linear`.

    Example:

    >>> temperature = Cosine(8.0, 2.0, steps=100)
    >>> [round(float(temperature(step)), 4) for step in (0, 50, 100)]
    [8.0, 5.0, 2.0]

    Reference: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016, arXiv 1608.03983.
    """

    def __call__(self, step):
        remaining = (1.0 + ops.cos(math.pi * fraction(step, self.begin, self.steps))) / 2.0
        return remaining * self.initial + (1.0 - remaining) * self.final
