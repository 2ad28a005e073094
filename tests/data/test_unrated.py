import numpy as np
import pytest

from tfdistill.data import Interactions, encode, sample_unrated, synthetic
from tfdistill.data import split as divide
from tfdistill.data.unrated import DRAWS
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


def free_pairs(dataset):
    """Which pairs nobody rated in training, [users, items]; users and items of index 0 stand for the unknown."""
    free = np.ones((dataset.fields[0].size, dataset.fields[1].size), bool)
    free[0, :] = free[:, 0] = False
    rows = dataset.rows("train")
    free[dataset.user_row[rows], dataset.item_row[rows]] = False
    return free


def drawn_shares(dataset, count, draw, **arguments):
    user, item, rows = sample_unrated(dataset, count, 1, draw, **arguments)
    np.testing.assert_array_equal(dataset.user_row[rows], user)
    assert np.isin(rows, dataset.rows("train")).all()
    assert user.dtype == np.int32 and item.dtype == np.int32 and rows.dtype == np.int64
    drawn = np.zeros((dataset.fields[0].size, dataset.fields[1].size))
    np.add.at(drawn, (user, item), 1 / count)
    return drawn


def expected_shares(user_share, item_weight, free):
    chances = free * item_weight
    return user_share[:, None] * chances / np.maximum(chances.sum(1, keepdims=True), 1e-9)


def counts(values, size):
    return np.bincount(values, minlength=size).astype(float)


def test_popularity_draws_an_unrated_item_of_the_user_as_often_as_it_has_training_rows(dataset):
    rows, free = dataset.rows("train"), free_pairs(dataset)
    users, items = (
        counts(each[rows], size) for each, size in zip((dataset.user_row, dataset.item_row), free.shape, strict=True)
    )
    expected = expected_shares(users / users.sum(), items, free)
    np.testing.assert_allclose(drawn_shares(dataset, 400_000, "popularity"), expected, atol=4e-4)
    assert expected.max() > 4e-3


def test_uniform_users_draws_every_user_alike_and_every_unrated_item_of_theirs_alike(dataset):
    free = free_pairs(dataset)
    users = np.r_[0, np.full(free.shape[0] - 1, 1 / (free.shape[0] - 1))]
    np.testing.assert_allclose(
        drawn_shares(dataset, 400_000, "uniform_users"), expected_shares(users, 1.0, free), atol=4e-4
    )


def test_uniform_users_takes_every_training_row_of_a_user_alike_as_the_context(dataset):
    user, _, rows = sample_unrated(dataset, 400_000, 1, "uniform_users")
    training = dataset.rows("train")
    rows_of_user = counts(dataset.user_row[training], dataset.fields[0].size)
    expected = 1 / (dataset.fields[0].size - 1) / rows_of_user[dataset.user_row[training]]
    share = counts(rows, len(dataset))[training] / 400_000
    np.testing.assert_allclose(share, expected, rtol=0.05, atol=4e-4)


def test_the_teacher_draw_chooses_among_two_candidates_by_softmax(dataset):
    # Logit 0 for even items, ln 3 for odd ones: of an even and an odd candidate, the odd one is kept 3 times of 4.
    # With q the share of odd items among a user's unrated ones, an odd item is drawn with q² + 2q(1 - q) · 3/4.
    def score(user, item, context_rows):
        np.testing.assert_array_equal(dataset.user_row[context_rows], user)
        return np.where(item % 2, np.log(3.0), 0.0)[:, None]

    free = free_pairs(dataset)
    users = counts(dataset.user_row[dataset.rows("train")], free.shape[0])
    odd = free[:, 1::2].sum(1) / np.maximum(free.sum(1), 1)
    expected = users / users.sum() * (odd**2 + 1.5 * odd * (1 - odd))
    drawn = drawn_shares(dataset, 200_000, "teacher", score=score, candidates=2)
    assert not drawn[~free].any()
    np.testing.assert_allclose(drawn[:, 1::2].sum(1), expected, atol=2e-3)


def test_the_teacher_draw_takes_logits_of_any_size_and_one_candidate_is_uniform(dataset):
    def sure(user, item, context_rows):
        return np.where(item == 7, 1e4, -1e4)

    item = sample_unrated(dataset, 2000, 1, "teacher", score=sure, candidates=400)[1]
    free = free_pairs(dataset)
    users = counts(dataset.user_row[dataset.rows("train")], free.shape[0])
    assert (item == 7).mean() == pytest.approx((users * free[:, 7]).sum() / users.sum(), abs=0.03)
    drawn = drawn_shares(dataset, 200_000, "teacher", score=sure, candidates=1)
    np.testing.assert_allclose(drawn, expected_shares(users / users.sum(), 1.0, free), atol=7e-4)


def nearly_full(items, popular):
    """User 1 rated all items but the two that only user 2 rated: `items` - 1 (once) and `items` (three times)."""
    user = [1] * (items - 2 + popular) + [2] * 4 + [1, 1]
    item = [*range(1, items - 1), *[1] * popular, items - 1, items, items, items, 1, 1]
    return small(user, item)


@pytest.mark.parametrize(("draw", "share"), [("uniform", 1 / 2), ("popularity", 3 / 4)])
def test_a_user_who_rated_nearly_everything_gets_what_is_left_with_the_same_chances(draw, share):
    dataset = nearly_full(items=200, popular=20_000)
    user, item, _ = sample_unrated(dataset, 2000, 1, draw)
    mine = item[user == 1]
    assert len(mine) > 1900 and set(mine.tolist()) == {199, 200}
    assert (mine == 200).mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("draw", DRAWS)
def test_equal_seeds_give_equal_pairs_in_every_draw(dataset, draw):
    score = (lambda user, item, rows: item / 10) if draw == "teacher" else None
    first, again, other = (sample_unrated(dataset, 500, seed, draw, score=score) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[1], other[1])


def test_arguments_that_do_not_fit_the_draw_are_refused(dataset):
    with pytest.raises(ValueError, match="`draw`.*'popular'"):
        sample_unrated(dataset, 5, 1, "popular")
    with pytest.raises(ValueError, match="`score` must be a function"):
        sample_unrated(dataset, 5, 1, "teacher")
    with pytest.raises(ValueError, match='`score` is for draw="teacher" alone'):
        sample_unrated(dataset, 5, 1, "popularity", score=lambda user, item, rows: item)
    for candidates in (0, 2.0, True):
        with pytest.raises(ValueError, match="`candidates` must be an integer"):
            sample_unrated(dataset, 5, 1, "teacher", score=lambda user, item, rows: item, candidates=candidates)
