"""A weight that is learned: the more uncertain a loss, the less it counts."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_number
from tfdistill.schedules.weight import AdaptiveWeight


@keras.saving.register_keras_serializable(package="tfdistill")
class UncertaintyWeight(AdaptiveWeight):
    """The weight of a loss by its learned uncertainty.

        weighted = ½ exp(-s) loss + ½ s

    with s the logarithm of a variance, a trainable number. It is least at s = log(loss), so the weight tends to half the
    inverse of the loss, which brings losses of any size to a par; the term ½ s keeps it from 0, and makes the weighted
    loss negative where the loss is small. Give one to each loss: an instance is one number s.

    s is trained by the optimizer of the student, weight decay included, and saved with the distiller.

    Args:
        initial: s at the start; 0 is a weight of ½.
        **kwargs: `name` and `trainable` of a `keras.layers.Layer`.

    Raises:
        ValueError: for an `initial` that is no finite number.

    Example:

    >>> weight = UncertaintyWeight()
    >>> float(weight.weigh(keras.ops.array(3.0), step=None, training=True))
    1.5

    Reference: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", 2017, arXiv 1705.07115.
    """

    def __init__(self, initial=0.0, **kwargs):
        super().__init__(**kwargs)
        self.initial = check_number("initial", initial)
        self.log_variance = self.add_scalar("log_variance", self.initial, trainable=True)

    def weigh(self, loss, step, training):
        log_variance = ops.convert_to_tensor(self.log_variance)
        return 0.5 * ops.exp(-log_variance) * loss + 0.5 * log_variance

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}
