import numpy as np
import pytest

from tfdistill.data import Interactions, encode, sample_unrated, synthetic
from tfdistill.data import split as divide
from tfdistill.errors import UserError


@pytest.fixture(scope="module")
def dataset():
    interactions = synthetic(seed=1, users=60, items=40, interactions=900)
    return encode(interactions, divide(interactions, seed=1))


def pairs(user, item):
    return set(zip(np.asarray(user).tolist(), np.asarray(item).tolist(), strict=True))


def rated(dataset, part):
    rows = dataset.rows(part)
    return pairs(dataset.user_row[rows], dataset.item_row[rows])


def test_no_sampled_pair_is_a_rated_training_pair(dataset):
    user, item, _ = sample_unrated(dataset, 20_000, seed=1)
    assert not pairs(user, item) & rated(dataset, "train")


def test_pairs_of_validation_and_test_are_drawn_as_often_as_any_other_so_that_the_sample_tells_nothing(dataset):
    user, item, _ = sample_unrated(dataset, 200_000, seed=1)
    shape = (dataset.fields[0].size, dataset.fields[1].size)
    drawn, free, held_out = np.zeros(shape), np.ones(shape, bool), np.zeros(shape, bool)
    np.add.at(drawn, (user, item), 1)
    free[0, :] = free[:, 0] = False
    for one, other in rated(dataset, "train"):
        free[one, other] = False
    for one, other in rated(dataset, "validation") | rated(dataset, "test"):
        held_out[one, other] = free[one, other]
    assert held_out.sum() > 100
    # Every unrated item of a user is equally likely, so that a user's draws spread evenly over them.
    expected = drawn.sum(1) * held_out.sum(1) / np.maximum(free.sum(1), 1)
    assert drawn[held_out].sum() == pytest.approx(expected.sum(), rel=0.03)


def test_users_and_items_are_known_to_training(dataset):
    user, item, _ = sample_unrated(dataset, 5000, seed=1)
    assert user.min() >= 1 and user.max() < dataset.fields[0].size
    assert item.min() >= 1 and item.max() < dataset.fields[1].size
    assert user.dtype == np.int32 and item.dtype == np.int32


def test_context_rows_are_training_rows_of_that_user(dataset):
    user, _, rows = sample_unrated(dataset, 5000, seed=1)
    assert rows.dtype == np.int64
    assert np.isin(rows, dataset.rows("train")).all()
    np.testing.assert_array_equal(dataset.user_row[rows], user)


def test_users_come_as_often_as_they_have_training_rows(dataset):
    user, _, _ = sample_unrated(dataset, 400_000, seed=2)
    training = np.bincount(dataset.user_row[dataset.rows("train")], minlength=dataset.fields[0].size)
    share = np.bincount(user, minlength=dataset.fields[0].size) / 400_000
    np.testing.assert_allclose(share, training / training.sum(), atol=0.002)


def test_equal_seeds_give_equal_pairs_and_others_do_not(dataset):
    first, again, other = (sample_unrated(dataset, 1000, seed=seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[1], other[1])


def small(user, item):
    interactions = Interactions(user=np.array(user), item=np.array(item), label=np.arange(len(user)) % 2)
    return encode(interactions, np.array([0] * (len(user) - 2) + [1, 2]))


def test_a_user_who_rated_everything_is_left_out():
    # User 1 rated both items in training, user 2 only item 1: the one unrated pair is (2, 2).
    user, item, _ = sample_unrated(small([1, 1, 2, 1, 1], [1, 2, 1, 1, 1]), 50, seed=1)
    assert pairs(user, item) == {(2, 2)}


def test_data_without_an_unrated_pair_are_refused():
    with pytest.raises(UserError, match="every user rated every item"):
        sample_unrated(small([1, 1, 2, 2, 1, 1], [1, 2, 1, 2, 1, 1]), 50, seed=1)
