import numpy as np
import pytest

from tfdistill.data import ImplicitDataset, from_split, sampled_candidates
from tfdistill.errors import UserError

DATA = ImplicitDataset(
    3, 6, {"train": [[0, 0], [0, 1], [1, 1], [1, 2], [2, 1]], "validation": [[0, 2]], "test": [[0, 3], [2, 4]]}
)


def test_candidates_are_the_own_item_then_others_of_no_part_each_once():
    candidates = sampled_candidates(DATA, "test", 2, seed=5)
    assert candidates.dtype == np.int32 and candidates[:, 0].tolist() == [3, 4]
    assert sorted(candidates[0, 1:].tolist()) == [4, 5]
    assert set(candidates[1, 1:].tolist()) < {0, 2, 3, 5}
    np.testing.assert_array_equal(candidates, sampled_candidates(DATA, "test", 2, seed=5))


@pytest.mark.parametrize("count", [3, 10, 14])
def test_every_set_of_candidates_is_as_likely(count):
    data = ImplicitDataset(
        4000, 18, {"train": [[0, 1]], "validation": [], "test": [[user, user % 18] for user in range(1, 4000)]}
    )
    candidates = sampled_candidates(data, "test", count, seed=0)
    others = candidates[:, 1:]
    assert all(len(set(row)) == count + 1 for row in candidates.tolist())
    # How far each other item lies from the own one: 17 distances, each in a share count / 17 of the rows.
    distance = (others - candidates[:, :1]) % 18
    found, share = np.bincount(distance.ravel(), minlength=18)[1:], count / 17
    assert (np.abs(found - 3999 * share) < 4.5 * np.sqrt(3999 * share * (1 - share))).all()


def test_more_candidates_than_there_are_items_is_refused():
    with pytest.raises(UserError, match="user 0 has 2 items in no part, fewer than the 3 candidates"):
        sampled_candidates(DATA, "test", 3)
    with pytest.raises(ValueError, match="invalid parts, expected some of"):
        sampled_candidates(DATA, "exam")
    with pytest.raises(ValueError, match="`count`"):
        sampled_candidates(DATA, "test", 0)


def test_citeulike_has_499_candidates_beside_each_test_item(shared_data):
    data = from_split(shared_data("citeulike-derrd") / "split.npz")
    candidates = sampled_candidates(data, "test", 499, seed=1)
    assert candidates.shape == (5_219, 500)
    np.testing.assert_array_equal(candidates[:, 0], data.pairs["test"][:, 1])
    assert (np.diff(np.sort(candidates, axis=1), axis=1) > 0).all()
    owned = np.zeros((data.users, data.items), bool)
    for pairs in data.pairs.values():
        owned[pairs[:, 0], pairs[:, 1]] = True
    assert not owned[data.pairs["test"][:, :1], candidates[:, 1:]].any()
    assert not np.array_equal(candidates, sampled_candidates(data, "test", 499, seed=2))
