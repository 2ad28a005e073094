import numpy as np
import pytest

from tfdistill.data import (
    ImplicitDataset,
    UniformNegatives,
    histories,
    implicit,
    next_item_batches,
    next_item_windows,
    read_sequences,
)
from tfdistill.errors import UserError

DATA = ImplicitDataset(
    3,
    20,
    {
        "train": [[0, 4], [0, 2], [0, 9], [0, 1], [0, 7], [1, 8], [2, 3], [2, 5]],
        "validation": [[0, 6], [2, 19]],
        "test": [[0, 11]],
    },
    is_ordered=True,
)


def test_histories_are_the_latest_items_plus_one_with_0_on_the_left():
    assert histories(DATA, max_length=3).tolist() == [[10, 2, 8], [0, 0, 9], [0, 4, 6]]
    assert histories(DATA, ("train", "validation"), 4).tolist() == [[10, 2, 8, 7], [0, 0, 0, 9], [0, 4, 6, 20]]
    assert histories(DATA, max_length=3).dtype == np.int32


def test_targets_are_what_came_next_and_users_with_one_training_item_have_no_window():
    windows = next_item_windows(DATA, max_length=3)
    assert windows["user"].tolist() == [0, 2]
    assert windows["history"].tolist() == [[3, 10, 2], [0, 0, 4]]
    assert windows["target"].tolist() == [[10, 2, 8], [0, 0, 6]]


def test_all_windows_hold_every_transition_once_from_the_end_on():
    windows = next_item_windows(DATA, max_length=3, windows="all")
    assert windows["user"].tolist() == [0, 0, 2]
    assert windows["history"].tolist() == [[3, 10, 2], [0, 0, 5], [0, 0, 4]]
    assert windows["target"].tolist() == [[10, 2, 8], [0, 0, 3], [0, 0, 6]]


def test_batches_have_negatives_where_there_are_targets():
    batches = next_item_batches(DATA, 3, 1, seed=1, epoch=0, negatives=UniformNegatives(DATA))
    rows = {int(batch["user"][0]): batch for batch in batches}
    assert sorted(rows) == [0, 2]
    for user, batch in rows.items():
        target, negative = batch["target"].numpy()[0], batch["negative"].numpy()[0]
        np.testing.assert_array_equal(negative > 0, target > 0)
        assert not set(negative[negative > 0] - 1) & set(DATA.lists("train").of(user))
    assert "negative" not in next(iter(next_item_batches(DATA, 3, 2, seed=1, epoch=0)))


def test_data_without_an_order_or_without_a_next_item_is_refused():
    unordered = ImplicitDataset(1, 3, {"train": [[0, 1], [0, 2]], "validation": [], "test": []})
    single = ImplicitDataset(2, 3, {"train": [[0, 1], [1, 2]], "validation": [], "test": []}, is_ordered=True)
    for make in (histories, next_item_windows):
        with pytest.raises(UserError, match="stand in no order of time"):
            make(unordered)
    with pytest.raises(UserError, match="no user has two training items"):
        next_item_windows(single)
    with pytest.raises(ValueError, match="`max_length`"):
        histories(DATA, max_length=0)
    with pytest.raises(ValueError, match="`windows`"):
        next_item_windows(DATA, windows="first")


def test_beauty_has_a_window_for_each_of_its_22363_users(shared_data):
    path = shared_data("beauty") / "Beauty.txt"
    data = implicit(read_sequences(path), "leave_one_out")
    assert (data.users, data.items) == (22_363, 12_101)
    assert sum(map(len, data.pairs.values())) == 198_502
    windows = next_item_windows(data, 50)
    assert windows["history"].shape == (22_363, 50)
    last = [int(line.split()[-1]) for line in path.read_text().splitlines()]
    lines = [[int(entry) for entry in line.split()] for line in path.read_text().splitlines()]
    # Its items are numbered from 1, so an entry of a history is the file's own number.
    for row in (0, 1, 500, 22_362):
        items = lines[row][1:-2]
        assert windows["history"][row].tolist() == ([0] * 50 + items[:-1])[-50:]
        assert windows["target"][row].tolist() == ([0] * 50 + items[1:])[-50:]
    np.testing.assert_array_equal(data.pairs["test"][:, 1] + 1, last)
    np.testing.assert_array_equal(histories(data, ("train", "validation"), 1)[:, 0], [line[-2] for line in lines])
