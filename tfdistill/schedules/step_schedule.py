"""A value that jumps at given steps."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_not_negative, check_number
from tfdistill.schedules.schedule import Schedule


@keras.saving.register_keras_serializable(package="tfdistill")
class StepSchedule(Schedule):
    """Constant between given steps, as `keras.optimizers.schedules.PiecewiseConstantDecay`.

        value = values[number of boundaries b with step > b]

    At a boundary itself the value before it still holds: with boundaries [100] the steps 0 to 100 have values[0], and
    step 101 is the first to have values[1].

    Args:
        boundaries: increasing step numbers.
        values: numbers, one more than boundaries.

    Raises:
        ValueError: for boundaries that do not increase, and values that do not fit them.

    Example:

    >>> share = StepSchedule([100], [0.0, 1.0])  # soft targets first, then hard labels alone
    >>> [float(share(step)) for step in (0, 100, 101)]
    [0.0, 0.0, 1.0]
    """

    durations = ("boundaries",)

    def __init__(self, boundaries, values):
        self.boundaries = [check_not_negative("boundaries", each) for each in _listed("boundaries", boundaries)]
        self.values = [check_number("values", each) for each in _listed("values", values)]
        if any(later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"`boundaries` must increase. Received: boundaries={self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "`values` must have one number more than `boundaries`. "
                f"Received: boundaries={self.boundaries}, values={self.values}"
            )

    @property
    def bounds(self):
        return min(self.values), max(self.values)

    def __call__(self, step):
        boundaries = ops.convert_to_tensor(self.boundaries, dtype="float32")
        passed = ops.sum(ops.cast(ops.cast(step, "float32") > boundaries, "int32"))
        return ops.take(ops.convert_to_tensor(self.values, dtype="float32"), passed)

    def get_config(self):
        return {"boundaries": self.boundaries, "values": self.values}


def _listed(name, values):
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"`{name}` must be a list of numbers. Received: {name}={values!r}")
    return values
