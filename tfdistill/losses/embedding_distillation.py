"""Embedding distillation for two-tower models: each tower's vector to that of the teacher's tower."""

import keras
from keras import ops

from tfdistill.losses.projectors import check_kind, make_projector
from tfdistill.losses.ranking_loss import REDUCTIONS, check_choice, check_number
from tfdistill.losses.representation_loss import ENTITIES, RepresentationLoss, unit_vectors

COMPARISONS = ("squared_error", "cosine")


@keras.saving.register_keras_serializable(package="tfdistill")
class EmbeddingDistillation(RepresentationLoss):
    """The student's user and item vectors, through a learned linear map, are to be the teacher's.

    `Σ_users ℓ(t, W s) + item_weight Σ_items ℓ(t, W s)` over the batch's different users and items, with
    ℓ(t, v) = ||t - v||² or 1 - cos(t, v). One map W serves both towers, as inner products of users with items then keep
    their meaning, or one each.

    Worked by hand, equal widths and so no map: a user with t = (1, 2) and s = (0, 4) adds 1 + 4 = 5, an item with t = s
    nothing.

    When to use it: for two-tower students of a two-tower teacher, features and all, as a first thing to try; with
    "cosine" where vectors are compared by direction. Under a narrow student the map can only rebuild a part: see
    `DistillationExperts`.

    Args:
        comparison: `"squared_error"` or `"cosine"`.
        projector: `"auto"`, a linear map where the widths differ; `"dense"`, always; `None` for equal widths.
        shared: whether users and items have one projector.
        item_weight: what the items' part counts.
        reduction: `"sum"` over users and items, or `"mean"`.

    Raises:
        ValueError: for an argument of the wrong kind, and widths that differ without a projector.

    Example:

    >>> import keras
    >>> teacher = {"user": keras.ops.array([[1.0, 2.0]]), "item": keras.ops.array([[1.0, 1.0]])}
    >>> student = {"user": keras.ops.array([[0.0, 4.0]]), "item": keras.ops.array([[1.0, 1.0]])}
    >>> float(EmbeddingDistillation().compute_loss(teacher, student))
    5.0

    Reference: Kim et al., "EmbedDistill: A Geometric Knowledge Distillation for Information Retrieval", 2023, arXiv
    2301.12005.
    """

    needs_build = True

    def __init__(
        self, comparison="squared_error", projector="auto", shared=True, item_weight=1.0, reduction="sum", **kwargs
    ):
        super().__init__(**kwargs)
        self.comparison = check_choice("comparison", comparison, COMPARISONS)
        self.projector = check_choice("projector", check_kind(projector), ("auto", "dense", None))
        self.shared = bool(shared)
        self.item_weight = check_number("item_weight", item_weight, at_least=0)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.projectors = {}

    def build(self, teacher_shape, student_shape):
        """Makes the projectors; shapes {"user": (b, d), "item": (m, d)}."""
        made = [
            make_projector(self.projector, (None, teacher_shape[one][-1]), (None, student_shape[one][-1]))
            for one in ENTITIES
        ]
        self.projectors = dict(zip(ENTITIES, [made[0], made[0] if self.shared else made[1]], strict=True))
        self.built = True

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        loss = 0.0
        for entity, (teacher, student, weights) in self.prepare(
            teacher_outputs, student_outputs, sample_weight
        ).items():
            projector = self.projectors[entity]
            student = student if projector is None else projector(student)
            if self.comparison == "cosine":
                errors = 1.0 - ops.sum(unit_vectors(teacher) * unit_vectors(student), axis=1)
            else:
                errors = ops.sum(ops.square(teacher - student), axis=1)
            part = ops.sum(ops.where(weights > 0, errors, 0.0) * weights)
            if self.reduction == "mean":
                part = ops.divide_no_nan(part, ops.sum(weights))
            loss += part if entity == "user" else self.item_weight * part
        return loss

    def get_config(self):
        return {
            **super().get_config(),
            "comparison": self.comparison,
            "projector": self.projector,
            "shared": self.shared,
            "item_weight": self.item_weight,
            "reduction": self.reduction,
        }
