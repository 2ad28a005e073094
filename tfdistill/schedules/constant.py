"""A value that stays."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_number
from tfdistill.schedules.schedule import Schedule


@keras.saving.register_keras_serializable(package="tfdistill")
class Constant(Schedule):
    """The same value at every step.

    A plain number does the same wherever a schedule may be given; this is for code that wants a schedule.

    Args:
        value: number.

    Raises:
        ValueError: for a value that is no finite number.

    Example:

    >>> float(Constant(4.0)(1000))
    4.0
    """

    def __init__(self, value):
        self.value = check_number("value", value)

    @property
    def bounds(self):
        return self.value, self.value

    def __call__(self, step):
        return ops.convert_to_tensor(self.value, dtype="float32")

    def get_config(self):
        return {"value": self.value}
