"""CD against binary cross-entropy of Keras, and whom it draws."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses import CollaborativeDistillation, RankingContext


def test_the_loss_is_binary_cross_entropy_with_the_teachers_probability():
    teacher, student = np.random.default_rng(0).normal(0, 3, (2, 4, 5)).astype("float32")
    loss = CollaborativeDistillation(candidates=5, temperature=2.0, shift=1.0)
    targets = 1 / (1 + np.exp(-(teacher + 1.0) / 2.0))
    expected = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")(targets, student)
    np.testing.assert_allclose(loss.compute_loss({"teacher_score": teacher}, student), expected, rtol=1e-5)


@pytest.mark.parametrize("ranked_by", ["teacher", "student"])
def test_candidates_are_drawn_by_rank_and_carry_the_teachers_scores(ranked_by):
    users, items, k = 600, 30, 10
    dataset = ImplicitDataset(
        users, items, {"train": [[user, 29] for user in range(users)], "validation": [], "test": []}
    )
    best = np.tile(np.arange(k, dtype="int32"), (users, 1))
    # The student's order of the same items is the other way round.
    context = RankingContext(
        dataset,
        SimpleNamespace(items=best, scores=(100 - best).astype("float32")),
        student_scores=lambda users: np.tile(np.arange(items, dtype="float32"), (len(users), 1)),
    )
    loss = CollaborativeDistillation(candidates=1, rank_scale=3.0, ranked_by=ranked_by, pool=k)
    drawn = loss.draw(context, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["teacher_score"], 100 - drawn["item"])
    ranks = drawn["item"][:, 0] if ranked_by == "teacher" else k - 1 - drawn["item"][:, 0]
    expected = np.exp(-np.arange(1, k + 1) / 3.0)
    expected *= users / expected.sum()
    assert (np.abs(np.bincount(ranks, minlength=k) - expected) < 4.5 * np.sqrt(expected) + 1).all()
