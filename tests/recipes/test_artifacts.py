"""Which rows set the ranges of int8 files."""

import numpy as np
import pytest

from tfdistill.data import ImageDataset
from tfdistill.recipes.stages.artifacts import calibration_rows


@pytest.fixture(scope="module")
def clicks(finished):
    from tfdistill.recipes.tasks import TASKS

    return TASKS["click-through"].open(finished / "data" / "dataset.npz")


def test_every_item_and_then_every_user_has_a_row_before_any_has_a_second(clicks):
    rows = clicks.rows("train")
    items, users = (len(np.unique(side[rows])) for side in (clicks.item_row, clicks.user_row))
    chosen = calibration_rows(clicks, items, seed=1)
    assert len(np.unique(clicks.item_row[chosen])) == items
    chosen = calibration_rows(clicks, items + users, seed=1)
    assert len(np.unique(chosen)) == items + users and np.isin(chosen, rows).all()
    assert len(np.unique(clicks.user_row[chosen])) == users
    np.testing.assert_array_equal(chosen, calibration_rows(clicks, items + users, seed=1))
    assert (chosen != calibration_rows(clicks, items + users, seed=2)).any()


def test_no_more_rows_are_drawn_than_there_are(clicks):
    rows = clicks.rows("train")
    np.testing.assert_array_equal(np.sort(calibration_rows(clicks, 10**6, seed=1)), np.sort(rows))


def test_images_are_drawn_alike():
    pixels = np.zeros((9, 2, 2, 1), np.uint8)
    images = ImageDataset(
        pixels, np.zeros(9, np.int32), np.array([0] * 6 + [1, 2, 3], np.int8), 3, np.arange(9), "nine"
    )
    assert sorted(calibration_rows(images, 20, seed=1)) == [0, 1, 2, 3, 4, 5]
    assert len(calibration_rows(images, 4, seed=1)) == 4
