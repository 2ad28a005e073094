"""The exposure set: what it pairs and what it weighs."""

import numpy as np
import pytest

from tfdistill.data import ExposureSet, encode, split, synthetic


@pytest.fixture(scope="module")
def dataset():
    interactions = synthetic(seed=1, users=60, items=40, interactions=1500)
    return encode(interactions, split(interactions, seed=1))


def test_an_epoch_has_every_training_row_once_with_its_label(dataset):
    rows = dataset.rows("train")
    pairs, (liked, rated), (weight, _) = ExposureSet(dataset, seed=1).epoch(0)
    np.testing.assert_array_equal(pairs["item_row"][: len(rows)], dataset.item_row[rows])
    np.testing.assert_array_equal(liked[: len(rows), 0], dataset.label[rows])
    assert rated.sum() == weight.sum() == len(rows)


def test_a_drawn_pair_that_is_rated_in_training_has_no_weight(dataset):
    rows = dataset.rows("train")
    known = set(zip(dataset.user_row[rows].tolist(), dataset.item_row[rows].tolist(), strict=True))
    pairs, _, (_, weight) = ExposureSet(dataset, seed=1).epoch(0)
    drawn = zip(pairs["user_row"][len(rows) :].tolist(), pairs["item_row"][len(rows) :].tolist(), strict=True)
    assert [pair in known for pair in drawn] == (weight[len(rows) :] == 0).tolist()


def test_items_are_drawn_as_often_as_they_are_rated_and_anew_every_epoch(dataset):
    rows = dataset.rows("train")
    pairs = ExposureSet(dataset, seed=1)
    first, second = (pairs.epoch(number)[0]["item_row"][len(rows) :] for number in (0, 1))
    np.testing.assert_array_equal(np.bincount(first), np.bincount(dataset.item_row[rows]))
    assert (first != second).any()
    np.testing.assert_array_equal(first, pairs.epoch(0)[0]["item_row"][len(rows) :])
