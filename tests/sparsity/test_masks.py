"""Masks against an independent implementation in NumPy, and numbers worked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.sparsity.masks import largest, largest_blocks, largest_of_every

GENERATOR = np.random.default_rng(0)


def by_sorting(magnitudes, sparsity):
    kept = max(int(np.round(np.float32(magnitudes.size) * (1 - np.float32(sparsity)))), 1)
    return magnitudes >= np.sort(magnitudes.ravel())[::-1][kept - 1]


def masks_of(values, sparsity):
    masks, threshold = largest([tf.abs(tf.constant(value)) for value in values], tf.constant(sparsity, "float32"))
    return [mask.numpy() for mask in masks], threshold.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.5, 0.9, 0.9999])
def test_the_largest_are_kept(sparsity, dtype):
    weight = (GENERATOR.normal(size=(17, 13)) * 10.0 ** GENERATOR.integers(-4, 4, (17, 13))).astype(dtype)
    (mask,), threshold = masks_of([weight], sparsity)
    np.testing.assert_array_equal(mask, by_sorting(np.abs(weight), sparsity))
    assert threshold.dtype == dtype
    assert threshold == np.abs(weight)[mask].min()


def test_entries_equal_to_the_smallest_kept_are_kept_too():
    (mask,), threshold = masks_of([np.array([3.0, -1.0, 1.0, 1.0, 0.5, 0.0], "float32")], 0.5)
    assert threshold == 1.0
    assert mask.tolist() == [True, True, True, True, False, False]


def test_nothing_is_pruned_where_the_smallest_kept_is_zero():
    (mask,), threshold = masks_of([np.array([2.0, 0.0, 0.0, 0.0], "float32")], 0.5)
    assert threshold == 0.0
    assert mask.all()


def test_one_is_kept_at_least():
    (mask,), _ = masks_of([np.array([1.0, -4.0, 2.0], "float32")], 0.99)
    assert mask.tolist() == [False, True, False]


def test_weights_ranked_together_have_one_threshold():
    small, large = np.array([0.1, -0.2, 0.3], "float32"), np.array([[1.0], [0.25], [-2.0]], "float32")
    masks, threshold = masks_of([small, large], 0.5)
    assert threshold == np.float32(0.3)
    assert [mask.ravel().tolist() for mask in masks] == [[False, False, True], [True, False, True]]


def test_blocks_are_kept_by_mean_or_by_maximum():
    weight = tf.constant([[9.0, 0.0, 4.0, 5.0], [0.0, 0.0, -4.0, 5.0]])
    half = tf.constant(0.5)
    (mask,), threshold = largest_blocks([weight], half, (2, 2), "AVG")  # means 2.25 and 4.5
    assert threshold.numpy() == 4.5
    assert mask.numpy().tolist() == [[False, False, True, True]] * 2
    (mask,), threshold = largest_blocks([weight], half, (2, 2), "MAX")  # maxima 9 and 5
    assert threshold.numpy() == 9.0
    assert mask.numpy().tolist() == [[True, True, False, False]] * 2


def test_blocks_of_a_single_column():
    weight = tf.constant([[1.0], [2.0], [3.0], [4.0], [9.0], [0.0]])
    (mask,), _ = largest_blocks([weight], tf.constant(0.6), (2, 1), "AVG")  # means 1.5, 3.5, 4.5; one is kept
    assert mask.numpy().ravel().tolist() == [False] * 4 + [True] * 2


def test_so_many_of_every_few_inputs_are_zero():
    weight = np.array([[1.0, 5.0], [-2.0, 6.0], [3.0, -7.0], [-4.0, 8.0], [0.5, 0.1]], "float32")
    mask = largest_of_every(tf.constant(weight), 2, 4).numpy()
    # Of inputs 0 to 3 the largest two an output; input 4 begins a group in which nothing else is.
    assert mask.tolist() == [[False, False], [False, False], [True, True], [True, True], [True, True]]


def test_so_many_of_every_few_inputs_of_a_convolution_are_zero():
    weight = GENERATOR.normal(size=(2, 3, 8, 5)).astype("float32")
    mask = largest_of_every(tf.constant(weight), 1, 4).numpy()
    groups = np.abs(weight).reshape(2, 3, 2, 4, 5)
    np.testing.assert_array_equal(mask.reshape(groups.shape), groups > groups.min(axis=3, keepdims=True))
