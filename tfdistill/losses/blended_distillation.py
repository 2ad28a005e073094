"""A blend of divergence and squared difference."""

import keras
from keras import ops

from tfdistill.losses.probabilities import resolve_task
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.shapes import check_same_shape
from tfdistill.losses.softened import softened_kl_divergence
from tfdistill.schedules.arguments import is_number

L2_ON = ("probabilities", "logits")


@keras.saving.register_keras_serializable(package="tfdistill")
class BlendedDistillation(ResponseLoss):
    """The student matches the teacher's softened distribution and, by squared difference, its prediction.

        alpha T² KL(softmax(z_t/T) || softmax(z_s/T)) + (1 - alpha) ||y_s - y_t||²

    y is the prediction as it is used, at temperature 1: the probabilities, or the logits. On probabilities the second
    term is at most 2 and hardly moves where teacher and student are both sure; on logits it has no bound and asks for
    the same size of logits too, which probabilities do not show, so give it a smaller share.

    Binary outputs are sigmoids. Both terms are then averaged over the labels, the squared difference as well.

    Args:
        alpha: share of the divergence, from 0 to 1.
        temperature: of the divergence: positive number, or a schedule or an adaptive temperature of
            `tfdistill.schedules`.
        l2_on: what y is: `"probabilities"` or `"logits"`. Both are in use; systems that read the teacher's score from a
            column of the data, as EasyRec, take the difference on whichever that column holds.
        task: `"categorical"`, `"binary"` or `"auto"`, see `LogitsDistillation`.
        from_logits, teacher_from_logits: whether outputs are logits or probabilities, see `LogitsDistillation`.

    Raises:
        ValueError: for an alpha that is not from 0 to 1, an unknown `l2_on`, a temperature that is not positive, and
            outputs whose shapes differ.

    Example:

    >>> import keras
    >>> teacher, student = keras.ops.log(keras.ops.array([[[3.0, 1.0]], [[1.0, 1.0]]]))
    >>> # probabilities (3/4, 1/4) and (1/2, 1/2): KL .130812, squared difference 2/16
    >>> round(float(BlendedDistillation(alpha=0.5).compute_loss(teacher, student)), 4)
    0.1279

    Reference: the divergence of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv
    1503.02531, with the squared difference of Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2013, arXiv
    1312.6184.
    """

    def __init__(self, alpha=0.5, temperature=1.0, l2_on="probabilities", **kwargs):
        super().__init__(temperature=temperature, **kwargs)
        if not is_number(alpha) or not 0.0 <= alpha <= 1.0:
            raise ValueError(f"`alpha` must be a number from 0 to 1. Received: alpha={alpha!r}")
        self.alpha = alpha
        self.l2_on = _check_l2_on(l2_on)

    def values(self, teacher, student, labels=None, step=None):
        teacher, student, temperature = self.softening(teacher, student, step)
        return blended_divergence(teacher, student, self.alpha, temperature, self.l2_on, self.task)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "l2_on": self.l2_on}


def blended_divergence(teacher_logits, student_logits, alpha=0.5, temperature=1.0, l2_on="probabilities", task="auto"):
    """`alpha T² KL + (1 - alpha) ||y_s - y_t||²` of each example, see `BlendedDistillation`.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype. No gradient flows into it.
        student_logits: tensor of the same shape.
        alpha: share of the divergence.
        temperature: positive number, scalar tensor, or tensor `[batch, ...]` of one temperature an example.
        l2_on: what y is, `"probabilities"` or `"logits"`.
        task: `"auto"` (binary where k is 1, else categorical), `"binary"` or `"categorical"`.

    Returns:
        float32 `[batch, ...]`, 0 where the student matches.

    Raises:
        ValueError: for an unknown `l2_on`, and where the shapes differ or do not suit the task.

    >>> import keras
    >>> teacher, student = keras.ops.array([[1.0]]), keras.ops.array([[3.0]])
    >>> float(blended_divergence(teacher, student, alpha=0.0, l2_on="logits")[0])
    4.0
    """
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    is_binary = resolve_task(task, student) == "binary"
    divergence = softened_kl_divergence(teacher, student, temperature, task)
    if _check_l2_on(l2_on) == "probabilities":
        teacher, student = map(ops.sigmoid if is_binary else ops.softmax, (teacher, student))
    squares = (ops.mean if is_binary else ops.sum)((student - teacher) ** 2, axis=-1)
    return alpha * divergence + (1.0 - alpha) * squares


def _check_l2_on(l2_on):
    if l2_on not in L2_ON:
        raise ValueError(f"`l2_on` must be one of {', '.join(map(repr, L2_ON))}. Received: l2_on={l2_on!r}")
    return l2_on
