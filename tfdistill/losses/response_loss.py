"""What the losses on a model's response, its logits, have in common."""

from keras import ops

from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.probabilities import as_logits, check_task
from tfdistill.losses.shapes import check_same_shape
from tfdistill.schedules import check_temperature, resolve_temperature, serialize
from tfdistill.schedules.per_example_temperature import PerExampleTemperature


class ResponseLoss(OutputLoss):
    """A loss between logits, softened by a temperature.

    A subclass defines `values(teacher, student, labels, step)` and begins it with
    `teacher, student, temperature = self.softening(teacher, student, step)`.

    Args:
        temperature: positive number, a schedule or an adaptive temperature of `tfdistill.schedules`.
        task: `"categorical"` (softmax over the last dimension), `"binary"` (a sigmoid an entry, also for several
            labels), or `"auto"`: binary where the last dimension is 1.
        from_logits: whether the student's outputs are logits. If False they are probabilities, and logits are recovered
            from them (see `logits_from_probabilities`).
        teacher_from_logits: the same for the teacher; `None` means like the student.

    Raises:
        ValueError: for a temperature that is not positive, and an unknown task.
    """

    def __init__(self, temperature=1.0, task="auto", from_logits=True, teacher_from_logits=None, **kwargs):
        super().__init__(**kwargs)
        self.temperature = check_temperature(temperature)
        self.task = check_task(task)
        self.from_logits = from_logits
        self.teacher_from_logits = teacher_from_logits

    @property
    def compares_examples(self):
        return isinstance(self.temperature, PerExampleTemperature)  # which is relative to the mean of the batch

    @property
    def tasks(self):
        """The tasks that outputs may be taken for."""
        return {self.task}

    def softening(self, teacher, student, step=None, task=None):
        """Returns float32 logits of teacher (without gradient) and student, and the temperature for them.

        The temperature is a number, a scalar tensor, or a tensor of one temperature an example, shaped like the logits
        without their last dimension.
        """
        task = task or self.task
        teacher_from_logits = self.from_logits if self.teacher_from_logits is None else self.teacher_from_logits
        check_same_shape(teacher, student, "outputs")
        teacher = ops.stop_gradient(as_logits(teacher, task, teacher_from_logits))
        student = as_logits(student, task, self.from_logits)
        return teacher, student, resolve_temperature(self.temperature, step, teacher, student, task)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": serialize(self.temperature),
            "task": self.task,
            "from_logits": self.from_logits,
            "teacher_from_logits": self.teacher_from_logits,
        }
