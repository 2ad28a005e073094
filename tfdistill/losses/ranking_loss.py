"""What every loss between scores of candidates is, and what it may look at when it draws them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.shapes import check_same_shape

SIDES = ("user", "item")
ROWS = ("batch", "all")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True, eq=False)
class RankingContext:
    """What candidates are drawn from, at the beginning of an epoch.

    Args:
        dataset: the `tfdistill.data.ImplicitDataset` that the student is trained on.
        rankings: the teacher's best items of every user, with `items` int32 [users, k] and `scores` float32 [users, k],
            best first; or `None`.
        item_rankings: the teacher's best users of every item, `items` int32 [items, k] holding the numbers of users; or
            `None`.
        student_scores: (users int [b]) -> float32 [b, items], the student as it stands; or `None`.
        student_item_scores: (items int [b]) -> float32 [b, users], the same from items to users; or `None`.
        epoch, epochs: the number of the epoch, from 0, and how many there are in all.

    >>> from tfdistill.data.implicit import ImplicitDataset
    >>> data = ImplicitDataset(1, 3, {"train": [[0, 1]], "validation": [], "test": []})
    >>> RankingContext(data, epoch=2, epochs=10).epoch
    2
    """

    dataset: Any
    rankings: Any = None
    item_rankings: Any = None
    student_scores: Callable | None = None
    student_item_scores: Callable | None = None
    epoch: int = 0
    epochs: int = 1

    def ranking(self, side, asker):
        """The teacher's ranking on a side; raises `ValueError`, naming who asks, where there is none."""
        ranking = self.rankings if side == "user" else self.item_rankings
        if ranking is None:
            name = "rankings" if side == "user" else "item_rankings"
            what = "best items of every user" if side == "user" else "best users of every item"
            raise ValueError(f"{type(asker).__name__} needs `{name}`, the teacher's {what}. Received: {name}=None")
        return ranking

    def scores(self, side, asker):
        """The function that gives the student's scores on a side; raises `ValueError` where there is none."""
        scores = self.student_scores if side == "user" else self.student_item_scores
        if scores is None:
            name = "student_scores" if side == "user" else "student_item_scores"
            raise ValueError(f"{type(asker).__name__} needs `{name}`, the student as it stands. Received: {name}=None")
        return scores

    def rows(self, side):
        """How many users, or items, there are: candidates are drawn for each."""
        return self.dataset.users if side == "user" else self.dataset.items

    def choices(self, side):
        """How many candidates there are to draw from."""
        return self.dataset.items if side == "user" else self.dataset.users


class RankingLoss(DistillationLoss):
    """Compares scores of candidates: of items for every user, or of users for every item. The base of such losses.

    Before every epoch `draw` chooses the candidates of every user (NumPy); in a step the student scores those of the
    batch's users, and `row_losses` compares. A user who is in a batch more than once counts once.

    A subclass defines `draw` and `row_losses`.

    Args:
        side: `"user"`, candidates are items and rows are users; or `"item"`, candidates are users and rows are items.
        rows: `"batch"`, the users of the batch or the items of its positive pairs; or `"all"`: as many drawn from all
            users or items, each epoch another order of them, with a sum scaled up to be that over all of them.
        reduction: `"sum"` over the rows, or `"mean"` of them.

    Raises:
        ValueError: for another side, rows or reduction.
    """

    def __init__(self, side="user", rows="batch", reduction="sum", **kwargs):
        super().__init__(**kwargs)
        self.side = check_choice("side", side, SIDES)
        self.rows = check_choice("rows", rows, ROWS)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)

    def draw(self, context, random):
        """Draws the candidates of an epoch.

        Args:
            context: `RankingContext`.
            random: `numpy.random.Generator`.

        Returns: {"item": int32 [rows, n], the candidates of every user (of every item, numbers of users), and by name
        float32 [rows, n] or [rows, 1], what else `row_losses` wants of them}.
        """
        raise NotImplementedError

    def row_losses(self, drawn, scores):
        """Returns the loss of every row, float32 [batch].

        Args:
            drawn: {name: float32 [batch, n]}, what `draw` returned beside "item".
            scores: float32 [batch, n], the student's scores of the candidates.
        """
        raise NotImplementedError

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        """Returns the loss of a batch, a float32 scalar.

        Args:
            teacher_outputs: {name: [batch, n]}, what was drawn beside the candidates.
            student_outputs: [batch, n], the student's scores of the candidates.
            sample_weight: [batch], 1 for the first row of every user and 0 where the user comes again; `None` for 1.
            labels, step: not used.
        """
        drawn = {name: ops.stop_gradient(ops.cast(value, "float32")) for name, value in (teacher_outputs or {}).items()}
        for name, value in drawn.items():
            if value.shape[-1] != 1:
                check_same_shape(value, student_outputs, f'scores and "{name}"')
        return reduce_rows(self.row_losses(drawn, ops.cast(student_outputs, "float32")), sample_weight, self.reduction)

    def get_config(self):
        return {**super().get_config(), "side": self.side, "rows": self.rows, "reduction": self.reduction}


def reduce_rows(values, weights, reduction):
    """Returns Σ w_i v_i of values [batch] ("sum"), or that divided by Σ w_i ("mean"): a float32 scalar.

    >>> import keras
    >>> float(reduce_rows(keras.ops.array([1.0, 3.0, 9.0]), keras.ops.array([1.0, 1.0, 0.0]), "mean"))
    2.0
    """
    weights = ops.ones_like(values) if weights is None else ops.cast(weights, "float32")
    total = ops.sum(ops.where(weights > 0, values, 0.0) * weights)
    return total if reduction == "sum" else ops.divide_no_nan(total, ops.sum(weights))


def check_choice(name, value, choices):
    """Returns `value` if it is one of `choices`; raises `ValueError` otherwise."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
    return value


def check_number(name, value, at_least=None, above=None):
    """Returns `value` if it is a finite number within bounds; raises `ValueError` otherwise."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (at_least is None or value >= at_least) and (above is None or value > above)
    if not fits:
        bound = f" of at least {at_least}" if at_least is not None else f" above {above}" if above is not None else ""
        raise ValueError(f"`{name}` must be a number{bound}. Received: {name}={value!r}")
    return value


def check_count(name, value, at_least=1):
    """Returns `value` if it is a whole number of at least so many; raises `ValueError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"`{name}` must be a whole number of at least {at_least}. Received: {name}={value!r}")
    return value
