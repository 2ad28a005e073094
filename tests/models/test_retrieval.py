"""Vectors of all users and items, histories, and frozen models."""

import keras
import numpy as np
import pytest

from tests.models.small_models import ITEM_FIELDS, ITEMS, RETRIEVAL, USER_FIELDS, USERS, shuffled, small_dataset
from tfdistill.data.implicit import ImplicitDataset, ItemLists
from tfdistill.models import (
    bpr_mf,
    frozen,
    histories,
    item_vectors,
    retrieval_model,
    sas_rec,
    towers,
    two_tower,
    user_vectors,
)
from tfdistill.quantization import quantize_model
from tfdistill.sparsity import ConstantSparsity, prune_low_magnitude

LISTS = ItemLists(np.array([0, 3, 3, 4]), np.array([7, 8, 9, 5], np.int32))


def tower(name, width, inputs):
    given = {key: keras.Input((2,), name=key) for key in inputs}
    return keras.Model(given, keras.layers.Dense(width)(next(iter(given.values()))), name=name)


@pytest.mark.parametrize(
    "length, expected",
    [(2, [[9, 10], [0, 0], [0, 6]]), (4, [[0, 8, 9, 10], [0, 0, 0, 0], [0, 0, 0, 6]])],
)
def test_a_history_is_the_last_items_plus_one_with_zeros_on_the_left(length, expected):
    filled = histories(LISTS, length)
    np.testing.assert_array_equal(filled, expected)
    assert filled.dtype == np.int32


@pytest.mark.parametrize("batch_size", [7, 4096])
def test_vectors_of_matrix_factorisation_are_its_tables(batch_size):
    model, data = bpr_mf(USERS, ITEMS, 4, item_bias=True), small_dataset()
    tables = {variable.path.split("/")[0]: variable.numpy() for variable in shuffled(model).variables}
    users, items = user_vectors(model, data, batch_size), item_vectors(model, data, batch_size)
    np.testing.assert_array_equal(users, np.concatenate([tables["embed_user"], np.ones((USERS, 1))], axis=1))
    np.testing.assert_array_equal(items, np.concatenate([tables["embed_item"], tables["item_bias"]], axis=1))
    assert users.dtype == items.dtype == np.float32


def test_vectors_over_features_take_histories_numbers_and_features_from_the_data():
    model, data = shuffled(RETRIEVAL["two_tower"]()), small_dataset()
    given = {
        "user": np.arange(USERS),
        "history": histories(data.lists("train", "validation"), 6),
        "age": data.user_features["age"],
    }
    users = user_vectors(model, data, batch_size=11, parts=("train", "validation"))
    np.testing.assert_allclose(users, towers(model)[0](given), rtol=1e-5, atol=1e-6)
    given = {"item": np.arange(ITEMS), **data.item_features}
    np.testing.assert_allclose(item_vectors(model, data), towers(model)[1](given), rtol=1e-5, atol=1e-6)


def test_vectors_depend_on_the_parts_that_histories_come_from():
    data = ImplicitDataset(1, 5, {"train": [[0, 1]], "validation": [[0, 2]], "test": []})
    model = shuffled(sas_rec(5, 3, 4))
    expected = model.get_layer("user_tower")({"history": np.array([[0, 2, 3]])})
    np.testing.assert_allclose(user_vectors(model, data, parts=("train", "validation")), expected, rtol=1e-5)
    assert not np.allclose(user_vectors(model, data), expected)


def test_vectors_of_a_pruned_model_are_those_of_its_masked_tables():
    model, data = shuffled(bpr_mf(USERS, ITEMS, 4)), small_dataset()
    table = model.get_layer("user_tower").get_layer("embed_user").get_weights()[0]
    pruned = prune_low_magnitude(model, ConstantSparsity(0.75, 0, frequency=1), layers=["embed_user"])
    pruned.compile(keras.optimizers.SGD(0.0), "mse")
    pruned.fit({"user": np.arange(3), "item": np.arange(3)}, np.zeros(3), verbose=0)
    kept = np.abs(table) >= np.sort(np.abs(table).ravel())[-USERS * 4 // 4]
    np.testing.assert_array_equal(user_vectors(pruned, data), table * kept)


def test_vectors_of_a_quantised_model_lie_on_its_grid():
    model, data = shuffled(bpr_mf(USERS, ITEMS, 4)), small_dataset()
    table = model.get_layer("item_tower").get_layer("embed_item").get_weights()[0]
    step = np.abs(table).max() / 127
    expected = np.floor(table / step + 0.5) * step
    np.testing.assert_allclose(item_vectors(quantize_model(model), data), expected, rtol=1e-5, atol=1e-6)


def test_vectors_of_a_feature_that_the_data_lacks_are_refused():
    data = ImplicitDataset(USERS, ITEMS, {"train": [[0, 1]], "validation": [], "test": []})
    model = two_tower(USER_FIELDS, ITEM_FIELDS)
    with pytest.raises(ValueError, match="`dataset` has no feature for the input 'age' of user_tower"):
        user_vectors(model, data)
    data.item_features = {"genres": np.zeros((3, 3), np.int32), "price": np.zeros(ITEMS)}
    with pytest.raises(ValueError, match="expected 50 values of 'genres' for item_tower. Received: 3"):
        item_vectors(model, data)


@pytest.mark.parametrize("kind", sorted(RETRIEVAL))
def test_a_frozen_model_gives_every_pair_of_the_data_the_same_score(kind):
    model, data = shuffled(RETRIEVAL[kind]()), small_dataset()
    users, items = user_vectors(model, data), item_vectors(model, data)
    plain = frozen(model, data)
    assert plain.name == f"{model.name}_frozen"
    assert {variable.shape[0] for variable in plain.variables} == {USERS, ITEMS}
    pairs = np.stack(np.meshgrid(np.arange(USERS), np.arange(ITEMS), indexing="ij"), axis=-1).reshape(-1, 2)
    scores = plain({"user": pairs[:, 0], "item": pairs[:, 1]})
    np.testing.assert_allclose(np.reshape(scores, (USERS, ITEMS)), users @ items.T, rtol=1e-4, atol=1e-5)


def test_towers_of_two_widths_or_with_one_input_for_both_are_refused():
    with pytest.raises(ValueError, match=r"vectors of one width. Received: \[3, 4\]"):
        retrieval_model(tower("user_tower", 3, ["a"]), tower("item_tower", 4, ["b"]), "model")
    with pytest.raises(ValueError, match=r"inputs of different names. Received in both: \['a'\]"):
        retrieval_model(tower("user_tower", 3, ["a"]), tower("item_tower", 3, ["a"]), "model")


@pytest.mark.parametrize("not_a_model", [None, "model.keras"])
def test_what_is_no_model_has_no_towers(not_a_model):
    with pytest.raises(ValueError, match="`model` must have the sub-models user_tower and item_tower"):
        towers(not_a_model)
