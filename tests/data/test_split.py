import numpy as np
import pytest

from tfdistill.data import Interactions, split
from tfdistill.errors import UserError


def interactions(count=100, **options):
    options.setdefault("label", np.arange(count) % 2)
    options.setdefault("user", np.arange(count) % 5)
    return Interactions(item=np.arange(count), **options)


def test_random_parts_have_the_asked_sizes_and_follow_the_seed():
    parts = split(interactions(), seed=1)
    assert np.bincount(parts).tolist() == [80, 10, 10] and parts.dtype == np.int8
    np.testing.assert_array_equal(parts, split(interactions(), seed=1))
    assert not np.array_equal(parts, split(interactions(), seed=2))


def test_a_temporal_split_trains_on_the_past_and_tests_on_the_latest():
    time = np.random.default_rng(0).permutation(100)
    parts = split(interactions(time=time), "temporal", 0.7, 0.2, 0.1)
    assert sorted(time[parts == 0]) == list(range(70))
    assert sorted(time[parts == 1]) == list(range(70, 90))
    assert sorted(time[parts == 2]) == list(range(90, 100))


def test_rows_of_equal_time_keep_their_order():
    parts = split(interactions(time=np.zeros(100)), "temporal")
    assert (np.diff(parts) >= 0).all()


def test_times_that_only_order_a_users_own_rows_split_within_each_user():
    user, time = np.repeat([1, 2], 20), np.concatenate([np.arange(20)[::-1], np.arange(20) + 1000])
    parts = split(interactions(40, user=user, time=time, time_scope="user"), "temporal", 0.8, 0.1, 0.1)
    for one in (1, 2):
        in_order = parts[user == one][np.argsort(time[user == one])]
        assert in_order.tolist() == [0] * 16 + [1] * 2 + [2] * 2


def test_given_parts_are_taken_as_numbers_or_words():
    numbers = np.repeat([0, 1, 2], [80, 10, 10])
    words = np.array(["train", "validation", "test"])[numbers]
    np.testing.assert_array_equal(split(interactions(), "given", given=numbers), numbers)
    np.testing.assert_array_equal(split(interactions(), "given", given=words), numbers)


def refused(match, *arguments, data=None, **options):
    with pytest.raises(UserError, match=match):
        split(interactions() if data is None else data, *arguments, **options)


def test_shares_that_do_not_sum_to_1_are_refused():
    refused(r"sum to 1\.1, not to 1 \(train 0\.8, validation 0\.2, test 0\.1\)", train=0.8, validation=0.2, test=0.1)


def test_a_share_of_0_is_refused():
    refused("between 0 and 1", train=0.9, validation=0.1, test=0.0)


def test_an_empty_part_is_named():
    refused("the test part is empty", data=interactions(4))


def test_a_part_of_one_class_is_named():
    label = np.ones(100)
    label[:3] = 0
    refused(
        "the validation part \\(10 rows\\) has no label but 1",
        "temporal",
        data=interactions(label=label, time=np.arange(100)),
    )


def test_a_temporal_split_without_times_is_refused():
    refused("needs times", "temporal")


def test_given_parts_that_are_missing_short_or_unknown_are_refused():
    refused("pass `given`", "given")
    refused("3 parts are given for 100 rows", "given", given=np.zeros(3))
    refused("row 1 has the part 'holdout'", "given", given=np.full(100, "holdout"))


def test_an_unknown_method_is_refused():
    refused("'leave_one_out' is not a split", "leave_one_out")
