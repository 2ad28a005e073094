"""Relaxed ranking distillation (RRD, and IR-RRD from items to users): the order of what the teacher likes, above the rest."""

import keras
import numpy as np
from keras import ops

from tfdistill.losses.candidates import OthersOfLast, best_of, by_rank, draw_places
from tfdistill.losses.ranking_loss import RankingLoss, check_count, check_number


@keras.saving.register_keras_serializable(package="tfdistill")
class RelaxedRankingDistillation(RankingLoss):
    """The student ranks some of the teacher's best items in the teacher's order, and any other items below them (RRD).

    `-Σ_k [s_πk - log(Σ_{j>=k} exp(s_πj) + Σ_l exp(s_l))]`, summed over the batch's different users, s the student's
    scores: the likelihood of the order π_1, π_2, ... among themselves and before the items l, whose order does not
        matter. Every epoch the K
    items π are drawn from the teacher's top 500 with p ∝ exp(-rank / T), without repetition, and the L items l
    uniformly from all that are neither there nor training pairs.

    With side="item" (IR-RRD) rows are items and candidates users: who would like this item best.

    Worked by hand, K = 2 and L = 1 with all scores 0: log 3 + log 2 = 1.7918.

    When to use it: to hand a ranking over, where the vectors of a teacher are out of reach or its student too narrow
    for them. Weight 1e-3 with a base loss summed over batches of 1024. For IR-RRD beside it, as the authors have it:
    side="item", interesting=20, uninteresting=20, rows="all" and weight 5e-4. Their rows are all items that are
    candidates of the batch's users, four of five of all items; with rows="all" a sample stands for all of them, at a
    twentieth of the cost.

    Args:
        interesting: K.
        uninteresting: L.
        rank_temperature: T; `None` takes the teacher's top K as they are, which later work reports to be better.
        pool: from how many of the teacher's best the K are drawn, and that are never l.
        side: `"user"` or `"item"`, see above. The latter needs the teacher's `item_rankings`.
        rows: `"batch"`, the users of the batch (the items of its positive pairs), or `"all"`, as many drawn from all
            users (items), with a sum scaled up to that over all.
        reduction: `"sum"` over rows, or `"mean"`.

    Raises:
        ValueError: for an argument out of range; in `draw` for rankings with fewer places than K.

    Example:

    >>> import keras
    >>> loss = RelaxedRankingDistillation(interesting=2, uninteresting=1)
    >>> round(float(loss.compute_loss({}, keras.ops.zeros((1, 3)))), 4)
    1.7918

    Reference: Kang et al., "DE-RRD: A Knowledge Distillation Framework for Recommender System", CIKM 2020, arXiv
    2012.04357; Kang et al., "Item-side Ranking Regularized Distillation for Recommender System", Information Sciences
    580, 2021.
    """

    def __init__(
        self,
        interesting=40,
        uninteresting=40,
        rank_temperature=10.0,
        pool=500,
        side="user",
        rows="batch",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(side, rows, reduction, **kwargs)
        self.interesting = check_count("interesting", interesting)
        self.uninteresting = check_count("uninteresting", uninteresting, at_least=0)
        self.rank_temperature = (
            None if rank_temperature is None else check_number("rank_temperature", rank_temperature, above=0)
        )
        self.pool = check_count("pool", pool, at_least=interesting)
        self._others = OthersOfLast()

    def draw(self, context, random):
        """Draws {"item": int32 [rows, K + L]}: the K in the teacher's order, then the L; see `RankingLoss.draw`."""
        ranking = context.ranking(self.side, self)
        best, _ = best_of(ranking, self.pool, self.interesting, self)
        if self.rank_temperature is None:
            chosen = best[:, : self.interesting]
        else:
            places = draw_places(by_rank(best.shape[1], self.rank_temperature), self.interesting, random, len(best))
            chosen = np.take_along_axis(best, places, axis=1)
        if not self.uninteresting:
            return {"item": chosen}
        others = self._others(context, self.side, ranking, self.pool).draw(self.uninteresting, random)
        return {"item": np.concatenate([chosen, others], axis=1)}

    def row_losses(self, drawn, scores):
        return relaxed_ranking(scores[:, : self.interesting], scores[:, self.interesting :])

    def get_config(self):
        return {
            **super().get_config(),
            "interesting": self.interesting,
            "uninteresting": self.uninteresting,
            "rank_temperature": self.rank_temperature,
            "pool": self.pool,
        }


def relaxed_ranking(ordered, others):
    """`-Σ_k [s_k - log(Σ_{j>=k} exp(s_j) + Σ_l exp(s_l))]` of every row, in log space.

    Args:
        ordered: scores [batch, K], those that should be highest first.
        others: scores [batch, L] that should be below; L may be 0.

    Returns:
        float32 [batch].

    >>> import keras
    >>> round(float(relaxed_ranking(keras.ops.zeros((1, 2)), keras.ops.zeros((1, 1)))[0]), 4)
    1.7918
    """
    ordered, others = ops.cast(ordered, "float32"), ops.cast(others, "float32")
    below = _log_sums_from_here(ordered)
    if others.shape[1]:
        below = _log_add(below, ops.logsumexp(others, axis=1, keepdims=True))
    return ops.sum(below - ordered, axis=1)


def _log_sums_from_here(scores):
    """log Σ_{j>=k} exp(s_j) at every place k of scores [batch, K].

    Every round adds to each place what the place twice as far ahead holds, so that sums of all lengths are there after
    log2 K rounds. Shapes follow from K alone: unlike ops.associative_scan, XLA takes it for batches of any size.
    """
    places, ahead = scores.shape[1], 1
    while ahead < places:
        further = ops.pad(scores[:, ahead:], [[0, 0], [0, ahead]], constant_values=-np.inf)
        scores = _log_add(scores, further)
        ahead *= 2
    return scores


def _log_add(one, other):
    """log(exp(one) + exp(other)), with half the gradient each where they are equal, which ops.logaddexp has not."""
    highest = ops.stop_gradient(ops.maximum(one, other))
    return highest + ops.log(ops.exp(one - highest) + ops.exp(other - highest))
