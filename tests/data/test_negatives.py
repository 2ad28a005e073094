import numpy as np
import pytest

from tfdistill.data import (
    ImplicitDataset,
    ListedNegatives,
    PopularityNegatives,
    UniformNegatives,
    log_sampling_probability,
)
from tfdistill.errors import UserError

DATA = ImplicitDataset(
    3, 6, {"train": [[0, 0], [0, 1], [1, 1], [1, 2], [2, 1]], "validation": [[0, 2]], "test": [[0, 3], [2, 4]]}
)
DRAWERS = [UniformNegatives, PopularityNegatives, lambda data: ListedNegatives(data, np.tile(np.arange(6), (3, 1)))]


@pytest.mark.parametrize("make", DRAWERS)
def test_draws_depend_on_seed_and_epoch_alone_and_are_never_training_items(make):
    users = np.tile([0, 1, 2], 400)
    drawn = make(DATA).draw(users, 2, seed=1, epoch=3)
    assert drawn.shape == (1200, 2) and drawn.dtype == np.int32
    np.testing.assert_array_equal(drawn, make(DATA).draw(users, 2, seed=1, epoch=3))
    assert not np.array_equal(drawn, make(DATA).draw(users, 2, seed=1, epoch=4))
    assert not np.array_equal(drawn, make(DATA).draw(users, 2, seed=2, epoch=3))
    for user, chosen in ((0, {0, 1}), (1, {1, 2}), (2, {1})):
        assert not chosen & set(drawn[users == user].ravel().tolist())


def test_validation_and_test_items_may_be_drawn_unless_told_otherwise():
    users = np.zeros(500, int)
    assert set(UniformNegatives(DATA).draw(users, seed=0, epoch=0).ravel().tolist()) == {2, 3, 4, 5}
    strict = UniformNegatives(DATA, avoid=("train", "validation", "test"))
    assert set(strict.draw(users, seed=0, epoch=0).ravel().tolist()) == {4, 5}


def test_popularity_follows_training_counts_to_the_power_of_alpha():
    # User 2 may have 0 and 2, chosen once each, and nothing else that training has seen.
    drawn = PopularityNegatives(DATA).draw(np.full(500, 2), seed=0, epoch=0)
    assert set(drawn.ravel().tolist()) == {0, 2}
    # Counts 9, 4 and 1 with alpha .5: shares 3, 2 and 1 of 6.
    pairs = [[user, item] for item, count in enumerate((9, 4, 1)) for user in range(count)]
    data = ImplicitDataset(10, 4, {"train": pairs, "validation": [], "test": []})
    found = np.bincount(PopularityNegatives(data, 0.5).draw([9], 60_000, seed=0, epoch=0)[0], minlength=4)
    np.testing.assert_allclose(found / 60_000, [3 / 6, 2 / 6, 1 / 6, 0], atol=4 * 0.002)


def test_listed_negatives_follow_the_rank_and_leave_out_training_items_and_fill():
    lists = np.array([[1, 3, 0, 5], [4, 0, 1, 3], [5, 0, -1, -1]])
    negatives, count = ListedNegatives(DATA, lists, scale=2.0), 60_000
    drawn = negatives.draw([0, 1, 2], count, seed=0, epoch=0)
    for user, weights in enumerate(
        ({3: np.exp(-0.5), 5: np.exp(-1.5)}, {4: 1, 0: np.exp(-0.5), 3: np.exp(-1.5)}, {5: 1, 0: np.exp(-0.5)})
    ):
        share = np.array([weights.get(item, 0) for item in range(6)]) / sum(weights.values())
        np.testing.assert_allclose(np.bincount(drawn[user], minlength=6) / count, share, atol=4 * 0.0021)
    even = ListedNegatives(DATA, lists).draw([1], count, seed=0, epoch=0)
    np.testing.assert_allclose(np.bincount(even[0]) / count, [1 / 3, 0, 0, 1 / 3, 1 / 3], atol=4 * 0.002)


def test_a_list_with_nothing_to_draw_is_refused_when_its_user_is_asked_for():
    negatives = ListedNegatives(DATA, np.array([[0, 1], [0, 3], [0, 3]]))
    assert negatives.draw([1], seed=0, epoch=0).shape == (1, 1)
    with pytest.raises(UserError, match="list of user 0 holds no item"):
        negatives.draw([1, 0], seed=0, epoch=0)


def test_wrong_arguments_are_refused():
    with pytest.raises(UserError, match=r"holds the item 6, there are 6 \(0 to 5\)"):
        ListedNegatives(DATA, np.full((3, 1), 6))
    with pytest.raises(ValueError, match=r"shape \[3, k\]. Received: int64 \[2, 1\]"):
        ListedNegatives(DATA, np.zeros((2, 1), int))
    with pytest.raises(ValueError, match="`scale`"):
        ListedNegatives(DATA, np.zeros((3, 1), int), scale=0)
    with pytest.raises(ValueError, match="`alpha`"):
        PopularityNegatives(DATA, alpha=0)
    for parts in ("train", ("training",), ()):
        with pytest.raises(ValueError, match="invalid parts, expected some of"):
            UniformNegatives(DATA, avoid=parts)


def test_log_q_is_the_share_of_training_pairs():
    expected = np.log(np.array([1, 3, 1, 1, 1, 1]) / 5)  # those from 3 on have none, and the value of one
    np.testing.assert_allclose(log_sampling_probability(DATA), expected, rtol=1e-6)
