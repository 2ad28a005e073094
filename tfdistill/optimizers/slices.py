"""Gradients of tables: the rows that a batch looked up, and how the loss changes with each."""

import tensorflow as tf
from tensorflow.python.framework.ops import get_default_graph
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def compiling_with_xla():
    """Whether what is traced now is compiled by XLA (`jit_compile=True`, or a TPU)."""
    return not tf.executing_eagerly() and GraphOrParentsInXlaContext(get_default_graph())


def summed_by_row(slices, rows):
    """The same gradient with each row once, which squares and norms need.

    XLA wants shapes that do not hang on which ids repeat. There the result has as many rows as came in, or as a
    small table has: those over hold zeros for an id just past the table, which XLA's scatter leaves out.

    Args:
        slices: `tf.IndexedSlices`, values [n, ...] and indices [n] in any order, with repeats.
        rows: how many the table has.

    Returns: `tf.IndexedSlices` of the same dense shape.
    """
    ids, values = slices.indices, slices.values
    if not compiling_with_xla():
        unique, place = tf.unique(ids)
        return tf.IndexedSlices(
            tf.math.unsorted_segment_sum(values, place, tf.size(unique)), unique, slices.dense_shape
        )
    count, past = ids.shape[0], tf.cast(rows, ids.dtype)
    if count is not None and 2 * count >= rows:  # the whole table takes less time than sorting ids
        every = tf.range(past, dtype=ids.dtype)
        touched = tf.scatter_nd(ids[:, None], tf.ones_like(ids), [rows]) > 0
        return tf.IndexedSlices(
            tf.math.unsorted_segment_sum(values, ids, rows), tf.where(touched, every, past), slices.dense_shape
        )
    order = tf.argsort(ids, stable=True)
    ids, count = tf.gather(ids, order), tf.size(ids)
    place = tf.cumsum(tf.concat([tf.zeros_like(ids[:1]), tf.cast(ids[1:] != ids[:-1], ids.dtype)], axis=0))
    unique = tf.tensor_scatter_nd_update(tf.fill([count], past), place[:, None], ids)
    return tf.IndexedSlices(
        tf.math.unsorted_segment_sum(tf.gather(values, order), place, count), unique, slices.dense_shape
    )


def values_of(gradient):
    """The numbers of a gradient, dense or of rows."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def with_values(gradient, values):
    """The gradient with other numbers, for the same rows where it has rows."""
    if not isinstance(gradient, tf.IndexedSlices):
        return values
    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
