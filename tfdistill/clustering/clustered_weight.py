"""The transform under clustering: a weight that reads as its nearest centroids."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdistill.clustering.association import clustered
from tfdistill.clustering.centroids import initial_centroids
from tfdistill.clustering.options import CentroidInitialization, GradientAggregation, member
from tfdistill.parametrize import WeightTransform

COMPILED_FROM = 1 << 15  # numbers in a weight; below, XLA's half second of compiling is not won back


@keras.saving.register_keras_serializable(package="tfdistill")
class ClusteredWeight(WeightTransform):
    """Reads every number of a weight as the nearest of a few trained centroids; see `cluster_weights`.

    y_i = c[a_i], a_i = argmin_j |w_i - c_j|, worked out anew in every forward pass. Both are trained: the centroids by
    the sum (or the mean) of the gradients of their weights, the weights by the gradient of y as it is.

    Args:
        number_of_clusters: how many centroids, for each channel if `cluster_per_channel`.
        cluster_centroids_init: `CentroidInitialization`.
        preserve_sparsity: whether one centroid stays 0, and the weights that it has at the start stay with it.
        cluster_per_channel: whether every channel, of the last axis, has centroids of its own.
        cluster_gradient_aggregation: `GradientAggregation`.
    """

    order = 1

    def __init__(
        self,
        number_of_clusters,
        cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=False,
        cluster_per_channel=False,
        cluster_gradient_aggregation=GradientAggregation.SUM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.number_of_clusters = number_of_clusters
        self.cluster_centroids_init = member(CentroidInitialization, cluster_centroids_init, "cluster_centroids_init")
        self.preserve_sparsity = preserve_sparsity
        self.cluster_per_channel = cluster_per_channel
        self.cluster_gradient_aggregation = member(
            GradientAggregation, cluster_gradient_aggregation, "cluster_gradient_aggregation"
        )

    def build(self, shape):
        channels = (shape[-1],) if self.cluster_per_channel else ()
        centroids = (*channels, self.number_of_clusters)
        self.centroids = self.add_weight(name="centroids", shape=centroids, initializer="zeros")
        if self.preserve_sparsity:
            self.is_nonzero_centroid = self.add_weight(
                name="is_nonzero_centroid", shape=centroids, initializer="zeros", dtype="bool", trainable=False
            )
            self.is_nonzero_weight = self.add_weight(
                name="is_nonzero_weight", shape=shape, initializer="zeros", dtype="bool", trainable=False
            )

    def initialize(self, value):
        value = np.asarray(value, "float32")
        if self.cluster_per_channel:
            channels = np.moveaxis(value, -1, 0)
            centroids = np.stack([self.initial_centroids(channel) for channel in channels])
        else:
            centroids = self.initial_centroids(value)
        self.centroids.assign(centroids)
        if self.preserve_sparsity:
            nearest = clustered(tf.constant(value), tf.constant(centroids)).numpy()
            self.is_nonzero_centroid.assign(centroids != 0)
            self.is_nonzero_weight.assign(nearest != 0)

    def initial_centroids(self, values):
        """Centroids for some numbers of a weight, float32 array (number_of_clusters,)."""
        return initial_centroids(values, self.number_of_clusters, self.cluster_centroids_init, self.preserve_sparsity)

    def call(self, value, training=False):
        weights, centroids = ops.cast(value, "float32"), tf.identity(self.centroids.value)
        if self.preserve_sparsity:
            centroids = ops.where(self.is_nonzero_centroid, centroids, 0.0)
            weights = ops.where(self.is_nonzero_weight, weights, 0.0)
        is_average = self.cluster_gradient_aggregation == GradientAggregation.AVG
        is_compiled = training and math.prod(value.shape) >= COMPILED_FROM and not _has_replicas()
        nearest = clustered(weights, centroids, is_average, is_compiled)
        return ops.cast(nearest, value.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "number_of_clusters": self.number_of_clusters,
            "cluster_centroids_init": str(self.cluster_centroids_init),
            "preserve_sparsity": self.preserve_sparsity,
            "cluster_per_channel": self.cluster_per_channel,
            "cluster_gradient_aggregation": str(self.cluster_gradient_aggregation),
        }


def _has_replicas():
    """Whether several devices train, where XLA's compiled parts cannot be placed."""
    return tf.distribute.get_strategy().num_replicas_in_sync > 1
