"""tf_keras (Keras 2) models: TFMOT's own clustering."""

import fnmatch

from tfdistill._families import tfmot
from tfdistill.clustering.options import GradientAggregation


def cluster_with_tfmot(to_cluster, options, layers, wrapper_arguments):
    """What TFMOT's `cluster_weights` returns.

    Args:
        to_cluster: tf_keras model, layer or list of layers.
        options: checked arguments of `cluster_weights`.
        layers: names or patterns of layers of a functional or Sequential model, or layers; `None` for all.
        wrapper_arguments: for TFMOT's wrappers.
    """
    api = tfmot("Clustering").clustering.keras
    if not isinstance(options["cluster_per_channel"], bool):
        raise ValueError(
            "`cluster_per_channel` must be True or False for a tf_keras model: TFMOT clusters Conv2D layers by channel. "
            f"Received: cluster_per_channel={options['cluster_per_channel']!r}"
        )
    arguments = dict(wrapper_arguments)
    for flag in ("preserve_sparsity", "cluster_per_channel"):
        if options[flag]:
            arguments[flag] = True
    if options["cluster_gradient_aggregation"] != GradientAggregation.SUM:
        arguments["cluster_gradient_aggregation"] = _tfmot_aggregation(options["cluster_gradient_aggregation"])
    initialization = api.CentroidInitialization[options["cluster_centroids_init"].name]

    def cluster(thing):
        return api.cluster_weights(thing, options["number_of_clusters"], initialization, **arguments)

    if layers is None:
        return cluster(to_cluster)
    import tf_keras

    if not isinstance(to_cluster, tf_keras.Model):
        raise ValueError(f"`layers` chooses within a model. Received: layers={layers!r}, to_cluster={to_cluster!r}")
    wanted = layers if isinstance(layers, (list, tuple)) else [layers]
    for pattern in wanted:
        if not any(_fits(layer, pattern) for layer in to_cluster.layers):
            names = [layer.name for layer in to_cluster.layers]
            raise ValueError(f"`layers`: {pattern!r} fits no layer of {to_cluster.name!r}. Its layers: {names}")
    return tf_keras.models.clone_model(
        to_cluster,
        clone_function=lambda layer: cluster(layer) if any(_fits(layer, pattern) for pattern in wanted) else layer,
    )


def _fits(layer, pattern):
    return layer is pattern or (isinstance(pattern, str) and fnmatch.fnmatchcase(layer.name, pattern))


def _tfmot_aggregation(aggregation):
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config  # not in its public interface

    return cluster_config.GradientAggregation[aggregation.name]
