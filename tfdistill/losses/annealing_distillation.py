"""Annealing knowledge distillation."""

import keras
from keras import ops

from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.shapes import check_same_shape
from tfdistill.schedules import serialize, value_at
from tfdistill.schedules.arguments import is_number
from tfdistill.schedules.schedule import is_schedule


@keras.saving.register_keras_serializable(package="tfdistill")
class AnnealingDistillation(ResponseLoss):
    """The student regresses on the teacher's logits, which grow to their full size in the course of training.

        mean over classes of (z_s - Φ z_t)²

    with Φ = 1 - (T - 1)/τ_max, from 1/τ_max to 1. A schedule gives it:

        AnnealingDistillation(scale=AnnealingSchedule(max_temperature=7, steps_per_temperature=2 * steps_per_epoch))

    The method has two stages, and the hard labels come in the second alone: give the distiller a schedule for its
    `student_loss_weight` that is 0 at first and then 1, such as
    `StepSchedule([14 * steps_per_epoch - 1], [0.0, 1.0])`.

    The mean, not the sum, over the classes is that of the authors' code. Logits are compared as they are, without
    softmax or sigmoid, so binary outputs and several labels are the same formula.

    Args:
        scale: Φ: a number above 0, or a schedule (of `tfdistill.schedules` or of Keras).
        task: only tells how logits are recovered from probabilities, see `LogitsDistillation`.
        from_logits, teacher_from_logits: whether outputs are logits or probabilities, see `LogitsDistillation`.

    Raises:
        ValueError: for a scale that is neither, a schedule without a step (under `keras.distillation.Distiller`), and
            outputs whose shapes differ.

    Example:

    >>> import keras
    >>> loss = AnnealingDistillation(scale=0.5)
    >>> float(loss.compute_loss(keras.ops.array([[2.0, -4.0]]), keras.ops.array([[0.0, 0.0]])))  # (1² + 2²) / 2
    2.5

    Reference: Jafari et al., "Annealing Knowledge Distillation", 2021, arXiv 2104.07163.
    """

    def __init__(self, scale=1.0, task="auto", from_logits=True, teacher_from_logits=None, **kwargs):
        super().__init__(task=task, from_logits=from_logits, teacher_from_logits=teacher_from_logits, **kwargs)
        if not is_schedule(scale) and not (is_number(scale) and scale > 0):
            raise ValueError(f"`scale` must be a positive number or a schedule. Received: scale={scale!r}")
        self.scale = scale

    def values(self, teacher, student, labels=None, step=None):
        teacher, student, _ = self.softening(teacher, student, step)
        return annealed_squared_error(teacher, student, value_at(self.scale, step))

    def get_config(self):
        config = {**super().get_config(), "scale": serialize(self.scale)}
        del config["temperature"]  # Φ is in its place
        return config


def annealed_squared_error(teacher_logits, student_logits, scale=1.0):
    """`mean_k (z_s - scale z_t)²` of each example, see `AnnealingDistillation`.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype. No gradient flows into it.
        student_logits: tensor of the same shape.
        scale: number or scalar tensor.

    Returns:
        float32 `[batch, ...]`.

    Raises:
        ValueError: where the shapes differ.

    >>> import keras
    >>> float(annealed_squared_error(keras.ops.array([[2.0, -4.0]]), keras.ops.array([[0.0, 0.0]]), scale=0.5)[0])
    2.5
    """
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    return ops.mean((student - scale * teacher) ** 2, axis=-1)
