"""Next-item distillation: the teacher's distribution over the next item, and whose history this is."""

import keras
from keras import ops

from tfdistill.losses.projectors import make_projector
from tfdistill.losses.ranking_loss import REDUCTIONS, check_choice, check_number, reduce_rows
from tfdistill.losses.representation_loss import ENTITIES, RepresentationLoss, unit_vectors

MASKED = -1e9
ITEMS = ("all", "batch")


@keras.saving.register_keras_serializable(package="tfdistill")
class NextItemDistillation(RepresentationLoss):
    """The student predicts the next item as the teacher does, and tells its users' histories apart as the teacher does.

    `kl_weight · T² KL(p_t || p_s) + contrastive_weight · InfoNCE`, summed over the batch's users: p the softmax of the
    scores u · v / T over all items, or those of the batch; InfoNCE the cross-entropy of picking, for a student's user
    vector through a learned linear map, the teacher's vector of the same user among those of the batch, by cosine / τ.

    Worked by hand with two items, T = 1 and no contrast: teacher scores (log 3, 0), student scores (0, 0):
    .75 log(.75 / .5) + .25 log(.25 / .5) = .1308.

    When to use it: for sequence models (SASRec and the like) with a live teacher, which sees the same history. With
    base_loss="full_softmax" and base_loss_weight=0.2 it is the recipe of the paper, but for its fourth term of weight
    .001.

    Args:
        temperature: T.
        kl_weight, contrastive_weight: what the two parts count; 0 leaves one out.
        contrastive_temperature: τ.
        items: `"all"`, every item of the catalogue, or `"batch"`, the positives and negatives of the batch.
        reduction: `"sum"` over users, or `"mean"`.

    Raises:
        ValueError: for an argument out of range.

    Example:

    >>> import keras
    >>> teacher = {"user": keras.ops.array([[1.0]]), "item": keras.ops.array([[1.0986], [0.0]])}
    >>> student = {"user": keras.ops.array([[1.0]]), "item": keras.ops.array([[0.0], [0.0]])}
    >>> loss = NextItemDistillation(kl_weight=1.0, contrastive_weight=0.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.1308

    Reference: Xia et al., "On-Device Next-Item Recommendation with Self-Supervised Knowledge Distillation", SIGIR 2022,
    arXiv 2204.11091.
    """

    needs_build = True

    def __init__(
        self,
        temperature=1.0,
        kl_weight=0.8,
        contrastive_weight=0.2,
        contrastive_temperature=0.2,
        items="all",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.temperature = check_number("temperature", temperature, above=0)
        self.kl_weight = check_number("kl_weight", kl_weight, at_least=0)
        self.contrastive_weight = check_number("contrastive_weight", contrastive_weight, at_least=0)
        self.contrastive_temperature = check_number("contrastive_temperature", contrastive_temperature, above=0)
        self.items = check_choice("items", items, ITEMS)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.projector = None

    def build(self, teacher_shape, student_shape):
        """Makes the projector of user vectors; shapes {"user": (b, d), "item": (m, d)}."""
        if self.contrastive_weight > 0:
            widths = (None, teacher_shape["user"][-1]), (None, student_shape["user"][-1])
            self.projector = make_projector("auto", *widths)
        self.built = True

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        prepared = self.prepare(teacher_outputs, student_outputs, sample_weight)
        (teacher, student, weights), (teacher_items, student_items, item_weights) = (prepared[one] for one in ENTITIES)
        losses = 0.0
        if self.kl_weight > 0:
            masked = ops.where(item_weights > 0, 0.0, MASKED)
            log_teacher, log_student = (
                ops.log_softmax(ops.matmul(users, ops.transpose(items)) / self.temperature + masked, axis=1)
                for users, items in ((teacher, teacher_items), (student, student_items))
            )
            divergence = ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=1)
            losses += self.kl_weight * self.temperature**2 * divergence
        if self.contrastive_weight > 0:
            projected = student if self.projector is None else self.projector(student)
            logits = (
                ops.matmul(unit_vectors(projected), ops.transpose(unit_vectors(teacher))) / self.contrastive_temperature
            )
            logits += ops.where(weights > 0, 0.0, MASKED)
            losses += self.contrastive_weight * (ops.logsumexp(logits, axis=1) - ops.diagonal(logits))
        return reduce_rows(losses, weights, self.reduction)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "kl_weight": self.kl_weight,
            "contrastive_weight": self.contrastive_weight,
            "contrastive_temperature": self.contrastive_temperature,
            "items": self.items,
            "reduction": self.reduction,
        }
