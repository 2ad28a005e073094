"""Distillation of correlations (DIST)."""

import keras
from keras import ops

from tfdistill.losses.batch_weights import batch_weights
from tfdistill.losses.correlation import pearson_correlation
from tfdistill.losses.probabilities import resolve_task
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.shapes import check_same_shape
from tfdistill.losses.softened import softened
from tfdistill.schedules.arguments import check_not_negative


@keras.saving.register_keras_serializable(package="tfdistill")
class CorrelationDistillation(ResponseLoss):
    """The student learns the order of the teacher's preferences, not their exact size.

        τ² [beta (1 - mean over rows of ρ(Y_s, Y_t)) + gamma (1 - mean over columns of ρ(Y_s, Y_t))]

    with Y = softmax(z/τ) of the batch, one row an example and one column a class, and ρ Pearson's correlation: of an
    example's classes along a row, of a class's examples along a column. A student much weaker than its teacher can
    match a correlation where it cannot match probabilities.

    Binary outputs are sigmoids. With one output a row has nothing to correlate, so its term is left out and the column,
    the correlation across the batch, is all. With several labels both terms are there. With two classes, or two labels,
    a row's correlation is 1 or -1 and its gradient 0, so there too the columns alone teach.

    A row or column that is constant for teacher or student (an untrained student, a batch of one example) has no
    correlation: it counts as 0, without gradient. The authors' 1e-8 beside the product of the norms is kept, so classes
    whose probability is about 1e-5 and less throughout the batch count as uncorrelated too.

    Sample weights weigh the rows, and the examples within each column: a row of weight 0 is as good as absent (see
    `batch_weights`). Time steps are rows of their own.

    Args:
        temperature: τ, positive number, or a schedule or an adaptive temperature of `tfdistill.schedules`. 1 in most of
            the paper, 4 on CIFAR-100.
        beta: weight of the rows.
        gamma: weight of the columns.
        task: `"categorical"`, `"binary"` or `"auto"`, see `LogitsDistillation`.
        from_logits, teacher_from_logits: whether outputs are logits or probabilities, see `LogitsDistillation`.

    Raises:
        ValueError: for a temperature that is not positive, negative weights, and outputs whose shapes differ.

    Example:

    >>> import keras
    >>> teacher = keras.ops.log(keras.ops.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]]))
    >>> student = keras.ops.log(keras.ops.array([[0.5, 0.2, 0.3], [0.2, 0.5, 0.3]]))
    >>> # Rows: 11/14 and 1. Columns: 1, 1, and 0, for the student says the same of class 2 in both examples.
    >>> round(float(CorrelationDistillation().compute_loss(teacher, student)), 4)  # 3/28 + 1/3
    0.4405

    Reference: Huang et al., "Knowledge Distillation from A Stronger Teacher", 2022, arXiv 2205.10536.
    """

    compares_examples = True

    def __init__(self, temperature=1.0, beta=1.0, gamma=1.0, **kwargs):
        super().__init__(temperature=temperature, **kwargs)
        self.beta = check_not_negative("beta", beta)
        self.gamma = check_not_negative("gamma", gamma)

    def output_loss(self, teacher, student, sample_weight=None, labels=None, step=None):
        mask = getattr(student, "_keras_mask", None)
        teacher, student, temperature = self.softening(teacher, student, step)
        return correlation_distance(
            teacher, student, temperature, self.beta, self.gamma, self.task, sample_weight=sample_weight, mask=mask
        )

    def get_config(self):
        return {**super().get_config(), "beta": self.beta, "gamma": self.gamma}


def correlation_distance(
    teacher_logits,
    student_logits,
    temperature=1.0,
    beta=1.0,
    gamma=1.0,
    task="auto",
    sample_weight=None,
    mask=None,
):
    """`τ² [beta (1 - mean ρ of rows) + gamma (1 - mean ρ of columns)]` of a batch, see `CorrelationDistillation`.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype. No gradient flows into it.
        student_logits: tensor of the same shape.
        temperature: positive number, scalar tensor, or tensor `[batch, ...]` of one temperature an example, whose
            squares the column term takes the mean of.
        beta, gamma: weights of the terms of rows and columns.
        task: `"auto"` (binary where k is 1, else categorical), `"binary"` or `"categorical"`.
        sample_weight, mask: what each row counts, see `batch_weights`.

    Returns:
        float32 scalar.

    Raises:
        ValueError: where the shapes differ or do not suit the task.

    >>> import keras
    >>> scores = keras.ops.array([[1.0], [2.0], [4.0]])
    >>> round(float(correlation_distance(scores, -scores)), 4)  # one sigmoid: the column alone, and ρ = -1
    2.0
    """
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    activation = ops.sigmoid if resolve_task(task, student) == "binary" else ops.softmax
    weights, factor = batch_weights(student, sample_weight, mask)
    squares = ops.reshape(ops.ones_like(student[..., 0]) * temperature**2, (-1,))
    teacher, student = (_rows(activation(softened(logits, temperature))) for logits in (teacher, student))
    of_columns = 1.0 - ops.mean(pearson_correlation(student, teacher, ops.expand_dims(weights, axis=-1), axis=0))
    total = gamma * of_columns * _mean(squares, weights)
    if student.shape[-1] != 1:
        total += beta * _mean(squares * (1.0 - pearson_correlation(student, teacher)), weights)
    return factor * total


def _rows(values):
    return ops.reshape(values, (-1, ops.shape(values)[-1]))


def _mean(values, weights):
    return ops.divide_no_nan(ops.sum(values * weights), ops.sum(weights))
