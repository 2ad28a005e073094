import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses.pooling import pool_to_smaller

GENERATOR = np.random.default_rng(0)


def adaptively_pooled(maps, sizes):
    """Average pooling by its definition: cell o of n covers floor(o*size/n) to ceil((o+1)*size/n) of each axis."""
    for axis, cells in enumerate(sizes, start=1):
        size = maps.shape[axis]
        windows = [range(cell * size // cells, -((cell + 1) * size // -cells)) for cell in range(cells)]
        maps = np.stack([maps.take(list(window), axis=axis).mean(axis) for window in windows], axis=axis)
    return maps


@pytest.mark.parametrize(
    ("larger", "smaller"), [((8, 8), (4, 4)), ((7, 5), (3, 4)), ((6,), (4,)), ((4, 5, 3), (2, 3, 1))]
)
def test_the_larger_map_is_averaged_to_the_size_of_the_smaller(larger, smaller):
    large = GENERATOR.normal(size=(2, *larger, 3)).astype("float32")
    small = tf.constant(GENERATOR.normal(size=(2, *smaller, 5)), "float32")
    first, second = pool_to_smaller(tf.constant(large), small), pool_to_smaller(small, tf.constant(large))[::-1]
    for pooled, untouched in (first, second):
        np.testing.assert_allclose(pooled, adaptively_pooled(large, smaller), rtol=1e-5, atol=1e-6)
        assert untouched is small


def test_every_axis_takes_its_own_smaller_size():
    tall, wide = tf.ones((1, 6, 2, 3)), tf.ones((1, 3, 4, 1))
    assert [tuple(maps.shape) for maps in pool_to_smaller(tall, wide)] == [(1, 3, 2, 3), (1, 3, 2, 1)]


def test_maps_of_unknown_size_are_returned_as_they_are():
    known, unknown = keras.KerasTensor((None, 8, 8, 3)), keras.KerasTensor((None, None, 4, 3))
    assert pool_to_smaller(known, unknown) == (known, unknown)
