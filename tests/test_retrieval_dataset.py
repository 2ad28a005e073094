"""The batches of tf.data are those of Python, epoch after epoch."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tfdistill._retrieval_batches import Ahead, RetrievalBatches
from tfdistill._retrieval_dataset import DatasetBatches
from tfdistill.data.implicit import ImplicitDataset
from tfdistill.data.sequences import next_item_windows
from tfdistill.losses import RelaxedRankingDistillation

USERS, ITEMS = 5, 12
PAIRS = [[user, item] for user in range(USERS) for item in range(user, user + 4)]
DATA = ImplicitDataset(USERS, ITEMS, {"train": PAIRS, "validation": [], "test": []}, is_ordered=True)
BEST = np.array([[(user + place) % ITEMS for place in range(4, 10)] for user in range(USERS)], "int32")
RANKINGS = SimpleNamespace(items=BEST, scores=np.zeros(BEST.shape, "float32"))
LOSSES = [
    RelaxedRankingDistillation(2, 1, pool=4),
    RelaxedRankingDistillation(2, 0, pool=4, rows="all"),
]


def made(**arguments):
    return RetrievalBatches(DATA, epochs=3, rankings=RANKINGS, losses=LOSSES, seed=1, **arguments)


CASES = {
    "pairs": {"batch_size": 8, "negatives": 2},
    "pairs of whole batches": {"batch_size": 8, "negatives": 2, "drop_remainder": True},
    "windows": {"batch_size": 2, "windows": next_item_windows(DATA, 3)},
}


@pytest.mark.parametrize("case", CASES)
def test_they_are_the_same_in_every_epoch(case):
    arguments = CASES[case]
    drops = arguments.get("drop_remainder", False)
    expected, of_epochs = made(**arguments), DatasetBatches(made(**arguments), drops)
    for epoch in range(3):
        expected.on_epoch_begin()
        of_epochs.on_epoch_begin(epoch)
        batches = list(of_epochs.dataset.as_numpy_iterator())
        assert len(batches) == len(expected) == len(of_epochs.dataset)
        for index, batch in enumerate(batches):
            keras.tree.map_structure(np.testing.assert_array_equal, batch, expected[index])
    sizes = {spec.shape[0] for spec in keras.tree.flatten(of_epochs.dataset.element_spec)}
    assert sizes == ({8} if drops else {None})


def test_rows_of_a_batch_have_the_candidates_of_their_users():
    batch = made(batch_size=20)[0]
    for place, width in (("0", 3), ("1", 2)):
        assert batch["candidates"][place]["item"].shape == (20, width)
    own = {user: set(batch["candidates"]["0"]["item"][batch["user"] == user].ravel()) for user in range(USERS)}
    assert all(len(items) == 3 for items in own.values())  # the same three for every pair of a user
    np.testing.assert_array_equal(batch["candidates"]["1"]["row_weight"], np.full(20, USERS / 20, "float32"))


def test_what_comes_next_is_drawn_before_it_is_asked_for_and_nothing_past_the_end():
    drawn = []
    ahead = Ahead(lambda number: drawn.append(number) or number, 3)
    assert [ahead(0), ahead(1), ahead(2)] == [0, 1, 2]
    assert drawn == [0, 1, 2]
    assert ahead(0) == 0  # begun again


def test_what_goes_wrong_ahead_is_told_when_it_is_asked_for():
    def draw(number):
        if number:
            raise ValueError("no item left")

    ahead = Ahead(draw, 2)
    ahead(0)
    with pytest.raises(ValueError, match="no item left"):
        ahead(1)
