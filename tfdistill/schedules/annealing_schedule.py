"""How loud the teacher speaks in annealing distillation."""

import keras
from keras import ops

from tfdistill.schedules.arguments import check_positive
from tfdistill.schedules.schedule import Schedule


@keras.saving.register_keras_serializable(package="tfdistill")
class AnnealingSchedule(Schedule):
    """The factor Φ of the teacher's logits in annealing distillation: small at first, in the end 1.

        Φ(T) = 1 - (T - 1) / max_temperature,    T = max_temperature, then one less every steps_per_temperature steps

    until T is 1, where it stays; so Φ is 1/max_temperature, 2/max_temperature, ..., 1. Step n * steps_per_temperature is
    the first of its T.

    The method (`tfdistill.losses.AnnealingDistillation`) trains on MSE(z_s, Φ(T) z_t) alone until T = 1 is through, then on
    hard labels alone. A Distiller's `student_loss_weight` does that:
    `StepSchedule([max_temperature * steps_per_temperature - 1], [0.0, 1.0])`.

    Args:
        max_temperature: whole number of 1 or more. 7 in the paper's language tasks, 10 in its image tasks.
        steps_per_temperature: how many optimizer steps every T lasts, a positive number. Two epochs in the paper's
            language tasks.

    Raises:
        ValueError: for an argument of the wrong kind.

    Example:

    >>> scale = AnnealingSchedule(max_temperature=4, steps_per_temperature=10)
    >>> [float(scale(step)) for step in (0, 9, 10, 29, 30, 99)]
    [0.25, 0.25, 0.5, 0.75, 1.0, 1.0]

    Reference: Jafari et al., "Annealing Knowledge Distillation", 2021, arXiv 2104.07163.
    """

    durations = ("steps_per_temperature",)

    def __init__(self, max_temperature=7, *, steps_per_temperature):
        self.max_temperature = check_positive("max_temperature", max_temperature)
        if self.max_temperature != int(self.max_temperature):
            raise ValueError(f"`max_temperature` must be a whole number. Received: max_temperature={max_temperature!r}")
        self.max_temperature = int(self.max_temperature)
        self.steps_per_temperature = check_positive("steps_per_temperature", steps_per_temperature)

    @property
    def bounds(self):
        return 1.0 / self.max_temperature, 1.0

    def __call__(self, step):
        # Comparisons are exact, where a compiled division may fall just short of a whole number.
        starts = [n * self.steps_per_temperature for n in range(1, self.max_temperature)]
        started = ops.cast(ops.cast(step, "float32") >= ops.convert_to_tensor(starts, dtype="float32"), "float32")
        return (1.0 + ops.sum(started)) / self.max_temperature

    def get_config(self):
        return {"max_temperature": self.max_temperature, "steps_per_temperature": self.steps_per_temperature}
