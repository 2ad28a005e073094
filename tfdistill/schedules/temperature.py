"""What a temperature may be: a number, a schedule, or one that adapts to the training."""

from keras import ops

from tfdistill.schedules.arguments import check_number, is_number
from tfdistill.schedules.schedule import is_schedule, value_at

# A learning-rate schedule may end at 0, where a softened distribution is not defined.
LOWEST_SCHEDULED_TEMPERATURE = 0.01


class AdaptiveTemperature:
    """A temperature that follows what teacher and student say. The base of those here, and of your own.

    A subclass defines `resolve`. One that learns is a `keras.layers.Layer` too, made of float32 weights that exist when
    it is constructed; a loss that holds it, or a distiller that holds the loss, then trains and saves them.

    Attributes:
        durations: the constructor arguments that count steps, so that a recipe may give them in epochs.
    """

    durations = ()

    def resolve(self, step, teacher_logits, student_logits, task="auto"):
        """Returns the temperature, a float32 scalar or one an example `[batch, ...]`.

        Args:
            step: number of the training step, an integer tensor or int; `None` where it is not known.
            teacher_logits, student_logits: tensors `[batch, ..., k]`.
            task: `"categorical"`, `"binary"` (a sigmoid an entry), or `"auto"`: binary where k is 1.
        """
        raise NotImplementedError


def check_temperature(value, name="temperature"):
    """Returns `value` if it can be a temperature; raises `ValueError` otherwise.

    Args:
        value: a positive number, a schedule (of this package or of Keras) whose values stay above 0, or an
            `AdaptiveTemperature`.
        name: what messages call it.

    >>> check_temperature(4.0)
    4.0
    """
    if isinstance(value, AdaptiveTemperature):
        return value
    if is_schedule(value):
        bounds = getattr(value, "bounds", None)
        if bounds is not None and not bounds[0] > 0:
            raise ValueError(
                f"`{name}` must be a positive number at every step. Received: {name}={value!r}, "
                f"which goes from {bounds[0]:g} to {bounds[1]:g}"
            )
        return value
    if not is_number(value) or not value > 0:
        raise ValueError(
            f"`{name}` must be a positive number, a schedule or an adaptive temperature. Received: {name}={value!r}"
        )
    return check_number(name, value)


def resolve_temperature(temperature, step, teacher_logits, student_logits, task="auto"):
    """Returns the temperature of a batch.

    Args:
        temperature: what `check_temperature` lets pass.
        step: number of the training step, an integer tensor or int; `None` where it is not known.
        teacher_logits, student_logits: tensors `[batch, ..., k]`.
        task: `"categorical"`, `"binary"` or `"auto"`, see `AdaptiveTemperature.resolve`.

    Returns:
        a number as it is; for a schedule or a learned temperature a float32 scalar tensor; for a temperature by example
        a float32 tensor `[batch, ...]`. A Keras schedule's values below 0.01 count as 0.01.

    Raises:
        ValueError: for a schedule without a step.

    >>> from tfdistill.schedules import Linear
    >>> float(resolve_temperature(Linear(8.0, 2.0, steps=100), 50, None, None))
    5.0
    """
    if isinstance(temperature, AdaptiveTemperature):
        return temperature.resolve(step, teacher_logits, student_logits, task)
    if is_schedule(temperature):
        return ops.maximum(value_at(temperature, step), LOWEST_SCHEDULED_TEMPERATURE)
    return temperature
