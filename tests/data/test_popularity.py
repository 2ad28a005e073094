import numpy as np
import pytest

from tfdistill.data import popularity_groups
from tfdistill.data.popularity import self_information


def test_groups_have_the_same_share_of_the_pairs():
    counts = np.random.default_rng(0).zipf(1.6, 3000).clip(max=60)
    groups = popularity_groups(counts, 4)
    mass = np.bincount(groups, counts)
    assert len(mass) == 4 and abs(mass - counts.sum() / 4).max() <= counts.max()
    lowest, highest = ([reduce(counts[groups == group]) for group in range(4)] for reduce in (np.min, np.max))
    assert all(low >= high for low, high in zip(lowest[:-1], highest[1:], strict=True))


def test_groups_worked_by_hand():
    # In falling order 5, 3, 2, 2 of 12: the middles of the pairs lie at 2.5, 6.5, 9 and 11, the bounds at 4 and 8.
    assert popularity_groups([2, 5, 0, 3, 2], groups=3).tolist() == [2, 0, 3, 1, 2]


def test_an_item_with_most_of_the_pairs_leaves_a_group_empty():
    assert popularity_groups([90, 5, 5], groups=3).tolist() == [1, 2, 2]


def test_information_is_the_users_that_did_not_choose_in_bits():
    assert self_information(np.array([16, 4, 1, 0]), users=16).tolist() == [0.0, 2.0, 4.0, 4.0]


def test_no_groups_are_refused():
    with pytest.raises(ValueError, match="`groups` must be at least 1. Received: groups=0"):
        popularity_groups([1, 2], groups=0)
