import numpy as np
import pytest

from tfdistill.data import ImplicitDataset
from tfdistill.data.complement import Complement
from tfdistill.errors import UserError

CHOSEN = [[0, 0], [0, 3], [0, 4], [0, 7], [2, 1], [3, 0], [3, 1], [3, 2], [3, 5], [3, 6], [3, 7], [3, 3]]


def lists(pairs, users, items):
    return ImplicitDataset(users, items, {"train": pairs, "validation": [], "test": []}).lists("train")


class Places:
    """Stands in for a generator: hands out the middle of every whole number of a user's line, one after the other."""

    def __init__(self, left):
        self.left = left

    def random(self, shape):
        return np.tile((np.arange(shape[1]) + 0.5) / self.left, (shape[0], 1))


@pytest.mark.parametrize("user, free", [(0, [1, 2, 5, 6]), (1, list(range(8))), (2, [0, 2, 3, 4, 5, 6, 7]), (3, [4])])
def test_a_users_line_holds_the_other_items_in_order(user, free):
    complement = Complement(lists(CHOSEN, 4, 8), 8)
    assert complement.draw([user], len(free), Places(len(free))).tolist() == [free]


def test_the_order_of_the_pairs_makes_no_difference():
    order = np.random.default_rng(0).permutation(len(CHOSEN))
    users = np.arange(4).repeat(50)
    one = Complement(lists(CHOSEN, 4, 8), 8).draw(users, 3, np.random.default_rng(1))
    other = Complement(lists(np.array(CHOSEN)[order], 4, 8), 8).draw(users, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", [None, np.array([5.0, 1.0, 0.0, 2.0, 3.0, 0.25, 4.0, 10.0])])
def test_items_come_up_in_proportion_to_their_weights_among_those_not_chosen(weights):
    complement, count = Complement(lists(CHOSEN, 4, 8), 8, weights), 40_000
    drawn = complement.draw(np.arange(4), count, np.random.default_rng(0))
    for user in range(4):
        share = np.ones(8) if weights is None else weights.copy()
        share[[item for who, item in CHOSEN if who == user]] = 0
        share /= share.sum()
        deviation = np.sqrt(count * share * (1 - share))
        found = np.bincount(drawn[user], minlength=8)
        assert (np.abs(found - count * share) <= 4.5 * deviation).all()


def test_random_data_never_gives_a_chosen_item():
    random = np.random.default_rng(0)
    pairs = np.unique(random.integers(0, [50, 40], (900, 2)), axis=0)
    for weights in (None, random.random(40)):
        drawn = Complement(lists(pairs, 50, 40), 40, weights).draw(np.arange(50), 500, random)
        chosen = {tuple(pair) for pair in pairs.tolist()}
        assert not any((user, item) in chosen for user in range(50) for item in np.unique(drawn[user]).tolist())
        assert 0 <= drawn.min() and drawn.max() < 40


def test_a_user_who_chose_everything_is_refused():
    complement = Complement(lists([[0, 0], [0, 1], [1, 0]], 2, 2), 2)
    assert complement.draw([1], 2, np.random.default_rng(0)).tolist() == [[1, 1]]
    with pytest.raises(UserError, match="user 0 has no item left to draw"):
        complement.draw([1, 0], 1, np.random.default_rng(0))


def test_many_draws_are_those_of_one_stream_however_they_are_cut(monkeypatch):
    complement, users = Complement(lists(CHOSEN, 4, 8), 8), np.tile(np.arange(4), 25)
    whole = complement.draw(users, 3, np.random.default_rng(0))
    monkeypatch.setattr("tfdistill.data.complement.DRAWN_AT_A_TIME", 7)
    np.testing.assert_array_equal(complement.draw(users, 3, np.random.default_rng(0)), whole)
