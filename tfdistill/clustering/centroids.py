"""Centroids before training; LINEAR, DENSITY_BASED and KMEANS_PLUS_PLUS give TFMOT's numbers."""

import numpy as np
import tensorflow as tf

from tfdistill.clustering.options import CentroidInitialization

GRID_POINTS, GRID_MARGIN = 30, np.float32(0.01)  # of the cumulative distribution in DENSITY_BASED
LOWEST_LEVEL = 0.01
KMEANS_SEED = 9


def initial_centroids(weights, number_of_clusters, initialization, preserve_sparsity=False):
    """Returns float32 centroids, shape (number_of_clusters,), of one set of weights.

    Where there are fewer different centroids to be had, the last one, or zero, is repeated.

    Args:
        weights: float32 array of any shape, not empty.
        number_of_clusters: how many centroids.
        initialization: `CentroidInitialization`.
        preserve_sparsity: whether one centroid is 0 and the others are shared out between the negative weights and the
            positive ones, in proportion to their numbers.
    """
    weights = np.asarray(weights, "float32").ravel()
    if not preserve_sparsity:
        return _spread(weights, number_of_clusters, initialization, GRID_MARGIN)
    negative, positive = weights[weights < 0], weights[weights > 0]
    if negative.size + positive.size == 0:
        return np.zeros(number_of_clusters, "float32")
    share = negative.size / (negative.size + positive.size)
    below = int(np.round((number_of_clusters - 1) * share))
    sides = [
        _spread(side, count, initialization, min(GRID_MARGIN, np.abs(side).min() / 2)) if count else side[:0]
        for side, count in ((negative, below), (positive, number_of_clusters - 1 - below))
    ]
    return np.concatenate([sides[0], np.zeros(1, "float32"), sides[1]])


def _spread(weights, count, initialization, margin):
    if initialization == CentroidInitialization.LINEAR:
        return tf.linspace(weights.min(), weights.max(), count).numpy()
    if initialization == CentroidInitialization.RANDOM:
        return tf.random.uniform((count,), weights.min(), weights.max()).numpy()
    if initialization == CentroidInitialization.DENSITY_BASED:
        return _density_based(weights, count, margin)
    drawn = tf.raw_ops.KmeansPlusPlusInitialization(
        points=weights[:, np.newaxis],
        num_to_sample=min(count, weights.size),
        seed=KMEANS_SEED,
        num_retries_per_sample=-1,
    )
    return np.pad(drawn.numpy().ravel(), (0, max(count - weights.size, 0)), mode="edge")


def _density_based(weights, count, margin):
    """The grid points where the cumulative distribution passes levels from 0.01 to 1.

    A centroid is worked out from the line through two points of the distribution, whose run TFMOT takes for 0.001: the
    result is the second of the points but for rounding, which is kept so that the numbers are the same.
    """
    grid = tf.linspace(weights.min() - margin, weights.max() + margin, GRID_POINTS).numpy()
    shares = np.array([np.count_nonzero(weights <= point) for point in grid], "float32") / np.float32(weights.size)
    levels = tf.linspace(LOWEST_LEVEL, 1, count).numpy()
    after = np.minimum(np.searchsorted(shares, levels, side="right"), GRID_POINTS - 1)
    before = np.maximum(after - 1, 0)
    rise = shares[before] - shares[after]
    slope = rise / np.maximum(grid[before] - grid[after], np.float32(0.001))
    with np.errstate(divide="ignore", invalid="ignore"):
        on_line = (shares[after] - (shares[after] - grid[after] * slope)) / slope
    return np.where(rise == 0, grid[after], on_line)
