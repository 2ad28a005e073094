"""Drawing candidates."""

import itertools

import numpy as np
import pytest

from tfdistill.data.implicit import ImplicitDataset
from tfdistill.losses import RankingContext
from tfdistill.losses.candidates import Others, draw_places, student_places


def test_places_are_drawn_one_after_the_other_without_putting_back():
    weights = np.array([5.0, 3.0, 1.0, 1.0])
    rows = 4000
    drawn = draw_places(np.log(weights), 2, np.random.default_rng(0), rows)
    assert (np.diff(drawn, axis=1) > 0).all()
    for one, other in itertools.combinations(range(4), 2):
        first, second = weights[[one, other]] / 10
        expected = rows * (first * second / (1 - first) + second * first / (1 - second))
        found = np.sum((drawn == [one, other]).all(axis=1))
        assert abs(found - expected) < 4.5 * np.sqrt(expected)


def test_weights_may_differ_by_row_and_impossible_places_are_never_drawn():
    weights = np.where(np.arange(6) % 2 == np.arange(5000)[:, None] % 2, 0.0, -np.inf)
    drawn = draw_places(weights, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, 2 * np.arange(3) + np.arange(5000)[:, None] % 2)


@pytest.fixture
def context():
    dataset = ImplicitDataset(3, 8, {"train": [[0, 0], [0, 1], [1, 7]], "validation": [], "test": [[2, 5]]})
    return RankingContext(dataset, student_scores=lambda users: np.tile(np.arange(8.0), (len(users), 1)))


def test_others_are_all_but_training_pairs_and_the_teachers_best(context):
    others = Others(context, "user", np.array([[2, 3], [0, 1], [6, 7]], "int32"))
    drawn = others.draw(4, np.random.default_rng(0))
    assert [set(row) for row in drawn.tolist()] == [{4, 5, 6, 7}, set(drawn[1]), set(drawn[2])]
    assert set(drawn[1]) <= {2, 3, 4, 5, 6}
    assert set(drawn[2]) <= {0, 1, 2, 3, 4, 5}
    assert all(len(set(row)) == 4 for row in drawn)


def test_others_are_drawn_alike_however_few_are_left():
    rows, items = 3000, 40
    pairs = [[0, item] for item in range(37)] + [[row, 0] for row in range(1, rows)]
    context = RankingContext(ImplicitDataset(rows, items, {"train": pairs, "validation": [], "test": []}))
    drawn = Others(context, "user").draw(3, np.random.default_rng(0))
    assert set(drawn[0]) == {37, 38, 39}
    found = np.bincount(drawn[1:].ravel(), minlength=items)
    expected = 3 * (rows - 1) / 39
    assert found[0] == 0
    assert (np.abs(found[1:] - expected) < 4.5 * np.sqrt(expected)).all()


def test_others_of_items_are_users(context):
    drawn = Others(context, "item").draw(2, np.random.default_rng(0))
    assert drawn.shape == (8, 2)
    assert set(drawn[0]) == {1, 2}
    assert set(drawn[7]) == {0, 2}


def test_rows_with_too_few_left_are_named(context):
    with pytest.raises(ValueError, match="user 0 has 4 candidates left"):
        Others(context, "user", np.array([[2, 3], [0, 1], [6, 7]], "int32")).draw(5, np.random.default_rng(0))


def test_the_students_ranking_leaves_training_pairs_out(context):
    ((rows, best, places),) = student_places(context, "user", 3, "test")
    np.testing.assert_array_equal(rows, [0, 1, 2])
    np.testing.assert_array_equal(best, [[7, 6, 5], [6, 5, 4], [7, 6, 5]])
    np.testing.assert_array_equal(places[1], [3, 3, 3, 3, 2, 1, 0, 3])
