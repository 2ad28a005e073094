import numpy as np
import pytest

from tfdistill.data.k_core import k_core


def test_a_user_who_falls_takes_its_items_below_the_minimum_and_they_take_others():
    # Item 3 has one pair; without it user 2 has one; without that item 2 has one; without it user 1 has one; and so on.
    user = np.array([2, 2, 1, 1, 0, 0, 5, 5, 6, 6])
    item = np.array([3, 2, 2, 1, 1, 0, 8, 9, 8, 9])
    assert k_core(user, item, 2, 2).tolist() == [False] * 6 + [True] * 4


def test_the_result_equals_deletion_of_one_user_or_item_after_the_other():
    random = np.random.default_rng(0)
    pairs = {(int(user), int(item)) for user, item in random.integers(0, [30, 40], (160, 2))}
    left = set(pairs)
    while True:
        users, items = [user for user, _ in left], [item for _, item in left]
        poor = next((pair for pair in sorted(left) if users.count(pair[0]) < 3 or items.count(pair[1]) < 4), None)
        if poor is None:
            break
        left.remove(poor)
    user, item = np.array(sorted(pairs)).T
    kept = k_core(user, item, 3, 4)
    assert 0 < len(left) < len(pairs)
    assert set(zip(user[kept].tolist(), item[kept].tolist(), strict=True)) == left


def test_nothing_is_left_where_no_one_has_enough_and_all_where_1_is_enough():
    user, item = np.array([0, 1]), np.array([0, 1])
    assert not k_core(user, item, 2, 1).any()
    assert k_core(user, item, 1, 1).all()


@pytest.mark.parametrize("counts", [(0, 1), (1, -1), (1.5, 1), (True, 1)])
def test_a_minimum_that_is_no_positive_integer_is_refused(counts):
    with pytest.raises(ValueError, match="expected a positive integer"):
        k_core(np.array([0]), np.array([0]), *counts)
