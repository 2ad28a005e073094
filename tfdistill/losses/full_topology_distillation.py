"""Full topology distillation (FTD): how like each other any two of a batch's users and items are."""

import keras
from keras import ops

from tfdistill.losses.ranking_loss import REDUCTIONS, check_choice
from tfdistill.losses.representation_loss import RepresentationLoss, stacked, unit_vectors


@keras.saving.register_keras_serializable(package="tfdistill")
class FullTopologyDistillation(RepresentationLoss):
    """The student's users and items are to be as like each other as the teacher's (FTD).

    `||A_t - A_s||_F²`, summed over all n² pairs, A the cosine similarities of the batch's n different users and items
    taken
    together: users with users, users with items, items with items.

    It costs n d_t (d_t + d_s) and not n² d_t: with rows N of length 1, A = N Nᵀ and the loss is
    `||N_tᵀ N_t||² - 2 ||N_tᵀ N_s||² + ||N_sᵀ N_s||²`.

    Worked by hand, a user and an item: teacher vectors (1, 0) and (0, 1), student vectors (1) and (2). The teacher's
    cosine is 0, the student's 1, on two of four pairs: the loss is 2.

    When to use it: for a student not much narrower than its teacher; below a tenth of the teacher's width
    `HierarchicalTopologyDistillation` is better. Weight 1e-3 with a base loss summed over batches of 1024; it grows
    with the square of the batch.

    Args:
        reduction: `"sum"` over pairs, as in the authors' code, or `"mean"`: divided by n².

    Raises:
        ValueError: for another reduction, and outputs that are not {"user": [b, d], "item": [m, d]}.

    Example:

    >>> import keras
    >>> teacher = {"user": keras.ops.array([[1.0, 0.0]]), "item": keras.ops.array([[0.0, 1.0]])}
    >>> student = {"user": keras.ops.array([[1.0]]), "item": keras.ops.array([[2.0]])}
    >>> float(FullTopologyDistillation().compute_loss(teacher, student))
    2.0

    Reference: Kang et al., "Topology Distillation for Recommender System", KDD 2021, arXiv 2106.08700.
    """

    def __init__(self, reduction="sum", **kwargs):
        super().__init__(**kwargs)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        teacher, student, weights = stacked(self.prepare(teacher_outputs, student_outputs, sample_weight))
        loss = full_topology(teacher, student, weights)
        if self.reduction == "mean":
            loss = ops.divide_no_nan(loss, ops.square(ops.sum(ops.cast(weights > 0, "float32"))))
        return loss

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


def full_topology(teacher_vectors, student_vectors, weights=None):
    """The squared difference of cosine similarities, summed over all pairs of rows.

    Args:
        teacher_vectors: [n, d_t] of any float dtype. No gradient flows into them.
        student_vectors: [n, d_s].
        weights: [n]; rows of weight 0 are left out. `None` for all.

    Returns:
        float32 scalar.

    >>> import keras
    >>> float(full_topology(keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), keras.ops.array([[1.0], [-2.0]])))
    2.0
    """
    teacher = unit_vectors(ops.stop_gradient(ops.cast(teacher_vectors, "float32")), weights)
    student = unit_vectors(ops.cast(student_vectors, "float32"), weights)
    of_teacher = ops.sum(ops.square(ops.matmul(ops.transpose(teacher), teacher)))
    between = ops.sum(ops.square(ops.matmul(ops.transpose(teacher), student)))
    of_student = ops.sum(ops.square(ops.matmul(ops.transpose(student), student)))
    loss = of_teacher - 2.0 * between + of_student
    # Near a perfect student the three cancel. What is left of rounding must not show a squared difference below 0, nor
    # may cutting it off stop the gradient, which does not cancel.
    return loss + ops.stop_gradient(ops.maximum(loss, 0.0) - loss)
