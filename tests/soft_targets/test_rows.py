"""Rows by id, in NumPy and in a graph, beside a Python dict."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.soft_targets.rows import RowIndex

LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(50),
        np.arange(50)[::-1] - 20,
        np.random.default_rng(0).permutation(300)[:50],
        np.random.default_rng(0).integers(-(10**15), 10**15, 50),
        np.array([LEAST, MOST, 0, 5]),
        np.array([MOST, MOST - 2]),
        np.array([LEAST + 1, LEAST]),
        np.array([7]),
    ],
    ids=["range", "backwards", "part of a range", "sparse", "ends", "upper end", "lower end", "one"],
)
def test_rows_are_those_of_a_dict(ids):
    row_of = {int(one): row for row, one in enumerate(ids)}
    asked = np.unique(np.concatenate([ids, ids - 1, ids + 1, [LEAST, MOST, 0, -1]]))[::-1].copy()
    expected = [row_of.get(int(one), -1) for one in asked]
    index = RowIndex(ids.astype("int64"))
    np.testing.assert_array_equal(index.rows(asked), expected)
    np.testing.assert_array_equal(tf.function(index.on_tensors())(tf.constant(asked)), expected)
