"""Logit standardisation, around any response loss."""

import keras
from keras import ops

from tfdistill.losses.correlation import ROUNDING
from tfdistill.losses.logits_distillation import LogitsDistillation
from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.probabilities import as_logits, check_categorical
from tfdistill.losses.response_loss import ResponseLoss

EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="tfdistill")
class StandardizedLogits(OutputLoss):
    """Any response loss on standardised logits: the student need not match the teacher's mean and spread.

        loss(standard(z_t), standard(z_s)),    standard(z) = (z - μ) / (1e-7 + σ)

    with μ and σ of each example's logits over its classes, σ with Bessel's correction (k - 1). So the temperature no
    longer has to fit the size of either model's logits, and what remains is how the classes relate.

    The paper's setting is T=2, weight 9 for this loss and .1 for the hard labels: in a `tfdistill.Distiller`
    student_loss_weight=.1 and distillation_loss_weights=[10.0], since the rest of the share, .9, multiplies too.

    With two classes every example's logits become ±1/√2, whatever they were: use three classes or more. A row whose
    logits are all the same has no spread: it becomes zeros, without gradient.

    Args:
        loss: a response loss: `LogitsDistillation`, `DecoupledDistillation`, `CorrelationDistillation`,
            `MultiLevelDistillation`, `BlendedDistillation`, `AnnealingDistillation` or one of your own; `None` for
            `LogitsDistillation(temperature=2.0)`. It reads logits, so leave its `from_logits` at True.
        from_logits: whether the student's outputs are logits. If False they are probabilities, and logits are recovered
            from them (see `logits_from_probabilities`).
        teacher_from_logits: the same for the teacher; `None` means like the student.

    Raises:
        ValueError: for a loss that is no response loss or reads probabilities, binary outputs, and outputs whose shapes
            differ.

    Example:

    >>> import keras
    >>> loss = StandardizedLogits(LogitsDistillation(temperature=2.0))
    >>> teacher, student = keras.ops.array([[10.0, 20.0, 30.0]]), keras.ops.array([[7.0, 7.0, 7.0]])
    >>> # (-1, 0, 1) and zeros; at T=2 the teacher's entropy is 1.02018: 4 (log 3 - 1.02018)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.3137

    Reference: Sun et al., "Logit Standardization in Knowledge Distillation", 2024, arXiv 2403.01427.
    """

    def __init__(self, loss=None, from_logits=True, teacher_from_logits=None, **kwargs):
        super().__init__(**kwargs)
        loss = LogitsDistillation(temperature=2.0) if loss is None else loss
        if not isinstance(loss, ResponseLoss):
            raise ValueError(
                f"`loss` must be a response loss, such as tfdistill.losses.LogitsDistillation(). Received: loss={loss!r}"
            )
        if not loss.from_logits or loss.teacher_from_logits is False:
            raise ValueError(
                "`loss` gets standardised logits; give `from_logits` to StandardizedLogits instead. "
                f"Received: a loss with from_logits={loss.from_logits}, teacher_from_logits={loss.teacher_from_logits}"
            )
        self.loss = loss
        self.from_logits = from_logits
        self.teacher_from_logits = teacher_from_logits

    @property
    def compares_examples(self):
        return self.loss.compares_examples

    def validate_outputs(self, teacher_outputs, student_outputs):
        self.loss.validate_outputs(teacher_outputs, student_outputs)

    def validate_shapes(self, teacher, student):
        self.loss.validate_shapes(teacher, student)
        self._check_classes(student)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        self._check_classes(student_outputs)
        teacher_from_logits = self.from_logits if self.teacher_from_logits is None else self.teacher_from_logits
        return self.loss.compute_loss(
            keras.tree.map_structure(lambda output: self._standard(output, teacher_from_logits), teacher_outputs),
            keras.tree.map_structure(lambda output: self._standard(output, self.from_logits), student_outputs),
            sample_weight=sample_weight,
            labels=labels,
            step=step,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "from_logits": self.from_logits,
            "teacher_from_logits": self.teacher_from_logits,
        }

    def _check_classes(self, outputs):
        for output in keras.tree.flatten(outputs):
            for task in self.loss.tasks:
                check_categorical(task, output, type(self).__name__)

    def _standard(self, output, from_logits):
        standard = standardize_logits(as_logits(output, self.loss.task, from_logits))
        mask = getattr(output, "_keras_mask", None)
        if mask is not None:
            standard._keras_mask = mask
        return standard


def standardize_logits(logits):
    """Returns `(z - μ) / (1e-7 + σ)` of each row, see `StandardizedLogits`.

    Args:
        logits: tensor `[batch, ..., k]` of any float dtype. Classes at -inf stay there and count for neither μ nor σ.

    Returns:
        float32 tensor of the same shape.

    >>> import keras
    >>> standardize_logits(keras.ops.array([[10.0, 20.0, 30.0]])).numpy().round(4).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    logits = ops.cast(logits, "float32")
    is_finite = ops.isfinite(logits)
    values = ops.where(is_finite, logits, 0.0)
    count = ops.sum(ops.cast(is_finite, "float32"), axis=-1, keepdims=True)
    mean = ops.divide_no_nan(ops.sum(values, axis=-1, keepdims=True), count)
    deviation = ops.where(is_finite, values - mean, 0.0)
    variance = ops.sum(deviation**2, axis=-1, keepdims=True) / ops.maximum(count - 1.0, 1.0)
    varies = variance > ROUNDING**2 * ops.divide_no_nan(ops.sum(values**2, axis=-1, keepdims=True), count)
    # The root of 0 has no finite derivative, so it is never taken.
    standard = deviation / (EPSILON + ops.sqrt(ops.where(varies, variance, 1.0)))
    return ops.where(is_finite, ops.where(varies, standard, 0.0), logits)
