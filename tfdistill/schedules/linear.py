"""A value that moves at an even pace."""

import keras

from tfdistill.schedules.arguments import check_not_negative, check_number, check_positive
from tfdistill.schedules.schedule import Schedule, fraction


@keras.saving.register_keras_serializable(package="tfdistill")
class Linear(Schedule):
    """From one value to another along a straight line.

        value = (1 - f) initial + f final,    f = (step - begin) / steps, kept within 0 and 1

    So it is `initial` until step `begin`, and `final` from step `begin + steps` on. With begin=0 it is
    `keras.optimizers.schedules.PolynomialDecay(initial, steps, final)`.

    Args:
        initial, final: numbers.
        steps: how many optimizer steps it takes, a positive number (epochs times batches an epoch).
        begin: the step at which it starts to move.

    Raises:
        ValueError: for an argument of the wrong kind.

    Example:

    >>> weight = Linear(1.0, 0.0, steps=100)
    >>> [float(weight(step)) for step in (0, 25, 100, 500)]
    [1.0, 0.75, 0.0, 0.0]
    """

    durations = ("steps", "begin")

    def __init__(self, initial, final, steps, begin=0):
        self.initial = check_number("initial", initial)
        self.final = check_number("final", final)
        self.steps = check_positive("steps", steps)
        self.begin = check_not_negative("begin", begin)

    @property
    def bounds(self):
        return min(self.initial, self.final), max(self.initial, self.final)

    def __call__(self, step):
        passed = fraction(step, self.begin, self.steps)
        return (1.0 - passed) * self.initial + passed * self.final

    def get_config(self):
        return {"initial": self.initial, "final": self.final, "steps": self.steps, "begin": self.begin}
