import numpy as np
import pytest

from tfdistill.data.pair_split import split_pairs
from tfdistill.errors import UserError


def test_leave_one_out_tests_the_latest_and_validates_the_one_before():
    user, time = np.array([0, 1, 0, 1, 0, 1, 0]), np.array([5, 1, 9, 3, 2, 2, 7])
    assert split_pairs(user, time, "leave_one_out").tolist() == [0, 0, 2, 2, 0, 1, 1]


def test_users_with_fewer_than_3_pairs_only_train():
    user = np.array([0, 0, 1, 2, 2, 2])
    assert split_pairs(user, np.arange(6), "leave_one_out").tolist() == [0, 0, 0, 0, 1, 2]


def test_pairs_of_equal_time_keep_their_order():
    assert split_pairs(np.zeros(4, int), np.zeros(4), "leave_one_out").tolist() == [0, 0, 1, 2]


def test_without_times_leave_one_out_is_random_and_follows_the_seed():
    user = np.repeat(np.arange(200), 5)
    parts = split_pairs(user, None, "leave_one_out", seed=3)
    by_user = np.sort(parts.reshape(200, 5), axis=1)
    assert (by_user == [0, 0, 0, 1, 2]).all()
    np.testing.assert_array_equal(parts, split_pairs(user, None, "leave_one_out", seed=3))
    assert not np.array_equal(parts, split_pairs(user, None, "leave_one_out", seed=4))
    # Every place of a user's five has a fifth of the test pairs: 40 of 200, with a deviation of 5.7.
    assert (np.abs((parts.reshape(200, 5) == 2).sum(axis=0) - 40) < 4 * 5.7).all()


def test_random_order_may_be_asked_for_where_there_are_times():
    user, time = np.repeat(np.arange(50), 4), np.tile(np.arange(4), 50)
    last = split_pairs(user, time, "leave_one_out", by="random", seed=1).reshape(50, 4)[:, 3]
    assert 0 < (last == 2).sum() < 50


def test_shares_of_all_pairs_in_the_order_of_time_or_chance():
    user, time = np.repeat(np.arange(10), 10), np.random.default_rng(0).permutation(100)
    parts = split_pairs(user, time, "temporal", train=0.7, validation=0.2, test=0.1)
    assert [sorted(time[parts == number]) for number in range(3)] == [
        list(range(70)),
        list(range(70, 90)),
        list(range(90, 100)),
    ]
    assert np.bincount(split_pairs(user, time, "random", seed=1)).tolist() == [80, 10, 10]


def test_user_ratio_splits_each_users_own_pairs_by_time():
    user, time = np.repeat([0, 1], [10, 20]), np.concatenate([np.arange(10)[::-1], np.arange(20)])
    parts = split_pairs(user, time, "user_ratio")
    assert parts[:10].tolist() == [2, 1] + [0] * 8
    assert parts[10:].tolist() == [0] * 16 + [1] * 2 + [2] * 2


def test_user_ratio_by_chance_keeps_the_shares_and_leaves_the_order_of_time():
    user, time = np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30)
    parts = split_pairs(user, time, "user_ratio", by="random", seed=2).reshape(30, 10)
    assert (np.sort(parts, axis=1) == [0] * 8 + [1, 2]).all()
    assert len(np.unique(np.argmax(parts == 2, axis=1))) > 3


def test_user_ratio_always_leaves_a_user_a_training_pair():
    parts = split_pairs(np.arange(20), None, "user_ratio", train=0.1, validation=0.1, test=0.8)
    assert not parts.any()


@pytest.mark.parametrize(
    "match, time, method, options",
    [
        ("'kfold' is not a split; choose one of random, leave_one_out", None, "kfold", {}),
        ("needs times", None, "temporal", {}),
        ("needs times", None, "user_ratio", {"by": "time"}),
        ("1 time is missing", np.array([1.0, np.nan]), "leave_one_out", {}),
        ("so none is the oldest of all; split by `user_ratio`", np.arange(2), "temporal", {"time_scope": "user"}),
        ("sum to 1.1", None, "random", {"validation": 0.2}),
    ],
)
def test_what_cannot_be_split_is_refused(match, time, method, options):
    with pytest.raises(UserError, match=match):
        split_pairs(np.array([0, 1]), time, method, **options)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="invalid value for `by`.*'newest'"):
        split_pairs(np.array([0]), None, "user_ratio", by="newest")
