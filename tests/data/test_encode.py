import numpy as np
import pandas
import pytest

from tfdistill.data import FeatureSpec, Interactions, encode
from tfdistill.errors import UserError

# Rows 0 to 3 train, 4 validates, 5 tests. User 9, item "z", age 70, tag "odd" and device "tv" are only in the test row.
PARTS = np.array([0, 0, 0, 0, 1, 2], np.int8)
FEATURES = (
    FeatureSpec("age", of="user", kind="categorical"),
    FeatureSpec("income", of="user", kind="numeric"),
    FeatureSpec("tags", of="item", kind="bag"),
    FeatureSpec("device", of="context", kind="categorical"),
    FeatureSpec("hour", of="context", kind="numeric"),
)


def make(features=FEATURES, **changes):
    columns = {
        "user": np.array([5, 5, 5, 3, 3, 9]),
        "item": np.array(["b", "a", "c", "b", "a", "z"], object),
        "label": np.array([1, 0, 1, 0, 1, 0]),
        "users": pandas.DataFrame({"age": [30, 20, 70], "income": [10.0, 2.0, 999.0]}, index=[3, 5, 9]),
        "items": pandas.DataFrame({"tags": [["x"], ["y", "x", "y"], [], ["odd", "x"]]}, index=["a", "b", "c", "z"]),
        "context": pandas.DataFrame(
            {"device": ["web", "app", "app", "web", "app", "tv"], "hour": [0.0, 0.0, 4.0, 4.0, 10.0, 1000.0]}
        ),
    }
    return Interactions(**(columns | changes), features=features, source="shop")


@pytest.fixture
def dataset():
    return encode(make(), PARTS)


def test_vocabularies_are_sorted_raw_values_of_the_training_rows(dataset):
    found = {name: values.tolist() for name, values in dataset.vocabularies.items()}
    assert found == {
        "user": [3, 5],
        "item": ["a", "b", "c"],
        "age": [20, 30],
        "tags": ["x", "y"],
        "device": ["app", "web"],
    }
    assert dataset.vocabularies["user"].dtype == np.int64


def test_fields_come_user_item_then_user_item_and_context_features(dataset):
    described = [(field.name, field.kind, field.of, field.size, field.length) for field in dataset.fields]
    assert described == [
        ("user", "categorical", "user", 3, 1),
        ("item", "categorical", "item", 4, 1),
        ("age", "categorical", "user", 3, 1),
        ("income", "numeric", "user", 0, 1),
        ("tags", "bag", "item", 3, 2),
        ("device", "categorical", "context", 3, 1),
        ("hour", "numeric", "context", 0, 1),
    ]


def test_a_value_that_only_the_test_part_holds_has_index_0(dataset):
    last = dataset.inputs(dataset.rows("test"))
    assert last["user"].tolist() == [0] and last["item"].tolist() == [0]
    assert last["age"].tolist() == [0] and last["device"].tolist() == [0]
    assert last["tags"].tolist() == [[1, 0]]  # "odd" is dropped, "x" stays
    assert dataset.unseen == {"user": 1, "item": 1, "age": 1, "income": 0, "tags": 1, "device": 1, "hour": 0}


def test_inputs_are_indices_of_the_vocabularies(dataset):
    inputs = dataset.inputs(np.arange(5))
    assert inputs["user"].tolist() == [2, 2, 2, 1, 1]
    assert inputs["item"].tolist() == [2, 1, 3, 2, 1]
    assert inputs["age"].tolist() == [1, 1, 1, 2, 2]
    assert inputs["tags"].tolist() == [[2, 1], [1, 0], [0, 0], [2, 1], [1, 0]]  # a repeated tag counts once
    assert inputs["device"].tolist() == [2, 1, 1, 2, 1]
    assert {inputs[name].dtype for name in ("user", "item", "age", "tags", "device")} == {np.dtype(np.int32)}


def test_numbers_are_standardised_by_the_mean_and_deviation_of_the_training_rows(dataset):
    # income over training rows: 2, 2, 2, 10 (mean 4, deviation sqrt(12)); hour: 0, 0, 4, 4 (mean 2, deviation 2).
    assert dataset.numeric["income"] == pytest.approx((4.0, np.sqrt(12.0)))
    assert dataset.numeric["hour"] == pytest.approx((2.0, 2.0))
    assert dataset.inputs([0, 3, 5])["hour"].tolist() == [-1.0, 1.0, 499.0]
    assert dataset.inputs([3])["income"][0] == pytest.approx(6 / np.sqrt(12))
    assert dataset.inputs([0])["income"].dtype == np.float32


def test_an_unseen_user_keeps_the_features_that_training_knows():
    users = pandas.DataFrame({"age": [30, 20, 20], "income": [10.0, 2.0, 2.0]}, index=[3, 5, 9])
    inputs = encode(make(users=users), PARTS).inputs([5])
    assert inputs["user"].tolist() == [0] and inputs["age"].tolist() == [1]


def test_unseen_users_stay_apart_as_rows_of_the_user_table():
    users = pandas.DataFrame({"age": [30, 20, 70, 20], "income": [1.0, 2.0, 3.0, 4.0]}, index=[3, 5, 9, 7])
    dataset = encode(make(user=np.array([5, 5, 5, 3, 9, 7]), users=users), PARTS)
    assert dataset.user_row.tolist() == [2, 2, 2, 1, 4, 3]
    assert dataset.user.tolist() == [2, 2, 2, 1, 0, 0]


def test_raw_inputs_give_the_values_back_in_their_own_type(dataset):
    raw = dataset.raw_inputs(np.arange(6))
    assert raw["user"].tolist() == [5, 5, 5, 3, 3, 9]
    assert raw["item"].tolist() == ["b", "a", "c", "b", "a", "z"]
    assert raw["age"].tolist() == [20, 20, 20, 30, 30, -1]
    assert raw["tags"].tolist() == [["y", "x"], ["x", ""], ["", ""], ["y", "x"], ["x", ""], ["x", ""]]
    np.testing.assert_allclose(raw["hour"], [0, 0, 4, 4, 10, 1000], rtol=1e-6)
    np.testing.assert_allclose(raw["income"], [2, 2, 2, 10, 10, 999], rtol=1e-6)


def test_pairs_take_features_of_user_and_item_and_context_of_a_row(dataset):
    pair = dataset.pair_inputs(np.array([1]), np.array([3]), np.array([1]))
    assert {name: values.tolist() for name, values in pair.items() if name != "income"} == {
        "user": [1],
        "item": [3],
        "age": [2],
        "tags": [[0, 0]],
        "device": [1],
        "hour": [-1.0],
    }
    with pytest.raises(ValueError, match="context_row"):
        dataset.pair_inputs(np.array([1]), np.array([3]))


def test_the_validation_and_test_rows_have_no_say_in_what_training_sees(dataset):
    changed = make(
        label=np.array([1, 0, 1, 0, 0, 1]),
        item=np.array(["b", "a", "c", "b", "c", "q"], object),
        users=pandas.DataFrame({"age": [30, 20, 44], "income": [10.0, 2.0, -5.0]}, index=[3, 5, 9]),
        items=pandas.DataFrame({"tags": [["x"], ["y", "x"], [], ["new", "y"]]}, index=["a", "b", "c", "q"]),
    )
    other = encode(changed, PARTS)
    rows = dataset.rows("train")
    for name, values in dataset.inputs(rows).items():
        np.testing.assert_array_equal(values, other.inputs(rows)[name])
    assert other.numeric == dataset.numeric and other.fields == dataset.fields


def test_unseen_values_can_be_refused_by_name_count_and_example():
    with pytest.raises(
        UserError, match=r"shop: 1 of 6 rows hold .* a value of 'user' .* e\.g\. 9\. Set `data\.unseen: unknown`"
    ):
        encode(make(), PARTS, unseen="error")
    known = make(
        user=np.array([5, 5, 5, 3, 3, 3]), item=np.array(["b", "a", "c", "b", "a", "a"], object), features=FEATURES[3:]
    )
    with pytest.raises(UserError, match=r"'device' .* e\.g\. 'tv'"):
        encode(known, PARTS, unseen="error")


def test_missing_cells_that_are_allowed_become_0_an_empty_bag_and_the_mean():
    features = [FeatureSpec(spec.name, of=spec.of, kind=spec.kind, missing="unknown") for spec in FEATURES]
    dataset = encode(
        make(
            features,
            users=pandas.DataFrame({"age": [None, 20, 70], "income": [np.nan, 2.0, 9.0]}, index=[3, 5, 9]),
            items=pandas.DataFrame({"tags": [None, ["y"], [], []]}, index=["a", "b", "c", "z"]),
        ),
        PARTS,
    )
    inputs = dataset.inputs([3, 4])
    assert inputs["age"].tolist() == [0, 0] and inputs["income"].tolist() == [0.0, 0.0]
    assert inputs["tags"].tolist() == [[1], [0]]
    assert dataset.vocabularies["age"].tolist() == [20] and dataset.vocabularies["age"].dtype == np.int64
    assert dataset.unseen["age"] == 1  # the 70 of the test row; a gap is no unseen value


def test_a_missing_cell_that_is_not_allowed_names_the_user():
    users = pandas.DataFrame({"age": [30, None, 70], "income": [1.0, 2.0, 3.0]}, index=[3, 5, 9])
    with pytest.raises(UserError, match="shop: 1 value is missing in column 'age', first at user 5"):
        encode(make(users=users), PARTS)


def test_an_id_without_features_is_named():
    users = pandas.DataFrame({"age": [30, 20], "income": [1.0, 2.0]}, index=[3, 5])
    with pytest.raises(UserError, match=r"1 id has no row in the user features, e\.g\. 9"):
        encode(make(users=users), PARTS)


def test_an_id_with_two_rows_of_features_is_named():
    users = pandas.DataFrame({"age": [30, 20, 70, 1], "income": [1.0, 2.0, 3.0, 4.0]}, index=[3, 5, 9, 5])
    with pytest.raises(UserError, match=r"1 id has two rows in the user features, e\.g\. 5"):
        encode(make(users=users), PARTS)


def test_a_bag_given_as_text_is_refused():
    items = pandas.DataFrame({"tags": ["x", "x|y", "", "y"]}, index=["a", "b", "c", "z"])
    with pytest.raises(UserError, match="'tags' is a bag, so its cells must be lists"):
        encode(make(items=items), PARTS)


def test_cells_that_share_one_list_are_encoded_like_cells_of_their_own():
    shared = ["y", "x"]
    one = pandas.DataFrame({"tags": [shared, ["x"], shared, shared]}, index=["a", "b", "c", "z"])
    own = pandas.DataFrame({"tags": [["y", "x"], ["x"], ["y", "x"], ["y", "x"]]}, index=["a", "b", "c", "z"])
    first, second = encode(make(items=one), PARTS), encode(make(items=own), PARTS)
    np.testing.assert_array_equal(first.item_features["tags"], second.item_features["tags"])
    assert first.item_features["tags"].tolist() == [[0, 0], [2, 1], [1, 0], [2, 1], [2, 1]]


def test_a_column_of_mixed_types_is_refused():
    context = make().context.assign(device=["web", 3, "app", "web", "app", "tv"])
    with pytest.raises(UserError, match="'device' mixes values of the types int, str"):
        encode(make(context=context), PARTS)


def test_a_constant_number_becomes_0():
    dataset = encode(make(context=make().context.assign(hour=[7.0] * 6)), PARTS)
    assert dataset.inputs([0, 5])["hour"].tolist() == [0.0, 0.0]


def test_a_split_of_another_length_or_without_training_rows_is_refused():
    with pytest.raises(ValueError, match="3 rows for 6 interactions"):
        encode(make(), PARTS[:3])
    with pytest.raises(ValueError, match="without training rows"):
        encode(make(), np.ones(6, np.int8))


def test_columns_of_different_lengths_and_other_labels_are_refused():
    with pytest.raises(UserError, match="6 users but 2 rows in `item`"):
        make(item=np.array(["a", "b"]))
    with pytest.raises(UserError, match="1 label is neither 0 nor 1, e.g. 3"):
        make(label=np.array([0, 1, 1, 3, 0, 1]))
    with pytest.raises(UserError, match="no column 'age' in the user features"):
        make(users=None)
