"""DCD: which items it draws."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses import DualCorrectionDistillation, RankingContext

USERS, ITEMS, K = 400, 30, 10


@pytest.fixture
def context():
    dataset = ImplicitDataset(
        USERS, ITEMS, {"train": [[user, 29] for user in range(USERS)], "validation": [], "test": []}
    )
    best = np.tile(np.arange(K, dtype="int32"), (USERS, 1))
    scores = -np.arange(ITEMS, dtype="float32")
    scores[[0, 1]] = -20.5, -21.5  # the teacher's best two stand low with the student
    scores[29] = 100.0  # a training pair
    return RankingContext(
        dataset,
        SimpleNamespace(items=best, scores=-best),
        student_scores=lambda users: np.tile(scores, (len(users), 1)),
    )


def test_what_stands_too_low_is_drawn_in_the_teachers_order_and_what_stands_too_high_is_below(context):
    # Student's order: 2 3 4 ... 19 20 0 21 1 ...: 0 and 1 too low, all others of the pool two places too high.
    drawn = DualCorrectionDistillation(2, 3, pool=K).draw(context, np.random.default_rng(0))["item"]
    np.testing.assert_array_equal(drawn[:, :2], np.tile([0, 1], (USERS, 1)))
    assert drawn[:, 2:].min() >= 2
    assert drawn[:, 2:].max() <= 11  # the student's best ten


def test_they_are_drawn_by_tanh_of_the_difference_in_ranks(context):
    drawn = DualCorrectionDistillation(1, 1, discrepancy_scale=4.0, pool=K).draw(context, np.random.default_rng(0))[
        "item"
    ]
    # Item 0 is 10 - 0 too low, item 1 10 - 1 (places beyond ten count as ten).
    weights = np.tanh(np.array([10, 9]) / 4.0)
    expected = USERS * weights / weights.sum()
    found = np.bincount(drawn[:, 0], minlength=2)
    assert (np.abs(found - expected) < 4.5 * np.sqrt(expected)).all()
    # All ten of the student's best are two places too high: 2 to 9 by the teacher's rank, 10 and 11 as places 8 and 9 for ten.
    weights = np.tanh(np.array([2] * 8 + [2, 1]) / 4.0)
    expected = USERS * weights / weights.sum()
    assert (np.abs(np.bincount(drawn[:, 1] - 2, minlength=10) - expected) < 4.5 * np.sqrt(expected)).all()


def test_a_student_that_is_right_is_given_what_there_is_and_no_item_twice(context):
    dataset, rankings = context.dataset, context.rankings
    right = RankingContext(
        dataset, rankings, student_scores=lambda users: np.tile(-np.arange(ITEMS, dtype="float32"), (len(users), 1))
    )
    drawn = DualCorrectionDistillation(4, 5, pool=K).draw(right, np.random.default_rng(0))["item"]
    assert all(len(set(row)) == 9 for row in drawn)
    assert (np.diff(drawn[:, :4], axis=1) > 0).all()


def test_the_students_scores_are_needed(context):
    with pytest.raises(ValueError, match="needs `student_scores`"):
        DualCorrectionDistillation(2, 2, pool=K).draw(
            RankingContext(context.dataset, context.rankings), np.random.default_rng(0)
        )
