"""What a schedule is, and how a number or a schedule is read at a training step."""

import keras
from keras import ops

from tfdistill.schedules.arguments import is_number


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A value that depends on the number of the training step. The base of all schedules here, and of your own.

    A step is one update by the optimizer: n epochs are n times the batches of an epoch. The first step of training is
    step 0. A schedule is a Keras learning-rate schedule, so it serves as a learning rate too; and any learning-rate
    schedule of Keras serves wherever one of these does.

    A subclass defines `__call__(step)`, which takes a Python int or an integer tensor and returns a float32 scalar
    tensor, and `get_config`.

    Attributes:
        durations: the constructor arguments that count steps, so that a recipe may give them in epochs.
        bounds: (lowest, highest) of the values it can take; `None` where that is not known.

    Example:

    >>> class Halving(Schedule):
    ...     def __call__(self, step):
    ...         return 0.5 ** keras.ops.cast(step, "float32")
    >>> float(Halving()(3))
    0.125
    """

    durations = ()
    bounds = None

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**{name: deserialize(value) for name, value in config.items()})

    def __repr__(self):
        arguments = (f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(arguments)})"


def is_schedule(value):
    """Whether `value` gives a value at a step: a `Schedule`, or a learning-rate schedule of Keras."""
    return isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def value_at(value, step):
    """Returns what a number or a schedule is at a step: the number itself, or a float32 scalar tensor.

    Args:
        value: number or schedule.
        step: Python int or integer tensor.

    Raises:
        ValueError: for a schedule without a step.

    >>> value_at(2.0, step=None)
    2.0
    """
    if not is_schedule(value):
        return value
    return ops.cast(value(needed_step(step, value)), "float32")


def needed_step(step, asker):
    """Returns `step`; raises `ValueError` where it is `None`."""
    if step is None:
        raise ValueError(
            f"{type(asker).__name__} needs the number of the training step. tfdistill.Distiller passes it, "
            "keras.distillation.Distiller does not; in a loop of your own pass `step=`. Received: step=None"
        )
    return step


def fraction(step, begin, steps):
    """The part of `steps` that has passed since `begin`, from 0 to 1, a float32 scalar tensor."""
    return ops.clip((ops.cast(step, "float32") - begin) / steps, 0.0, 1.0)


def bounds_of(value):
    """(lowest, highest) that a number or a schedule can be; `None` where that is not known.

    >>> bounds_of(0.5)
    (0.5, 0.5)
    """
    return (value, value) if is_number(value) else getattr(value, "bounds", None)


def serialize(value):
    """Returns what `get_config` may hold for a number, a schedule or an adaptive temperature or weight."""
    return keras.saving.serialize_keras_object(value)


def deserialize(config):
    """Returns what `serialize` was given."""
    return keras.saving.deserialize_keras_object(config)
