"""A weight that fades as the student catches up with the teacher."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_number, check_positive
from tfdistill.schedules.weight import AdaptiveWeight


@keras.saving.register_keras_serializable(package="tfdistill")
class FadingWeight(AdaptiveWeight):
    """Lets a loss count in proportion to what is left of it, so that hard labels take over from the teacher.

        w = (average / level - floor) / (1 - floor), kept within 0 and 1;    weighted = w loss

    level is the mean of the loss over the first `warm_up_steps` training steps, in which w is 1. From then on average,
    which starts from level, is the moving average momentum * average + (1 - momentum) * loss, the loss of the step
    included. No gradient flows through w. If the student falls back, w rises again.

    Meant for losses that are 0 where the student matches the teacher, as a KL divergence or a mean squared error; not
    for a cross-entropy, which keeps the teacher's entropy, and not for a loss whose size another schedule changes.

    level, average and the count of steps change in training only, belong to the distiller and are saved with it. A loss
    that is not finite leaves them as they are.

    Args:
        warm_up_steps: how many training steps the level is measured over, a positive number; an epoch is a good start.
        momentum: of the moving average, from 0 to below 1; 0.99 remembers about 100 steps.
        floor: the part of the level at which the teacher falls silent, from 0 to below 1. 0 fades without an end.
        **kwargs: `name` and `trainable` of a `keras.layers.Layer`.

    Raises:
        ValueError: for an argument of the wrong kind.

    Example: the level is (5 + 3) / 2 = 4; then the average is 4/2 + 2/2 = 3, and w = (3/4 - 1/2) / (1/2) = 1/2.

    >>> weight = FadingWeight(warm_up_steps=2, momentum=0.5, floor=0.5)
    >>> [float(weight.weigh(keras.ops.array(loss), step=None, training=True)) for loss in (5.0, 3.0, 2.0)]
    [5.0, 3.0, 1.0]
    """

    durations = ("warm_up_steps",)

    def __init__(self, warm_up_steps, momentum=0.99, floor=0.0, **kwargs):
        super().__init__(**kwargs)
        self.warm_up_steps = check_positive("warm_up_steps", warm_up_steps)
        self.momentum = _part("momentum", momentum)
        self.floor = _part("floor", floor)
        self.level = self.add_scalar("level", 0.0, trainable=False)
        self.average = self.add_scalar("average", 0.0, trainable=False)
        self.seen_steps = self.add_scalar("seen_steps", 0.0, trainable=False)

    def weigh(self, loss, step, training):
        level, average, seen = (ops.convert_to_tensor(state) for state in (self.level, self.average, self.seen_steps))
        if training:
            level, average, seen = self._updated(ops.stop_gradient(loss), level, average, seen)
            for state, value in ((self.level, level), (self.average, average), (self.seen_steps, seen)):
                state.assign(value)
        left = (ops.divide_no_nan(average, level) - self.floor) / (1.0 - self.floor)
        return ops.where(seen < self.warm_up_steps, 1.0, ops.clip(left, 0.0, 1.0)) * loss

    def _updated(self, loss, level, average, seen):
        measuring = seen < self.warm_up_steps
        new_level = ops.where(measuring, level + (loss - level) / (seen + 1.0), level)
        moved = self.momentum * average + (1.0 - self.momentum) * loss
        new_average = ops.where(measuring, new_level, moved)
        # The count stops once the level is known: a float32 could not count on for ever.
        new_seen = ops.where(measuring, seen + 1.0, seen)
        finite = ops.isfinite(loss)
        return (
            ops.where(finite, new, old) for new, old in ((new_level, level), (new_average, average), (new_seen, seen))
        )

    def get_config(self):
        own = {"warm_up_steps": self.warm_up_steps, "momentum": self.momentum, "floor": self.floor}
        return {**super().get_config(), **own}


def _part(name, value):
    value = check_number(name, value)
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a number from 0 to below 1. Received: {name}={value!r}")
    return value
