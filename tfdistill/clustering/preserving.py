"""Clusters that a model has already, kept while it is trained on: for quantisation-aware training after clustering."""

import keras
import numpy as np

from tfdistill.clustering.choice import Choice
from tfdistill.clustering.clustered_weight import ClusteredWeight
from tfdistill.clustering.options import CentroidInitialization, GradientAggregation, member
from tfdistill.parametrize import parametrize
from tfdistill.parametrize.weights import patterns_of

MOST_CLUSTERS = 1024


@keras.saving.register_keras_serializable(package="tfdistill")
class PreservedClusters(ClusteredWeight):
    """A `ClusteredWeight` whose centroids begin as the distinct values of the weight."""

    def initial_centroids(self, values):
        distinct = np.unique(values)
        return np.pad(distinct, (0, self.number_of_clusters - distinct.size), mode="edge")


def preserve_clusters(
    model, layers=None, *, preserve_sparsity=False, cluster_gradient_aggregation=GradientAggregation.SUM
):
    """Returns a model whose clustered weights keep the values that they have, as centroids that are trained.

    For a stripped clustered model that is to be quantised: the model begins with the same outputs, and however it is
    trained a weight of k distinct values ends with at most k. Weights that repeat no value, or have more than 1,024, are
    taken for unclustered and left alone. Whether channels have centroids of their own is seen from the values.

    Args:
        model: built `keras.Model` or layer, as `strip_clustering` returns it, or a `Parametrized`.
        layers: names, paths, patterns or layers: which weights must be clustered. By default all that are.
        preserve_sparsity: whether weights of 0 stay 0.
        cluster_gradient_aggregation: `GradientAggregation`.

    Returns: `tfdistill.parametrize.Parametrized`.

    Raises:
        ValueError: where no weight is clustered, or one that `layers` fits is not.
    """
    if not isinstance(model, keras.layers.Layer) or not model.built:
        raise ValueError(f"`model` must be a Keras model or layer that is built. Received: model={model!r}")
    aggregation = member(GradientAggregation, cluster_gradient_aggregation, "cluster_gradient_aggregation")

    def transforms(weights):
        found = [(weight, *_distinct_values(np.asarray(weight.variable))) for weight in weights]
        unclustered = [weight.path for weight, count, _ in found if not count]
        if unclustered and (layers is not None or len(unclustered) == len(weights)):
            raise ValueError(
                f"`model` has weights that are not clustered: no value occurs twice, or more than {MOST_CLUSTERS} values "
                f"occur. Received: {unclustered}. Cluster them with `cluster_weights` first, train, and strip."
            )
        return {
            weight.index: PreservedClusters(
                count,
                CentroidInitialization.LINEAR,
                preserve_sparsity and bool((np.asarray(weight.variable) == 0).any()),
                is_per_channel,
                aggregation,
            )
            for weight, count, is_per_channel in found
            if count
        }

    return parametrize(model, Choice(model, patterns_of("layers", layers), transforms))


def _distinct_values(values):
    """(number of distinct values, for each channel if the flag is set; 0 where the weight is not clustered, the flag)."""
    channels = np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1)
    by_channel = [np.unique(channel).size for channel in channels]
    distinct = np.unique(values).size
    # Channels with centroids of their own have hardly a value in common; shared centroids occur in most channels.
    is_per_channel = (
        len(by_channel) > 1 and max(by_channel) < channels.shape[1] and sum(by_channel) < 2 * (distinct + 1)
    )
    count = max(by_channel) if is_per_channel else distinct
    is_clustered = 1 < count <= MOST_CLUSTERS and distinct < values.size
    return (count if is_clustered else 0), is_per_channel
