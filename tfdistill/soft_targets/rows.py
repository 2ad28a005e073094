"""From example ids to rows of a cache."""

import numpy as np
import tensorflow as tf


class RowIndex:
    """Finds the rows of example ids, in numpy and inside tf.data: -1 for an id that is not there.

    Ids that fill their range well (0 to n, or a part of such, in any order) are looked up in a table; any others are
    searched in sorted order.

    Args:
        example_id: int64 [n], the ids by row, no two alike.
    """

    def __init__(self, example_id):
        count = len(example_id)
        self._first = int(example_id.min())
        span = int(example_id.max()) - self._first + 1
        dtype = np.int32 if count < 2**31 else np.int64
        if span <= 8 * count + 1024:
            self._sorted, self._rows = None, np.full(span, -1, dtype)
            self._rows[example_id - self._first] = np.arange(count, dtype=dtype)
        else:
            self._rows = np.argsort(example_id).astype(dtype)
            self._sorted = example_id[self._rows]

    def rows(self, example_id):
        """Returns the rows, int64 [n], of ids int64 [n]."""
        if self._sorted is None:
            # Comparing before subtracting: a difference of int64 can overflow.
            inside = (example_id >= self._first) & (example_id < self._first + len(self._rows))
            place = np.where(inside, example_id, self._first) - self._first
        else:
            place = np.minimum(np.searchsorted(self._sorted, example_id), len(self._sorted) - 1)
            inside = self._sorted[place] == example_id
        return np.where(inside, self._rows[place], -1).astype(np.int64)

    def on_tensors(self):
        """Returns a function that does the same on tensors, for use in a graph."""
        with tf.device("CPU:0"):
            rows = tf.constant(self._rows)
            ordered = None if self._sorted is None else tf.constant(self._sorted)
        first, last = self._first, self._first + len(self._rows) - 1

        def find(example_id):
            if ordered is None:
                inside = (example_id >= first) & (example_id <= last)
                place = tf.where(inside, example_id, first) - first
            else:
                place = tf.minimum(tf.searchsorted(ordered, example_id, out_type=tf.int64), len(self._rows) - 1)
                inside = tf.gather(ordered, place) == example_id
            return tf.where(inside, tf.cast(tf.gather(rows, place), tf.int64), -1)

        return find
