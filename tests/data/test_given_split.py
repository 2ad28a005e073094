import numpy as np
import pytest

from tfdistill.data import from_split
from tfdistill.errors import UserError

PARTS = {"train": [[0, 1], [2, 0]], "valid": [[0, 3]], "test": [[2, 1]]}


@pytest.mark.parametrize(
    "name, unseen", [("citeulike-topology", {"validation": 272, "test": 299}), ("citeulike-derrd", None)]
)
def test_citeulike_has_5219_users_and_25181_items_as_its_largest_numbers_say(shared_data, name, unseen):
    path = shared_data(name) / "split.npz"
    data = from_split(path)
    assert (data.users, data.items) == (5_219, 25_181)
    assert {part: len(pairs) for part, pairs in data.pairs.items()} == {
        "train": 115_142,
        "validation": 5_219,
        "test": 5_219,
    }
    # Every user has one pair in validation and one in test.
    assert (data.lists("test").lengths == 1).all() and (data.lists("validation").lengths == 1).all()
    with np.load(path) as file:
        np.testing.assert_array_equal(data.pairs["validation"], file["valid"])
        known = set(file["train"][:, 1].tolist())
        expected = {
            part: sum(item not in known for item in file[array][:, 1].tolist())
            for part, array in (("validation", "valid"), ("test", "test"))
        }
    assert data.summary()["pairs_of_unseen_items"] == expected == (unseen or expected)
    assert data.summary()["pairs_of_unseen_users"] == {"validation": 0, "test": 0}


def test_counts_are_the_largest_numbers_plus_one_over_all_parts():
    data = from_split(PARTS)
    assert (data.users, data.items) == (3, 4)
    assert data.pairs["validation"].tolist() == [[0, 3]] and data.pairs["validation"].dtype == np.int32
    assert not data.is_ordered and data.user_ids is None


def test_more_users_and_items_than_the_pairs_show_may_be_named():
    data = from_split(PARTS, users=9, items=8)
    assert (data.users, data.items) == (9, 8)
    with pytest.raises(ValueError, match="`items`, expected at least 4. Received: 3"):
        from_split(PARTS, items=3)


def test_validation_may_be_absent_and_the_names_of_its_array_vary():
    assert len(from_split({"train": [[0, 0]], "test": [[0, 1]]}).pairs["validation"]) == 0
    assert len(from_split({"train": [[0, 0]], "validation": [[0, 1]]}).pairs["validation"]) == 1


@pytest.mark.parametrize(
    "match, parts",
    [
        ("1 pairs occur more than once, such as user 0 and item 1", PARTS | {"test": [[0, 1]]}),
        ("user 2 and item 0", PARTS | {"train": [[2, 0], [2, 0]]}),
        ("no pair to train on", PARTS | {"train": []}),
        ("expected the arrays train, valid .* Received: test", {"test": [[0, 1]]}),
        ("Received: fold, train", {"train": [[0, 1]], "fold": [[0, 2]]}),
        ("valid and validation mean the same part", PARTS | {"validation": [[0, 2]]}),
        (r"`train` must be whole numbers of the shape \[n, 2\]. Received: int64 \[1, 3\]", {"train": [[1, 2, 3]]}),
        ("Received: float64", {"train": [[0.5, 1.0]]}),
        ("numbers from 0 to .* Received: -1 to 2", {"train": [[0, -1], [2, 0]]}),
    ],
)
def test_what_is_no_split_is_refused(match, parts):
    with pytest.raises(UserError, match=match):
        from_split({name: np.array(pairs) if len(pairs) else np.empty((0, 2), int) for name, pairs in parts.items()})


def test_a_file_that_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(UserError, match="no file .*none.npz"):
        from_split(tmp_path / "none.npz")
    damaged = tmp_path / "split.npz"
    damaged.write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="split.npz: not a .npz file of arrays, or damaged"):
        from_split(damaged)
