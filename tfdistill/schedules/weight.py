"""What the weight of a loss may be: a number, a schedule, or one that adapts to the training."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_number, is_number
from tfdistill.schedules.schedule import is_schedule, value_at


class AdaptiveWeight(keras.layers.Layer):
    """The weight of a loss, which follows the training. The base of those here, and of your own.

    A subclass makes its weights, float32 scalars, when it is constructed (`add_scalar`), and defines `weigh`. Being a
    layer, it is trained and saved with the distiller that holds it.

    Args:
        **kwargs: `name` and `trainable` of a `keras.layers.Layer`.

    Attributes:
        durations: the constructor arguments that count steps, so that a recipe may give them in epochs.
    """

    durations = ()

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.built = True

    def weigh(self, loss, step, training):
        """Returns the weighted loss, a float32 scalar.

        Args:
            loss: float32 scalar tensor.
            step: number of the training step, an integer tensor or int; `None` where it is not known.
            training: whether this is a step of training, in which alone any state may change.
        """
        raise NotImplementedError

    def add_scalar(self, name, value, trainable):
        """Returns a new float32 weight that starts at `value`.

        Under a distribution strategy every replica keeps its own value of one that is not trained, and their mean is
        saved: to agree at each step they would have to wait for one another.
        """
        if trainable:
            initializer = keras.initializers.Constant(value)
            return self.add_weight(shape=(), dtype="float32", autocast=False, initializer=initializer, name=name)
        return keras.Variable(
            value,
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )


def check_weight(value, name):
    """Returns `value` if it can be the weight of a loss; raises `ValueError` otherwise.

    Args:
        value: a finite number, a schedule (of this package or of Keras), or an `AdaptiveWeight`.
        name: what messages call it.

    >>> check_weight(0.5, "weight")
    0.5
    """
    if is_schedule(value) or isinstance(value, AdaptiveWeight):
        return value
    if not is_number(value):
        raise ValueError(f"`{name}` must be a number, a schedule or an adaptive weight. Received: {name}={value!r}")
    return check_number(name, value)


def weigh(weight, loss, step, training):
    """Returns the weighted loss of a batch, a float32 scalar.

    Args:
        weight: what `check_weight` lets pass.
        loss: scalar tensor.
        step: number of the training step, an integer tensor or int; `None` where it is not known.
        training: whether this is a step of training.

    Raises:
        ValueError: for a schedule without a step.

    >>> from tfdistill.schedules import WarmUp
    >>> float(weigh(WarmUp(1.0, steps=4), keras.ops.array(8.0), step=1, training=True))
    2.0
    """
    loss = ops.cast(loss, "float32")
    if isinstance(weight, AdaptiveWeight):
        return weight.weigh(loss, step, training)
    return value_at(weight, step) * loss


def check_share(value, name="student_loss_weight"):
    """Returns `value` if it can be a share of the total loss; raises `ValueError` otherwise.

    Args:
        value: a number from 0 to 1, or a schedule (of this package or of Keras) of such numbers.
        name: what messages call it.

    >>> check_share(0.5)
    0.5
    """
    if is_schedule(value):
        bounds = getattr(value, "bounds", None)
        if bounds is not None and not (bounds[0] >= 0 and bounds[1] <= 1):
            raise ValueError(
                f"`{name}` must be a number from 0 to 1 at every step. Received: {name}={value!r}, "
                f"which goes from {bounds[0]:g} to {bounds[1]:g}"
            )
        return value
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` must be a number from 0 to 1, or a schedule of such numbers. Received: {name}={value!r}"
        )
    return check_number(name, value)


def share_of(weight, step):
    """Returns the share of the total loss at a step: a number as it is, a schedule's value kept within 0 and 1.

    Args:
        weight: what `check_share` lets pass.
        step: number of the training step, an integer tensor or int.

    Raises:
        ValueError: for a schedule without a step.

    >>> from tfdistill.schedules import Linear
    >>> float(share_of(Linear(0.0, 1.0, steps=4), 1))
    0.25
    """
    return ops.clip(value_at(weight, step), 0.0, 1.0) if is_schedule(weight) else weight
