"""`cluster_weights` and `strip_clustering`."""

import math
import numbers
import warnings

import keras
import numpy as np

from tfdistill._families import is_tf_keras, tfmot
from tfdistill.clustering.choice import Choice, is_convolution
from tfdistill.clustering.clustered_weight import ClusteredWeight
from tfdistill.clustering.counting import has_clusters
from tfdistill.clustering.legacy import cluster_with_tfmot
from tfdistill.clustering.options import CentroidInitialization, GradientAggregation, member
from tfdistill.parametrize import parametrize, parametrized_parts, strip
from tfdistill.parametrize.weights import fitting, patterns_of


def cluster_weights(
    to_cluster,
    number_of_clusters,
    cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
    *,
    preserve_sparsity=False,
    cluster_per_channel=False,
    cluster_gradient_aggregation=GradientAggregation.SUM,
    layers=None,
    **kwargs,
):
    """Returns a model whose weights share a few values, which are trained: weight clustering, or weight sharing.

    Every number w_i of a weight reads as its nearest centroid, y_i = c[argmin_j |w_i - c_j|], worked out anew in every
    forward pass. A centroid's gradient is the sum, or the mean, of those of its weights; the weights beneath are trained
    by the gradient of y as it is, and so may change sides. Begin with a trained model and a small learning rate, train
    for a few epochs, then `strip_clustering`.

    Args:
        to_cluster: `keras.Model` of any kind, a layer, or a list of layers. A model of `prune_low_magnitude` keeps its
            pruning, which comes first. A tf_keras model, layer or list is given to TFMOT's own `cluster_weights`.
        number_of_clusters: how many values every weight tensor may have, at least 2; with `preserve_sparsity` at least 3.
        cluster_centroids_init: `CentroidInitialization`, where the centroids begin.
        preserve_sparsity: whether weights of 0 stay 0: one centroid is 0 and remains so, and the weights nearest to it now
            stay with it.
        cluster_per_channel: whether every output channel of a convolution has centroids of its own; or names, paths,
            patterns or layers to say which weights have that, along their last axis.
        cluster_gradient_aggregation: `GradientAggregation`, SUM or AVG.
        layers: names, paths or shell patterns ("embed_*") of layers or weights, or layers: which to cluster. By default
            all kernels and tables but those of depthwise convolutions; of a layer with a method
            `get_clusterable_weights`, returning pairs (name, variable), those.
        **kwargs: for TFMOT's wrappers, of tf_keras models only.

    Returns: `tfdistill.parametrize.Parametrized`, or a list; compile it before training. Weights that have no more numbers
    than clusters stay as they are, with a warning.

    Raises:
        ValueError: for wrong arguments, and where nothing is there to be clustered. Of a model that is not built yet, what
            depends on its weights is checked when it is first called.

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="hidden", use_bias=False)])
    >>> model.layers[0].kernel.assign([[0.0, 0.1], [0.9, 1.0]]) is None
    False
    >>> clustered = cluster_weights(model, 2, "linear")
    >>> clustered(np.eye(2, dtype="float32")).numpy().tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    >>> clusters_of(strip_clustering(clustered))
    {'hidden/kernel': 2}

    "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman Coding", Han, Mao and
    Dally, 2015, arXiv:1510.00149.
    """
    preserve_sparsity = _checked_flag("preserve_sparsity", preserve_sparsity)
    _check_number(number_of_clusters, preserve_sparsity)
    if not isinstance(cluster_per_channel, bool):
        cluster_per_channel = patterns_of("cluster_per_channel", cluster_per_channel)
    options = {
        "number_of_clusters": int(number_of_clusters),
        "cluster_centroids_init": member(CentroidInitialization, cluster_centroids_init, "cluster_centroids_init"),
        "preserve_sparsity": preserve_sparsity,
        "cluster_per_channel": cluster_per_channel,
        "cluster_gradient_aggregation": member(
            GradientAggregation, cluster_gradient_aggregation, "cluster_gradient_aggregation"
        ),
    }
    if is_tf_keras(to_cluster):
        return cluster_with_tfmot(to_cluster, options, layers, kwargs)
    if kwargs:
        raise ValueError(f"Unknown arguments: {sorted(kwargs)}. Others than those named are for tf_keras models only.")
    if isinstance(to_cluster, (list, tuple)):
        return _clustered_list(to_cluster, options, layers)
    return _clustered(to_cluster, options, layers)


def strip_clustering(model):
    """Returns a plain model of the original class, whose weights have the values of their centroids; see `strip`.

    Pruning on the model is stripped with it; its zeros are in the weights.

    Args:
        model: a model of `cluster_weights`, or one with layers of it. A tf_keras model is given to TFMOT.

    Raises:
        ValueError: for a model without clustering, and one that is quantised as well.
    """
    if is_tf_keras(model):
        return tfmot("Clustering").clustering.keras.strip_clustering(model)
    if not any(has_clusters(part) for part in parametrized_parts(model)):
        raise ValueError(f"`model` has no clustering to strip. Received: {model!r} of type {type(model).__name__}")
    later = {type(one).__name__ for part in parametrized_parts(model) for one in _after_clustering(part)}
    if later:
        raise ValueError(
            f"{model.name!r} has transforms that come after clustering ({', '.join(sorted(later))}). "
            "tfdistill.parametrize.strip takes all of them away and keeps the values that they gave the weights."
        )
    return strip(model)


def _after_clustering(parametrized):
    weight_transforms = [one for one in parametrized.weight_transforms if one.order > ClusteredWeight.order]
    return [*weight_transforms, *parametrized.output_transforms]


def _clustered_list(layers_to_cluster, options, layers):
    if layers is not None:
        raise ValueError(
            f"`layers` chooses within a model; of a list give only those layers. Received: layers={layers!r}"
        )
    parts = [part for one in layers_to_cluster if isinstance(one, keras.layers.Layer) for part in one._flatten_layers()]
    if options["cluster_per_channel"] is True and not any(is_convolution(part) for part in parts):
        raise ValueError("`cluster_per_channel=True` is for convolutions, and there is none in `to_cluster`.")
    clustered = [_clustered(one, options, None, is_one_of_many=True) for one in layers_to_cluster]
    if not clustered or all(_is_plain(one) for one in clustered):
        raise ValueError(f"`to_cluster` has no kernel or table to cluster. Received: {layers_to_cluster!r}")
    return [one.model if _is_plain(one) else one for one in clustered]


def _clustered(model, options, layers, is_one_of_many=False):
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            f"`to_cluster` must be a Keras model, a layer or a list of layers. Received: {model!r} of type "
            f"{type(model).__name__}"
        )
    choice = Choice(
        model,
        patterns_of("layers", layers),
        lambda weights: _transforms(weights, options, choice.model, is_one_of_many),
        may_be_none=is_one_of_many,
    )
    choice.model = parametrize(model, choice)
    if choice.model.built:
        choice.transforms()  # also where there is no weight that the choice was asked about
    return choice.model


def _is_plain(parametrized):
    """Whether the layer inside turned out to have nothing to transform."""
    return parametrized.built and not parametrized.weight_transforms and not parametrized.output_transforms


def _transforms(weights, options, model, is_one_of_many):
    """{index: `ClusteredWeight`} of the weights that have more numbers than clusters."""
    per_channel = _weights_per_channel(weights, options["cluster_per_channel"], model, is_one_of_many)
    number_of_clusters, made, small = options["number_of_clusters"], {}, []
    for weight in weights:
        shape, has_channels = tuple(weight.variable.shape), weight.index in per_channel
        size = math.prod(shape[:-1] if has_channels else shape)
        if size <= number_of_clusters:
            small.append(f"{weight.path} ({size}{' a channel' if has_channels else ''})")
        else:
            made[weight.index] = ClusteredWeight(**{**options, "cluster_per_channel": has_channels})
    if small and not made and not is_one_of_many:
        raise ValueError(
            f"`number_of_clusters` must be below the number of weights of at least one kernel or table of {model.name!r}. "
            f"Received: number_of_clusters={number_of_clusters} for {', '.join(small)}"
        )
    if small:
        warnings.warn(
            f"Not clustered, since they have no more numbers than number_of_clusters={number_of_clusters}: {', '.join(small)}",
            stacklevel=2,
        )
    return made


def _weights_per_channel(weights, asked, model, is_one_of_many):
    """The indices of the weights whose channels have centroids of their own."""
    if not asked:
        return set()
    if asked is True:
        found = {weight.index for weight in weights if is_convolution(weight.layer)}
        if not found and not is_one_of_many:
            raise ValueError(
                "`cluster_per_channel=True` is for convolutions, and none of them is clustered here. Give a list of layers or "
                f"weights instead; those are: {[weight.path for weight in weights]}"
            )
        return found
    if not is_one_of_many:
        fitting(weights, asked, "cluster_per_channel", model.name)
    return {weight.index for weight in weights if weight.matches(asked)}


def _check_number(number_of_clusters, preserve_sparsity):
    least = 3 if preserve_sparsity else 2
    is_whole = isinstance(number_of_clusters, numbers.Integral) and not isinstance(number_of_clusters, bool)
    if not is_whole or number_of_clusters < least:
        raise ValueError(
            f"`number_of_clusters` must be a whole number of at least {least}"
            f"{' with preserve_sparsity, one being 0' if preserve_sparsity else ''}. "
            f"Received: number_of_clusters={number_of_clusters!r}"
        )


def _checked_flag(argument, value):
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{argument}` must be True or False. Received: {argument}={value!r}")
    return bool(value)
