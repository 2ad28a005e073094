"""A temperature that is learned against the student."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_number, check_positive
from tfdistill.schedules.cosine import Cosine
from tfdistill.schedules.schedule import needed_step
from tfdistill.schedules.temperature import AdaptiveTemperature


@keras.saving.register_keras_serializable(package="tfdistill")
class CurriculumTemperature(AdaptiveTemperature, keras.layers.Layer):
    """One temperature for all examples, learned so that the student's task becomes harder (CTKD, global form).

        T = lowest + span sigmoid(θ)

    The gradient that reaches θ is multiplied by λ, which goes from 0 to -1 along a cosine over the first `steps` steps:
    so the optimizer that lessens the loss by the student's weights raises it by θ, gently at first. With the defaults T
    starts at 1 + 20 sigmoid(1) = 15.6 and stays between 1 and 21.

    θ is trained by the optimizer of the student, weight decay included, and saved with the distiller. An instance that
    several losses share is one temperature.

    Args:
        steps: over how many optimizer steps λ goes from 0 to -1, a positive number. Ten epochs in the paper.
        initial: θ at the start.
        lowest: the temperature that T stays above, positive.
        span: how far above `lowest` T may go, positive.
        **kwargs: `name` and `trainable` of a `keras.layers.Layer`.

    Raises:
        ValueError: for an argument of the wrong kind, and where it is asked without a step.

    Example:

    >>> temperature = CurriculumTemperature(steps=1000)
    >>> round(float(temperature.temperature(step=0)), 4)
    15.6212

    Reference: Li et al., "Curriculum Temperature for Knowledge Distillation", 2022, arXiv 2211.16231.
    """

    durations = ("steps",)

    def __init__(self, steps, initial=1.0, lowest=1.0, span=20.0, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.steps = check_positive("steps", steps)
        self.initial = check_number("initial", initial)
        self.lowest = check_positive("lowest", lowest)
        self.span = check_positive("span", span)
        self.theta = self.add_weight(
            shape=(),
            dtype="float32",
            autocast=False,
            initializer=keras.initializers.Constant(self.initial),
            name="theta",
        )
        self.built = True

    def temperature(self, step):
        """Returns the temperature at a step, a float32 scalar tensor, whose gradient to θ is reversed."""
        theta = ops.convert_to_tensor(self.theta)
        fixed = ops.stop_gradient(theta)
        gradient_factor = Cosine(0.0, -1.0, self.steps)(needed_step(step, self))
        # The value is θ's to the last bit; its gradient is the factor.
        reversed_theta = fixed + gradient_factor * (theta - fixed)
        return self.lowest + self.span * ops.sigmoid(reversed_theta)

    def resolve(self, step, teacher_logits, student_logits, task="auto"):
        return self.temperature(step)

    def get_config(self):
        own = {"steps": self.steps, "initial": self.initial, "lowest": self.lowest, "span": self.span}
        return {**super().get_config(), **own}
