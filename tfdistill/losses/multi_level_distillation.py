"""Multi-level logit distillation (MLD)."""

import keras
from keras import ops

from tfdistill.losses.batch_weights import batch_weights
from tfdistill.losses.probabilities import resolve_task
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.shapes import check_same_shape
from tfdistill.losses.softened import kl_divergence, softened
from tfdistill.schedules.arguments import check_positive


@keras.saving.register_keras_serializable(package="tfdistill")
class MultiLevelDistillation(ResponseLoss):
    """The student matches the teacher's predictions, its similarities of classes and its similarities of examples.

        Σ_T [T² mean KL(P_t || P_s) + ||P_tᵀP_t - P_sᵀP_s||² / C + ||P_tP_tᵀ - P_sP_sᵀ||² / B]

    over several temperatures T, where P = softmax(z/T) is the batch's B by C matrix of probabilities. As in the
    authors' code, the divergence carries T² and the two correlations do not, and all three are summed over all
    temperatures. Their data augmentation, and their masks that drop the examples and classes of which the teacher is
    surest, are not part of the loss.

    The class term grows with the square of the batch size, the example term in proportion to it, so a weight found at
    one batch size is not right at another. The example term needs a B by B matrix, for sequences (examples times time
    steps) squared.

    One binary output is taken for the two classes of its sigmoid; several labels are refused.

    Sample weights weigh the examples in all three terms: a row of weight 0 is as good as absent (see `batch_weights`).

    Args:
        temperature: the base temperature: positive number, or a schedule or an adaptive temperature of
            `tfdistill.schedules`.
        other_temperatures: positive numbers, the temperatures beside it.
        task: `"categorical"`, `"binary"` or `"auto"`, see `LogitsDistillation`.
        from_logits, teacher_from_logits: whether outputs are logits or probabilities, see `LogitsDistillation`.

    Raises:
        ValueError: for temperatures that are not positive, several binary outputs, and outputs whose shapes differ.

    Example:

    >>> import keras
    >>> loss = MultiLevelDistillation(temperature=1.0, other_temperatures=())
    >>> teacher, student = keras.ops.log(keras.ops.array([[[3.0, 1.0]], [[1.0, 1.0]]]))
    >>> # P_t = (3/4, 1/4), P_s = (1/2, 1/2). KL .130812; PᵀP of t (9 3 3 1)/16, of s 1/4: (25 + 1 + 1 + 9)/256/2;
    >>> # PPᵀ of t 10/16, of s 8/16: 4/256.
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # .130812 + .070313 + .015625
    0.2167

    Reference: Jin, Wang and Lin, "Multi-Level Logit Distillation", CVPR 2023.
    """

    compares_examples = True

    def __init__(self, temperature=4.0, other_temperatures=(2.0, 3.0, 5.0, 6.0), **kwargs):
        super().__init__(temperature=temperature, **kwargs)
        self.other_temperatures = tuple(check_positive("other_temperatures", each) for each in other_temperatures)

    def validate_shapes(self, teacher, student):
        super().validate_shapes(teacher, student)
        for output in keras.tree.flatten(student):
            _check_single_sigmoid(self.task, output)

    def output_loss(self, teacher, student, sample_weight=None, labels=None, step=None):
        mask = getattr(student, "_keras_mask", None)
        teacher, student, temperature = self.softening(teacher, student, step)
        temperatures = (temperature, *self.other_temperatures)
        return multi_level_divergence(teacher, student, temperatures, self.task, sample_weight=sample_weight, mask=mask)

    def get_config(self):
        return {**super().get_config(), "other_temperatures": list(self.other_temperatures)}


def multi_level_divergence(
    teacher_logits,
    student_logits,
    temperatures=(4.0, 2.0, 3.0, 5.0, 6.0),
    task="auto",
    sample_weight=None,
    mask=None,
):
    """`Σ_T [T² mean KL + ||P_tᵀP_t - P_sᵀP_s||² / C + ||P_tP_tᵀ - P_sP_sᵀ||² / B]`, see `MultiLevelDistillation`.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype. No gradient flows into it.
        student_logits: tensor of the same shape.
        temperatures: positive numbers, scalar tensors, or tensors `[batch, ...]` of one temperature an example.
        task: `"auto"` (binary where k is 1, else categorical), `"binary"` or `"categorical"`.
        sample_weight, mask: what each row counts, see `batch_weights`.

    Returns:
        float32 scalar, 0 where the student matches.

    Raises:
        ValueError: where the shapes differ or do not suit the task.

    >>> import keras
    >>> teacher, student = keras.ops.log(keras.ops.array([[[3.0, 1.0]], [[1.0, 1.0]]]))
    >>> round(float(multi_level_divergence(teacher, student, temperatures=[1.0])), 4)
    0.2167
    """
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    if _check_single_sigmoid(task, student) == "binary":  # sigmoid(z) is the first entry of softmax(z, 0)
        teacher, student = (ops.concatenate([z, ops.zeros_like(z)], axis=-1) for z in (teacher, student))
    weights, factor = batch_weights(student, sample_weight, mask)
    levels = (_level(teacher, student, temperature, weights) for temperature in temperatures)
    return factor * sum(levels)


def _level(teacher, student, temperature, weights):
    """The three terms at one temperature."""
    teacher, student = softened(teacher, temperature), softened(student, temperature)
    divergences = ops.reshape(kl_divergence(teacher, student) * temperature**2, (-1,))
    count = ops.sum(weights)
    teacher, student = (_rows(ops.softmax(logits)) for logits in (teacher, student))
    column = ops.expand_dims(weights, axis=-1)
    of_classes = ops.transpose(teacher) @ (column * teacher) - ops.transpose(student) @ (column * student)
    of_examples = teacher @ ops.transpose(teacher) - student @ ops.transpose(student)
    class_term = ops.sum(of_classes**2) / ops.cast(ops.shape(student)[-1], "float32")
    sum_over_examples = ops.sum(divergences * weights) + ops.sum(column * ops.transpose(column) * of_examples**2)
    return class_term + ops.divide_no_nan(sum_over_examples, count)


def _rows(values):
    return ops.reshape(values, (-1, ops.shape(values)[-1]))


def _check_single_sigmoid(task, outputs):
    """Returns the task; raises `ValueError` for several labels, which are no distribution over classes."""
    task = resolve_task(task, outputs)
    if task == "binary" and outputs.shape[-1] != 1:
        raise ValueError(
            "Multi-level distillation compares distributions over classes, not the sigmoids of several labels; "
            f"LogitsDistillation and CorrelationDistillation take those. Received: shape={tuple(outputs.shape)}"
        )
    return task
