"""Each weight's nearest centroid, without a tensor of weights by centroids, and the gradients through it."""

import math

import numpy as np
import tensorflow as tf

SMALLEST = np.finfo("float32").smallest_normal


def clustered(values, centroids, average=False, compiled=False):
    """Returns the nearest centroid of every value, in the shape of the values.

    y_i = c[a_i], a_i = argmin_j |w_i - c_j|; of equally near centroids the first is taken.

    The gradient of the values is the gradient of y as it is (a straight-through estimate). The gradient of a centroid is
    the sum, or the mean, of those of its values. Time per value grows with the logarithm of the number of centroids.

    Args:
        values: float32 tensor (..., channels).
        centroids: float32 tensor (clusters,) for all values, or (channels, clusters).
        average: whether the gradient of a centroid is the mean.
        compiled: whether to compile this part with XLA, also where the rest of the step is not; twenty times as fast.
    """
    nearest_of, aggregated = (_compiled_nearest, _compiled_aggregated) if compiled else (_nearest, _aggregated)

    @tf.custom_gradient
    def through(values, centroids):
        nearest, places, owners = nearest_of(values, centroids)

        def gradient(upstream):
            upstream = tf.convert_to_tensor(upstream)  # that of an Embedding's table comes as IndexedSlices
            return upstream, aggregated(upstream, places, owners, average)

        return nearest, gradient

    return through(values, centroids)


def _nearest(values, centroids):
    """(nearest centroids, their places among the sorted ones of all channels, the centroid that each place belongs to)."""
    channels = centroids.shape[0] if len(centroids.shape) == 2 else 1
    clusters = centroids.shape[-1]
    table = tf.reshape(centroids, (channels, clusters))
    order = tf.argsort(table, axis=-1, stable=True)
    ascending = tf.gather(table, order, batch_dims=1)
    # Among equal centroids the first one owns all values: those that sort after it keep still until it moves away.
    firsts = tf.searchsorted(ascending, ascending, side="left")
    owners = tf.gather(order, firsts, batch_dims=1) + clusters * tf.range(channels)[:, tf.newaxis]

    middles = (ascending[:, 1:] + ascending[:, :-1]) / 2
    is_upper_first = owners[:, 1:] < owners[:, :-1]
    # A value on the middle goes to the centroid that comes first. Below 0 the next number is one that processors take for 0.
    below_middles = tf.where(
        middles == 0, -SMALLEST, tf.math.nextafter(middles, tf.fill(tf.shape(middles), -float("inf")))
    )
    borders = tf.where(is_upper_first, below_middles, middles)

    flat = tf.reshape(values, (-1, channels))
    places = _count_below(flat, borders) + clusters * tf.range(channels)
    nearest = tf.reshape(tf.gather(tf.reshape(ascending, [-1]), places), tf.shape(values))
    return tf.ensure_shape(nearest, values.shape), tf.reshape(places, [-1]), tf.reshape(owners, centroids.shape)


def _count_below(values, borders):
    """How many of a channel's ascending borders are below each value, by binary search.

    Args:
        values: tensor (values, channels).
        borders: tensor (channels, clusters - 1).
    """
    channels, count = borders.shape
    width = 1 << count.bit_length()
    borders = tf.reshape(tf.pad(borders, ((0, 0), (0, width - count)), constant_values=float("inf")), [-1])
    starts = width * tf.range(channels)
    found = tf.zeros(tf.shape(values), tf.int32)
    stride = width // 2
    while stride:
        found += tf.where(values > tf.gather(borders, starts + found + (stride - 1)), stride, 0)
        stride //= 2
    return found


def _aggregated(upstream, places, owners, average):
    """The gradients of the centroids, in their shape and order."""
    count = math.prod(owners.shape)

    def by_centroid(numbers):
        by_place = tf.math.unsorted_segment_sum(numbers, places, count)
        return tf.reshape(tf.math.unsorted_segment_sum(by_place, tf.reshape(owners, [-1]), count), owners.shape)

    total = by_centroid(tf.reshape(upstream, [-1]))
    if average:
        total = tf.math.divide_no_nan(total, tf.cast(by_centroid(tf.ones_like(places)), total.dtype))
    return total


_compiled_nearest = tf.function(_nearest, jit_compile=True)
_compiled_aggregated = tf.function(_aggregated, jit_compile=True)
