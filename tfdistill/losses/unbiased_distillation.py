"""Unbiased knowledge distillation (UnKD): the teacher's order among items of like popularity."""

import keras
import numpy as np
from keras import ops

from tfdistill.losses.ranking_loss import RankingLoss, check_count, check_number

SMALLEST_SHARE = 0.1


@keras.saving.register_keras_serializable(package="tfdistill")
class UnbiasedDistillation(RankingLoss):
    """The student orders pairs of items as the teacher does, of two that are about as popular (UnKD).

    `-log σ(s_i - s_j)` of pairs that the teacher ranks i before j, averaged over the pairs and summed over the batch's
    different users. Items are parted by their training pairs into groups of equal mass, and i and j are of one group,
    so that a teacher's liking for what is popular is not handed on. Every epoch pairs are drawn for every user, each
    item with p ∝ exp(-rank / scale) of its rank within the group. Groups of less popular items get more pairs: a share
    ∝ (max + min - p_g)^exponent, with p_g the mean number of training pairs of the group's items, at least a tenth.

    Worked by hand, one pair of equal scores: log 2 = .6931.

    When to use it: where the long tail matters, or a popularity breakdown shows that the student has narrowed. Weight 1
    beside a base loss of the same reduction.

    Args:
        pairs: how many a user.
        groups: how many groups.
        rank_scale: of the exponential in ranks within a group.
        exponent: of the shares; 0 gives all groups alike.
        pool: how many of the teacher's best of a group are drawn from. The authors' 1000 are those of each group; here
            those of the group that the teacher's rankings hold, so let these hold some thousands. A user with fewer
            than two stored items of a group has no pairs of it.
        rows, reduction: see `RankingLoss`.

    Raises:
        ValueError: for an argument out of range.

    Example:

    >>> import keras
    >>> loss = UnbiasedDistillation(pairs=1)
    >>> round(float(loss.compute_loss({"weight": keras.ops.ones((1, 2))}, keras.ops.zeros((1, 2)))), 4)
    0.6931

    Reference: Chen et al., "Unbiased Knowledge Distillation for Recommendation", WSDM 2023, arXiv 2211.14729.
    """

    def __init__(
        self, pairs=30, groups=4, rank_scale=20.0, exponent=1.0, pool=1000, rows="batch", reduction="sum", **kwargs
    ):
        super().__init__("user", rows, reduction, **kwargs)
        self.pairs = check_count("pairs", pairs)
        self.groups = check_count("groups", groups)
        self.rank_scale = check_number("rank_scale", rank_scale, above=0)
        self.exponent = check_number("exponent", exponent, at_least=0)
        self.pool = check_count("pool", pool, at_least=2)

    def draw(self, context, random):
        """Draws {"item": int32 [users, 2 n], first all i and then all j, "weight": 1 for pairs and 0 where there is none}."""
        ranking = context.ranking(self.side, self)
        counts = context.dataset.item_counts("train")
        group_of = popularity_groups(counts, self.groups)
        users = len(ranking.items)
        pieces = [(np.zeros((users, 0), np.int32), np.zeros((users, 0), np.int32), np.zeros((users, 0), np.float32))]
        for group, count in enumerate(group_sizes(counts, group_of, self.groups, self.pairs, self.exponent)):
            if count:
                pieces.append(self._pairs_of(ranking.items, group_of[ranking.items] == group, count, random))
        better, worse, weights = (np.concatenate(pieces_of, axis=1) for pieces_of in zip(*pieces, strict=True))
        return {"item": np.concatenate([better, worse], axis=1), "weight": np.concatenate([weights, weights], axis=1)}

    def _pairs_of(self, items, belongs, count, random):
        """(i, j, weight), each [users, count], from those of ranked items [users, k] that belong to a group."""
        members = np.minimum(belongs.sum(axis=1), self.pool)
        # A member's place among all ranked items, by its rank within the group: those that belong come first.
        place_of = np.argsort(~belongs, axis=1, kind="stable")
        # p ∝ exp(-rank / scale) of ranks 0 to n - 1, by the inverse of its distribution.
        total = -np.expm1(-members / self.rank_scale)[:, None]

        def ranks():
            drawn = np.floor(-self.rank_scale * np.log1p(-random.random((len(items), count)) * total)).astype(np.int64)
            return np.minimum(drawn, np.maximum(members - 1, 0)[:, None])

        one, other = ranks(), ranks()
        has_pairs = np.repeat(members[:, None] >= 2, count, axis=1)
        while (same := (one == other) & has_pairs).any():
            one[same], other[same] = ranks()[same], ranks()[same]
        places = (np.take_along_axis(place_of, pick(one, other), axis=1) for pick in (np.minimum, np.maximum))
        better, worse = (np.take_along_axis(items, place, axis=1) for place in places)
        return better, worse, has_pairs.astype(np.float32)

    def row_losses(self, drawn, scores):
        count = scores.shape[1] // 2
        weights = drawn["weight"][:, :count]
        losses = ops.softplus(scores[:, count:] - scores[:, :count])
        return ops.divide_no_nan(ops.sum(weights * losses, axis=1), ops.sum(weights, axis=1))

    def get_config(self):
        config = super().get_config()
        del config["side"]
        return {
            **config,
            "pairs": self.pairs,
            "groups": self.groups,
            "rank_scale": self.rank_scale,
            "exponent": self.exponent,
            "pool": self.pool,
        }


def popularity_groups(counts, groups):
    """The group of every item, from 0 for the most popular, of groups with about as many training pairs each: int64 [items].

    Items without a training pair are in none: -1.

    >>> popularity_groups(np.array([1, 4, 1, 2, 0]), 2).tolist()
    [1, 0, 1, 1, -1]
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    group_of = np.empty(len(counts), np.int64)
    group_of[order] = before * groups // max(counts.sum(), 1)
    return np.where(counts > 0, group_of, -1)


def group_sizes(counts, group_of, groups, pairs, exponent):
    """How many of a user's pairs each group gets: a list of whole numbers with the sum `pairs`.

    >>> group_sizes(np.array([1, 4, 1, 2]), np.array([1, 0, 1, 1]), 2, 8, 1.0)  # means 4 and 4/3: shares 4/3 and 4 of 16/3
    [2, 6]
    """
    sizes = np.bincount(group_of[group_of >= 0], minlength=groups)
    means = np.bincount(group_of[group_of >= 0], counts[group_of >= 0], minlength=groups) / np.maximum(sizes, 1)
    filled = sizes > 0
    shares = np.where(filled, means[filled].max() + means[filled].min() - means, 0.0)
    shares = np.where(filled, np.maximum(shares / shares.sum(), SMALLEST_SHARE) ** exponent, 0.0)
    # Whole numbers by largest remainders, so that they add up.
    exact = pairs * shares / shares.sum()
    whole = np.floor(exact).astype(int)
    for group in np.argsort(whole - exact, kind="stable")[: pairs - whole.sum()]:
        whole[group] += 1
    return whole.tolist()
