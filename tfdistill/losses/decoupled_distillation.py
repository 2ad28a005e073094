"""Decoupled knowledge distillation (DKD)."""

import keras
from keras import ops

from tfdistill.losses.probabilities import check_categorical
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.shapes import check_same_shape
from tfdistill.losses.softened import kl_divergence, softened
from tfdistill.losses.targets import target_classes
from tfdistill.schedules.arguments import check_not_negative


@keras.saving.register_keras_serializable(package="tfdistill")
class DecoupledDistillation(ResponseLoss):
    """The student learns how sure the teacher is of the target class, and apart from that its view of the other classes.

        T² [alpha KL(b_t || b_s) + beta KL(q_t || q_s)]

    with p = softmax(z/T), b = [p_y, 1 - p_y] for the target class y, and q the softmax over the other classes alone. In
    plain distillation the second term counts 1 - p_y times, so the surer the teacher, the less of it is left; here it
    counts beta times. Everything is computed in log space.

    The target y comes from the hard labels that `tfdistill.Distiller` passes: class numbers, or one-hot rows. Where an
    example has no usable label (see `target_classes`), as under `keras.distillation.Distiller`, which passes none, the
    class that the teacher finds most probable stands in.

    The authors let the weight of the loss grow over the first 20 epochs:
    `distillation_loss_weights=[tfdistill.schedules.WarmUp(1.0, steps=20 * steps_per_epoch)]`.

    Args:
        temperature: positive number, or a schedule or an adaptive temperature of `tfdistill.schedules`.
        alpha: weight of the term of the target class.
        beta: weight of the term of the other classes; 2 to 8 in the paper, the larger for the surer teacher.
        task: `"auto"` or `"categorical"`; binary outputs are refused. With two classes the second term is 0.
        from_logits, teacher_from_logits: whether outputs are logits or probabilities, see `LogitsDistillation`.

    Raises:
        ValueError: for a temperature that is not positive, negative weights, binary outputs, outputs whose shapes
            differ, and labels that do not fit the outputs.

    Example:

    >>> import keras
    >>> loss = DecoupledDistillation(temperature=1.0, alpha=1.0, beta=8.0)
    >>> teacher, student = keras.ops.log(keras.ops.array([[[2.0, 1.0, 1.0]], [[2.0, 3.0, 1.0]]]))
    >>> # Of class 0: b_t = (1/2, 1/2), b_s = (1/3, 2/3): KL = log(9/8) / 2. q_t = (1/2, 1/2), q_s = (3/4, 1/4).
    >>> round(float(loss.compute_loss(teacher, student, labels=keras.ops.array([0]))), 4)  # 0.058892 + 8 * 0.143841
    1.2096

    Reference: Zhao et al., "Decoupled Knowledge Distillation", 2022, arXiv 2203.08679.
    """

    reads_labels = True

    def __init__(self, temperature=4.0, alpha=1.0, beta=8.0, **kwargs):
        super().__init__(temperature=temperature, **kwargs)
        self.alpha = check_not_negative("alpha", alpha)
        self.beta = check_not_negative("beta", beta)

    def validate_shapes(self, teacher, student):
        super().validate_shapes(teacher, student)
        for output in keras.tree.flatten(student):
            check_categorical(self.task, output, type(self).__name__)

    def values(self, teacher, student, labels=None, step=None):
        check_categorical(self.task, student, type(self).__name__)
        teacher, student, temperature = self.softening(teacher, student, step)
        return decoupled_kl_divergence(teacher, student, labels, temperature, self.alpha, self.beta)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


def decoupled_kl_divergence(teacher_logits, student_logits, labels=None, temperature=4.0, alpha=1.0, beta=8.0):
    """`T² [alpha KL(b_t || b_s) + beta KL(q_t || q_s)]` of each example, see `DecoupledDistillation`.

    Args:
        teacher_logits: tensor `[batch, ..., k]` of any float dtype, k of 2 or more. No gradient flows into it.
        student_logits: tensor of the same shape. Classes at -inf for teacher and student alike drop out.
        labels: class numbers, one-hot rows or `None`, see `target_classes`.
        temperature: positive number, scalar tensor, or tensor `[batch, ...]` of one temperature an example.
        alpha, beta: weights of the two terms.

    Returns:
        float32 `[batch, ...]`, never negative but for rounding. With alpha=1 and beta=1 - p_y of the teacher it is the
        softened KL divergence.

    Raises:
        ValueError: where the shapes differ, or there is one class only.

    >>> import keras
    >>> teacher, student = keras.ops.log(keras.ops.array([[[2.0, 1.0, 1.0]], [[2.0, 3.0, 1.0]]]))
    >>> round(float(decoupled_kl_divergence(teacher, student, temperature=1.0, alpha=0.0, beta=1.0)[0]), 4)
    0.1438
    """
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32"))
    student = ops.cast(student_logits, "float32")
    check_same_shape(teacher, student, "logits")
    check_categorical("categorical", student, "Decoupled distillation")
    targets = ops.expand_dims(target_classes(labels, teacher), axis=-1)
    is_target = ops.equal(ops.arange(ops.shape(student)[-1], dtype="int32"), targets)
    teacher, student = softened(teacher, temperature), softened(student, temperature)
    of_target = kl_divergence(_target_and_rest(teacher, is_target), _target_and_rest(student, is_target))
    others = _without(teacher, is_target)
    # A teacher that rules out every other class says nothing about them.
    speaks = ops.any(ops.isfinite(others), axis=-1, keepdims=True)
    of_others = kl_divergence(ops.where(speaks, others, 0.0), ops.where(speaks, _without(student, is_target), 0.0))
    return (alpha * of_target + beta * of_others) * temperature**2


def _target_and_rest(logits, is_target):
    """Logits [log p_y, log(1 - p_y)] of the target against all other classes together."""
    log_probabilities = ops.log_softmax(logits)
    of_target = ops.sum(ops.where(is_target, log_probabilities, 0.0), axis=-1)
    return ops.stack([of_target, ops.logsumexp(_without(log_probabilities, is_target), axis=-1)], axis=-1)


def _without(logits, is_target):
    return ops.where(is_target, -float("inf"), logits)
