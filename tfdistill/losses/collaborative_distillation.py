"""Collaborative distillation (CD): the teacher's scores as soft labels of items that the user has not chosen."""

import keras
import numpy as np
from keras import ops

from tfdistill.losses.candidates import best_of, by_rank, draw_places
from tfdistill.losses.ranking_loss import RankingLoss, check_choice, check_count, check_number

RANKED_BY = ("teacher", "student")


@keras.saving.register_keras_serializable(package="tfdistill")
class CollaborativeDistillation(RankingLoss):
    """The student gives items that the user has not chosen the probabilities that the teacher gives them (CD).

    Binary cross-entropy between `σ(s)` and `σ((t + shift) / temperature)`, averaged over the candidates and summed over
    the batch's different users. Candidates are drawn every epoch from the teacher's stored items with p ∝ exp(-rank /
    scale), without repetition, ranked by the teacher, or among themselves by the student as it stands.

    Worked by hand, t = 0 and s = 0: log 2 = .6931.

    When to use it: for a teacher whose scores mean something beyond their order, such as one trained with binary
    cross-entropy. Weight 1 beside a base loss of the same reduction.

    Args:
        candidates: how many a user.
        temperature, shift: t1 and t2: what the teacher's scores are divided by, and what is added to them before.
        rank_scale: of the exponential in ranks.
        ranked_by: `"teacher"` or `"student"`. The paper's second way ranks all items by the student; here those that
            the teacher's rankings hold, for which alone its scores are known.
        pool: how many of the teacher's best are drawn from.
        side, rows, reduction: see `RankingLoss`.

    Raises:
        ValueError: for an argument out of range; in `draw` for rankings with fewer places than candidates.

    Example:

    >>> import keras
    >>> loss = CollaborativeDistillation(candidates=1)
    >>> round(float(loss.compute_loss({"teacher_score": keras.ops.zeros((1, 1))}, keras.ops.zeros((1, 1)))), 4)
    0.6931

    Reference: Lee et al., "Collaborative Distillation for Top-N Recommendation", ICDM 2019, arXiv 1911.05276.
    """

    def __init__(
        self,
        candidates=50,
        temperature=2.0,
        shift=0.0,
        rank_scale=100.0,
        ranked_by="teacher",
        pool=500,
        side="user",
        rows="batch",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(side, rows, reduction, **kwargs)
        self.candidates = check_count("candidates", candidates)
        self.temperature = check_number("temperature", temperature, above=0)
        self.shift = check_number("shift", shift)
        self.rank_scale = check_number("rank_scale", rank_scale, above=0)
        self.ranked_by = check_choice("ranked_by", ranked_by, RANKED_BY)
        self.pool = check_count("pool", pool, at_least=candidates)

    def draw(self, context, random):
        """Draws {"item": int32 [rows, n], "teacher_score": float32 [rows, n]}; see `RankingLoss.draw`."""
        items, scores = best_of(context.ranking(self.side, self), self.pool, self.candidates, self)
        places = draw_places(by_rank(items.shape[1], self.rank_scale), self.candidates, random, len(items))
        if self.ranked_by == "student":
            places = np.take_along_axis(self._order_of_student(context, items), places, axis=1)
        return {
            "item": np.take_along_axis(items, places, axis=1),
            "teacher_score": np.take_along_axis(scores, places, axis=1),
        }

    def _order_of_student(self, context, items, batch=512):
        scores = context.scores(self.side, self)
        orders = []
        for start in range(0, len(items), batch):
            some = items[start : start + batch]
            of_student = np.take_along_axis(np.asarray(scores(np.arange(start, start + len(some)))), some, axis=1)
            orders.append(np.argsort(-of_student, axis=1, kind="stable"))
        return np.concatenate(orders)

    def row_losses(self, drawn, scores):
        targets = ops.sigmoid((drawn["teacher_score"] + self.shift) / self.temperature)
        return ops.mean(targets * ops.softplus(-scores) + (1.0 - targets) * ops.softplus(scores), axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "candidates": self.candidates,
            "temperature": self.temperature,
            "shift": self.shift,
            "rank_scale": self.rank_scale,
            "ranked_by": self.ranked_by,
            "pool": self.pool,
        }
