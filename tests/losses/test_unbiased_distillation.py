"""UnKD: its pairs, and what it makes of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses import RankingContext, UnbiasedDistillation
from tfdistill.losses.unbiased_distillation import group_sizes, popularity_groups


def test_groups_have_about_as_many_training_pairs_each():
    counts = np.array([40, 30, 10, 10, 5, 5, 4, 3, 2, 1, 0])
    group_of = popularity_groups(counts, 3)
    assert group_of[-1] == -1
    assert (np.diff(group_of[:-1]) >= 0).all()
    masses = np.bincount(group_of[:-1], counts[:-1])
    assert masses.sum() == counts.sum()
    assert masses.max() <= counts.sum() / 3 + counts.max()


def test_pairs_go_to_unpopular_groups_add_up_and_leave_no_group_out():
    counts = np.array([100, 4, 4, 4, 4, 4])
    group_of = np.array([0, 1, 1, 1, 1, 1])
    # Means 100 and 4: shares 4/104 and 100/104, the first raised to a tenth, so 0.1 and 0.9615 of their sum.
    assert group_sizes(counts, group_of, 2, 30, 1.0) == [3, 27]
    assert group_sizes(counts, group_of, 2, 30, 0.0) == [15, 15]


@pytest.fixture(scope="module")
def drawn():
    users, k = 300, 12
    counts = [20, 20, 20, 5, 5, 5, 5, 5, 5, 5, 5, 5]  # groups of 60 and 45 pairs
    pairs = [[user, item] for item, count in enumerate(counts) for user in range(count)]
    dataset = ImplicitDataset(users, k, {"train": pairs, "validation": [], "test": []})
    order = np.array([5, 0, 7, 1, 3, 2, 4, 6, 8, 9, 10, 11], "int32")
    context = RankingContext(dataset, SimpleNamespace(items=np.tile(order, (users, 1)), scores=None))
    loss = UnbiasedDistillation(pairs=10, groups=2, rank_scale=2.0)
    return loss.draw(context, np.random.default_rng(0)), popularity_groups(dataset.item_counts(), 2), order


def test_both_of_a_pair_are_of_a_group_and_the_teacher_ranks_the_first_before(drawn):
    drawn, group_of, order = drawn
    better, worse = np.split(drawn["item"], 2, axis=1)
    np.testing.assert_array_equal(group_of[better], group_of[worse])
    place = np.argsort(order)
    assert (place[better] < place[worse]).all()
    assert (drawn["weight"] == 1).all()


def test_items_are_drawn_by_their_rank_within_the_group(drawn):
    drawn, group_of, order = drawn
    members = [item for item in order if group_of[item] == 0]
    assert members == [0, 1, 2]
    weights = np.exp(-np.arange(3) / 2.0)
    weights /= weights.sum()
    # Two drawn until they differ: pair {a, b} has a share of w_a w_b.
    share = {(0, 1): weights[0] * weights[1], (0, 2): weights[0] * weights[2], (1, 2): weights[1] * weights[2]}
    better, worse = np.split(drawn["item"], 2, axis=1)
    found = list(zip(better[group_of[better] == 0], worse[group_of[better] == 0], strict=True))
    for pair, expected in share.items():
        expected *= len(found) / sum(share.values())
        assert abs(found.count(pair) - expected) < 4.5 * np.sqrt(expected)


def test_a_user_without_two_stored_items_of_a_group_has_no_pairs_of_it():
    dataset = ImplicitDataset(1, 4, {"train": [[0, 3]], "validation": [], "test": []})
    dataset.pairs["train"] = np.array([[0, 0]] * 4 + [[0, 1]] * 4 + [[0, 2], [0, 3]] * 4, "int32")
    context = RankingContext(dataset, SimpleNamespace(items=np.array([[0, 1, 2]], "int32"), scores=None))
    drawn = UnbiasedDistillation(pairs=4, groups=2).draw(context, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["weight"], [[1, 1, 0, 0] * 2])
    np.testing.assert_array_equal(drawn["item"][0, [0, 1, 4, 5]], [0, 0, 1, 1])


def test_the_loss_is_that_of_the_pairs_that_there_are(gradient):
    loss = UnbiasedDistillation(pairs=3)
    scores = np.float32([[2.0, 0.0, 9.0, 1.0, 0.5, -7.0]])
    weights = np.float32([[1, 1, 0, 1, 1, 0]])
    expected = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(0.5))) / 2
    np.testing.assert_allclose(loss.compute_loss({"weight": weights}, scores), expected, rtol=1e-5)
    assert (gradient(lambda point: loss.compute_loss({"weight": weights}, point), scores)[0, [2, 5]] == 0).all()
