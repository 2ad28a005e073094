"""A value that grows from nothing."""

import keras

from tfdistill.schedules.arguments import check_positive, is_number
from tfdistill.schedules.schedule import Schedule, bounds_of, fraction, is_schedule, serialize, value_at


@keras.saving.register_keras_serializable(package="tfdistill")
class WarmUp(Schedule):
    """Grows evenly from 0 to a number, or to what another schedule says.

        value = min(step / steps, 1) * target(step)

    For weights: at step 0 it is 0, which no temperature can be. Decoupled distillation (DKD) warms its loss up so.

    Args:
        target: number, or a schedule, which counts from the same step 0.
        steps: how many optimizer steps it takes, a positive number.

    Raises:
        ValueError: for an argument of the wrong kind.

    Example:

    >>> weight = WarmUp(2.0, steps=20)
    >>> [float(weight(step)) for step in (0, 5, 20, 50)]
    [0.0, 0.5, 2.0, 2.0]

    Reference: Zhao et al., "Decoupled Knowledge Distillation", 2022, arXiv 2203.08679 (20 epochs).
    """

    durations = ("steps",)

    def __init__(self, target, steps):
        if not is_number(target) and not is_schedule(target):
            raise ValueError(f"`target` must be a number or a schedule. Received: target={target!r}")
        self.target = target
        self.steps = check_positive("steps", steps)

    @property
    def bounds(self):
        bounds = bounds_of(self.target)
        return None if bounds is None else (min(0, bounds[0]), max(0, bounds[1]))

    def __call__(self, step):
        return fraction(step, 0, self.steps) * value_at(self.target, step)

    def get_config(self):
        return {"target": serialize(self.target), "steps": self.steps}
