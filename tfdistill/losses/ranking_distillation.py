"""Ranking distillation (RD): the teacher's top items as further positives."""

import keras
import numpy as np
from keras import ops

from tfdistill.losses.candidates import OthersOfLast, best_of
from tfdistill.losses.ranking_loss import RankingLoss, check_count, check_number


@keras.saving.register_keras_serializable(package="tfdistill")
class RankingDistillation(RankingLoss):
    """The teacher's top K items count as liked, the more the higher they stand and the worse the student ranks them (RD).

    `-Σ_r w_r log σ(s_πr)` over the teacher's top K, summed over the batch's different users. At first `w_r ∝ exp(-r /
    λ)`, with Σ w = 1; after `static_epochs` that is multiplied by `max(0, tanh(μ (r̂ - r)))`, r from 0 and r̂ the
    student's rank of the item, estimated as `floor(items · share of sampled items that score higher)`. No gradient
    flows through the weights.

    Worked by hand, K = 1 in a first epoch with score 0: log 2 = .6931.

    When to use it: as the simplest ranking loss, where nothing but a short list of the teacher's is known. Weight 1
    beside a base loss of the same reduction.

    Args:
        best: K.
        position_scale: λ.
        discrepancy_scale: μ.
        static_epochs: for how many epochs the position alone counts.
        samples: how many items, drawn anew every epoch from what the user has not chosen, the student's rank is
            estimated from.
        side, rows, reduction: see `RankingLoss`.

    Raises:
        ValueError: for an argument out of range; in `draw` for rankings with fewer places than K.

    Example:

    >>> import keras
    >>> loss = RankingDistillation(best=1, samples=1)
    >>> round(float(loss.compute_loss({"catalogue": keras.ops.zeros((1, 1))}, keras.ops.zeros((1, 2)))), 4)
    0.6931

    Reference: Tang and Wang, "Ranking Distillation: Learning Compact Ranking Models With High Performance for
    Recommender System", KDD 2018, arXiv 1809.07428.
    """

    def __init__(
        self,
        best=10,
        position_scale=1.0,
        discrepancy_scale=0.1,
        static_epochs=10,
        samples=100,
        side="user",
        rows="batch",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(side, rows, reduction, **kwargs)
        self.best = check_count("best", best)
        self.position_scale = check_number("position_scale", position_scale, above=0)
        self.discrepancy_scale = check_number("discrepancy_scale", discrepancy_scale, above=0)
        self.static_epochs = check_count("static_epochs", static_epochs, at_least=0)
        self.samples = check_count("samples", samples)
        self._others = OthersOfLast()

    def draw(self, context, random):
        """Draws {"item": int32 [rows, K + samples], "catalogue": [rows, 1], the number of items or, in a first epoch, 0}."""
        best, _ = best_of(context.ranking(self.side, self), self.best, self.best, self)
        samples = self._others(context, self.side).draw(self.samples, random, different=False)
        catalogue = 0 if context.epoch < self.static_epochs else context.choices(self.side)
        return {
            "item": np.concatenate([best, samples], axis=1),
            "catalogue": np.full((len(best), 1), catalogue, np.float32),
        }

    def row_losses(self, drawn, scores):
        best, samples = scores[:, : self.best], ops.stop_gradient(scores[:, self.best :])
        positions = np.exp(-np.arange(1, self.best + 1) / self.position_scale)
        weights = ops.convert_to_tensor(positions / positions.sum(), "float32")
        higher = ops.mean(
            ops.cast(ops.expand_dims(ops.stop_gradient(best), 2) < ops.expand_dims(samples, 1), "float32"), axis=2
        )
        ranks = ops.floor(drawn["catalogue"] * higher)
        discrepancy = ops.relu(ops.tanh(self.discrepancy_scale * (ranks - np.arange(self.best, dtype="float32"))))
        weights *= ops.where(drawn["catalogue"] > 0, discrepancy, 1.0)
        return ops.sum(weights * ops.softplus(-best), axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "best": self.best,
            "position_scale": self.position_scale,
            "discrepancy_scale": self.discrepancy_scale,
            "static_epochs": self.static_epochs,
            "samples": self.samples,
        }
