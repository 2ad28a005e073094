"""Rows in tiles of their groups."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses.tiles import TILE, Tiles

COUNT = 4


@pytest.fixture(params=["mixed", "one group", "none", "a full tile"])
def groups(request):
    random = np.random.default_rng(0)
    return {
        "mixed": random.integers(-1, COUNT + 1, 3 * TILE + 5),
        "one group": np.full(TILE + 1, 2),
        "none": np.full(3, COUNT),
        "a full tile": np.repeat(np.arange(COUNT), TILE),
    }[request.param].astype("int32")


def test_every_tile_holds_rows_of_one_group_in_their_order_and_each_row_once(groups):
    rows = np.arange(1, len(groups) + 1, dtype="float32")[:, None]
    tiles = Tiles(tf.constant(groups), COUNT)
    gathered = np.asarray(tiles.gather(tf.constant(rows)))[..., 0]
    assert gathered.shape == (len(groups) // TILE + COUNT, TILE)
    for group in range(COUNT):
        inside = gathered[np.asarray(tiles.group) == group].ravel()
        np.testing.assert_array_equal(inside[inside > 0], rows[groups == group, 0])


def test_what_is_scattered_back_are_the_rows_and_zeros_for_those_left_out(groups):
    vectors = np.random.default_rng(1).normal(size=(len(groups), 3)).astype("float32")
    tiles = Tiles(tf.constant(groups), COUNT)
    kept = ((groups >= 0) & (groups < COUNT))[:, None]
    np.testing.assert_array_equal(tiles.scatter_back(tiles.gather(tf.constant(vectors))), vectors * kept)


def test_squared_products_are_those_of_each_group(groups):
    one, other = (np.random.default_rng(i).normal(size=(len(groups), 2 + i)).astype("float32") for i in (2, 3))
    expected = sum(np.sum((one[groups == group].T @ other[groups == group]) ** 2) for group in range(COUNT))
    tiles = Tiles(tf.constant(groups), COUNT)
    found = tiles.squared_products(tf.constant(one), tf.constant(other), COUNT)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
