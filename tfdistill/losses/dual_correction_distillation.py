"""Dual correction distillation (DCD): what the student ranks too low above what it ranks too high."""

import keras
import numpy as np

from tfdistill.losses.candidates import best_of, draw_places, student_places
from tfdistill.losses.ranking_loss import RankingLoss, check_count, check_number
from tfdistill.losses.relaxed_ranking_distillation import relaxed_ranking


@keras.saving.register_keras_serializable(package="tfdistill")
class DualCorrectionDistillation(RankingLoss):
    """The student corrects its own errors: items ranked too low, in the teacher's order, above items ranked too high (DCD).

    The loss of `RelaxedRankingDistillation`, `-Σ_k [s_πk - log(Σ_{j>=k} exp(s_πj) + Σ_l exp(s_l))]`, with candidates
    drawn every epoch by how far the student's rank r_s is from the teacher's r_t: the K items π from the teacher's best
    with p ∝ tanh(max(0, r_s - r_t) / T), and the L items l from the student's best with p ∝ tanh(max(0, r_t - r_s) /
    T). What is beyond a list counts as standing at its end. Where too few are wrong, right ones fill up.

    With side="item" rows are items and candidates users; the paper adds both sides.

    When to use it: beside RRD as in the paper, or late in training in its place, when most of what RRD draws is right
    already. It ranks all items by the student before every epoch. Weight 1e-3 with a base loss summed over batches of
    1024.

    No code of the authors' is known to us; this is our reading of the paper.

    Args:
        underestimated: K.
        overestimated: L.
        discrepancy_scale: T, in ranks.
        pool: how many of the teacher's best, and of the student's, are drawn from.
        side, rows, reduction: see `RankingLoss`.

    Raises:
        ValueError: for an argument out of range; in `draw` for rankings with fewer places than K.

    Example:

    >>> import keras
    >>> loss = DualCorrectionDistillation(underestimated=2, overestimated=1)
    >>> round(float(loss.compute_loss({}, keras.ops.zeros((1, 3)))), 4)
    1.7918

    Reference: Lee and Kim, "Dual Correction Strategy for Ranking Distillation in Top-N Recommender System", CIKM 2021,
    arXiv 2109.03459.
    """

    def __init__(
        self,
        underestimated=40,
        overestimated=40,
        discrepancy_scale=10.0,
        pool=500,
        side="user",
        rows="batch",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(side, rows, reduction, **kwargs)
        self.underestimated = check_count("underestimated", underestimated)
        self.overestimated = check_count("overestimated", overestimated)
        self.discrepancy_scale = check_number("discrepancy_scale", discrepancy_scale, above=0)
        self.pool = check_count("pool", pool, at_least=max(underestimated, overestimated))

    def draw(self, context, random):
        """Draws {"item": int32 [rows, K + L]}, the K in the teacher's order; see `RankingLoss.draw`."""
        best, _ = best_of(context.ranking(self.side, self), self.pool, self.underestimated, self)
        teacher_places = np.arange(best.shape[1])
        pieces = []
        for rows, of_student, places in student_places(context, self.side, self.pool, self):
            of_teacher = best[rows]
            too_low = np.take_along_axis(places, of_teacher, axis=1) - teacher_places
            interesting = self._drawn(of_teacher, too_low, self.underestimated, random)
            where = np.full(places.shape, best.shape[1])
            np.put_along_axis(where, of_teacher, teacher_places[None], axis=1)
            too_high = np.take_along_axis(where, of_student, axis=1) - np.arange(of_student.shape[1])
            # No item is on both sides of the comparison.
            np.put_along_axis(where, interesting, -1, axis=1)
            is_interesting = np.take_along_axis(where, of_student, axis=1) < 0
            uninteresting = self._drawn(of_student, too_high, self.overestimated, random, is_interesting)
            pieces.append(np.concatenate([interesting, uninteresting], axis=1))
        return {"item": np.concatenate(pieces).astype(np.int32)}

    def _drawn(self, items, discrepancy, count, random, barred=None):
        weights = np.tanh(np.maximum(discrepancy, 0) / self.discrepancy_scale)
        # Right ones are drawn only when no wrong one is left, barred ones only after them.
        log_weights = np.log(np.maximum(weights, 1e-30))
        if barred is not None:
            log_weights = np.where(barred, -1e3, log_weights)
        return np.take_along_axis(items, draw_places(log_weights, count, random), axis=1)

    def row_losses(self, drawn, scores):
        return relaxed_ranking(scores[:, : self.underestimated], scores[:, self.underestimated :])

    def get_config(self):
        return {
            **super().get_config(),
            "underestimated": self.underestimated,
            "overestimated": self.overestimated,
            "discrepancy_scale": self.discrepancy_scale,
            "pool": self.pool,
        }
