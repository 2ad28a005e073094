import numpy as np
import pandas
import pytest

from tfdistill.data import FeatureSpec, ImplicitDataset, Interactions, implicit, movielens_1m, movielens_100k
from tfdistill.errors import UserError


def interactions(user, item, label=None, **options):
    label = np.ones(len(user)) if label is None else label
    return Interactions(user=np.array(user), item=np.array(item), label=np.array(label), **options)


def raw_pairs(data, part):
    return [(data.user_ids[user].item(), data.item_ids[item].item()) for user, item in data.pairs[part]]


def test_users_and_items_are_numbered_by_their_sorted_ids_and_pairs_follow_time():
    read = interactions([7, 3, 7, 7, 3, 3], list("bcadab"), time=np.array([4, 1, 2, 9, 8, 3]))
    data = implicit(read, "leave_one_out")
    assert data.user_ids.tolist() == [3, 7] and data.item_ids.tolist() == ["a", "b", "c", "d"]
    assert raw_pairs(data, "train") == [(3, "c"), (7, "a")]
    assert raw_pairs(data, "validation") == [(3, "b"), (7, "b")]
    assert raw_pairs(data, "test") == [(3, "a"), (7, "d")]
    assert data.is_ordered and data.pairs["train"].dtype == np.int32


def test_rows_with_label_0_are_left_out_and_counted_or_kept_on_demand():
    read = interactions([1] * 5, [1, 2, 3, 4, 5], [1, 0, 1, 1, 0], time=np.arange(5))
    data = implicit(read, "leave_one_out")
    assert data.items == 3 and data.dropped["not chosen (label 0)"] == 2
    assert implicit(read, "leave_one_out", only_positive=False).items == 5


def test_of_a_pair_that_occurs_again_the_first_in_time_stays_and_the_rest_is_counted():
    read = interactions([1, 1, 1, 1, 1], [5, 6, 5, 7, 5], time=np.array([9, 2, 1, 5, 8]))
    data = implicit(read, "leave_one_out")
    assert [raw_pairs(data, part)[0][1] for part in ("train", "validation", "test")] == [5, 6, 7]
    assert data.dropped["duplicates"] == 2 == data.summary()["dropped"]["duplicates"]


def test_without_times_the_first_in_the_file_stays():
    read = interactions([1, 1, 1, 1], [5, 6, 5, 7])
    data = implicit(read, "given", given=["train", "validation", "train", "test"])
    assert data.dropped["duplicates"] == 1 and not data.is_ordered
    assert raw_pairs(data, "train") == [(1, 5)]


def test_the_k_core_filter_is_counted_and_its_users_and_items_get_no_number():
    read = interactions([1, 1, 1, 2, 2, 2, 3], [1, 2, 3, 1, 2, 3, 9], time=np.arange(7))
    data = implicit(read, "leave_one_out", min_user_count=2, min_item_count=2)
    assert data.user_ids.tolist() == [1, 2] and data.item_ids.tolist() == [1, 2, 3]
    assert data.dropped["too few pairs (k-core)"] == 1


def test_items_that_training_has_not_seen_stay_in_the_catalogue_and_are_counted():
    read = interactions([1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 4], time=np.arange(6))
    data = implicit(read, "leave_one_out")
    assert data.items == 4 and data.unseen("test") == (0, 2) and data.unseen("validation") == (0, 2)
    assert data.summary()["pairs_of_unseen_items"] == {"validation": 2, "test": 2}


def test_pairs_of_items_and_users_that_training_has_not_seen_are_dropped_on_demand():
    read = interactions([1, 1, 1, 2, 2, 3], [1, 2, 3, 1, 2, 1])
    parts = ["train", "train", "test", "train", "test", "test"]
    data = implicit(read, "given", given=parts, unseen="drop")
    assert raw_pairs(data, "test") == [(2, 2)]
    assert data.dropped["unseen in training"] == 2
    assert data.user_ids.tolist() == [1, 2] and data.item_ids.tolist() == [1, 2]


def test_features_are_learned_from_users_and_items_with_a_training_pair():
    read = interactions(
        [1, 1, 2, 1, 2],
        ["a", "b", "a", "c", "d"],
        users=pandas.DataFrame({"age": [10.0, 40.0]}, index=[1, 2]),
        items=pandas.DataFrame(
            {"colour": ["red", "blue", "green", "red"], "tags": [["x"], ["y", "x"], ["z"], []]}, index=list("abcd")
        ),
        features=[
            FeatureSpec("age", of="user", kind="numeric"),
            FeatureSpec("colour", of="item", kind="categorical"),
            FeatureSpec("tags", of="item", kind="bag"),
        ],
    )
    data = implicit(read, "given", given=["train", "train", "train", "validation", "test"])
    assert [(one.name, one.size, one.length) for one in data.user_fields + data.item_fields] == [
        ("age", 0, 1),
        ("colour", 3, 1),
        ("tags", 3, 2),
    ]
    # User 1 trains twice: mean (10 + 10 + 40) / 3 = 20, variance (100 + 100 + 400) / 3 = 200.
    assert data.numeric["age"] == pytest.approx((20, 200**0.5))
    np.testing.assert_allclose(data.user_features["age"], [-10 / 200**0.5, 20 / 200**0.5], rtol=1e-6)
    assert data.vocabularies["colour"].tolist() == ["blue", "red"] and data.vocabularies["tags"].tolist() == ["x", "y"]
    assert data.item_features["colour"].tolist() == [2, 1, 0, 2]
    assert data.item_features["tags"].tolist() == [[1, 0], [2, 1], [0, 0], [0, 0]]


def test_a_given_split_with_a_pair_in_two_parts_is_refused():
    read = interactions([1, 1, 1], ["a", "b", "a"])
    with pytest.raises(
        UserError, match="1 pair is in more than one part of the given split, such as user 1 and item 'a'"
    ):
        implicit(read, "given", given=["train", "train", "test"])


@pytest.mark.parametrize(
    "match, options",
    [
        ("the validation part is empty", {"split": "leave_one_out"}),
        ("no pair of 3 is left where every user has 5 pairs and every item 1", {"min_user_count": 5}),
        ("the train part is empty", {"split": "given", "given": [1, 2, 2]}),
        ("pass `given`", {"split": "given"}),
        ("'kfold' is not a split", {"split": "kfold"}),
    ],
)
def test_data_that_leaves_nothing_is_refused(match, options):
    with pytest.raises(UserError, match=match):
        implicit(interactions([1, 2, 3], [1, 2, 3]), **options)


def test_data_without_a_choice_is_refused():
    with pytest.raises(UserError, match="no row of 2 has label 1"):
        implicit(interactions([1, 2], [1, 2], [0, 0]))


def test_a_missing_id_is_refused():
    with pytest.raises(UserError, match="1 id is missing in the column 'item'"):
        implicit(interactions([1, 2], np.array(["a", None], object)))


def test_an_unknown_way_with_the_unseen_is_refused():
    with pytest.raises(ValueError, match="`unseen`"):
        implicit(interactions([1], [1]), unseen="error")


def test_movielens_100k_leaves_one_out_for_each_of_its_943_users(shared_data):
    data = implicit(movielens_100k(shared_data("ml-100k"), labels="all"), "leave_one_out")
    assert (data.users, data.items) == (943, 1_682)
    assert [len(data.pairs[part]) for part in ("train", "validation", "test")] == [98_114, 943, 943]
    assert data.dropped["duplicates"] == 0
    assert data.lists("train", "validation", "test").lengths.min() == 20  # as its README promises


def test_movielens_1m_in_one_order_of_time_is_refused_as_its_times_do_not_compare(shared_data):
    read = movielens_1m(shared_data("ml-1m"))
    with pytest.raises(UserError, match="so none is the oldest of all"):
        implicit(read, "temporal")
    data = implicit(read, "user_ratio")
    assert sum(map(len, data.pairs.values())) == 575_281 and data.users == 6_038


def test_numbers_out_of_range_and_duplicates_are_refused_by_the_data_set_itself():
    with pytest.raises(UserError, match="the test part has the item 2, expected 0 to 1"):
        ImplicitDataset(1, 2, {"train": [[0, 0]], "validation": [], "test": [[0, 2]]})
    with pytest.raises(UserError, match="1 pairs occur more than once, such as user 0 and item 1"):
        ImplicitDataset(1, 2, {"train": [[0, 1]], "validation": [], "test": [[0, 1]]})


def test_lists_join_parts_in_order_and_name_the_user_of_every_entry():
    data = ImplicitDataset(3, 9, {"train": [[2, 7], [0, 1], [2, 3]], "validation": [[0, 5]], "test": []})
    lists = data.lists("train", "validation")
    assert [lists.of(user).tolist() for user in range(3)] == [[1, 5], [], [7, 3]]
    assert lists.lengths.tolist() == [2, 0, 2] and lists.users.tolist() == [0, 0, 2, 2]
    assert data.item_counts().tolist() == [0, 1, 0, 1, 0, 0, 0, 1, 0]
