"""How many distinct values weights have."""

import numpy as np

from tfdistill._layers import layer_paths
from tfdistill.clustering.clustered_weight import ClusteredWeight
from tfdistill.parametrize import parametrized_parts, weights_of


def clusters_of(model):
    """Counts the distinct values of weights.

    Args:
        model: a model with clustering, of which the clustered weights are counted as the model computes with them, or a
            plain one, such as `strip_clustering` returns, of which all kernels and tables are.

    Returns: {path of the weight: number of distinct values}.
    """
    if not any(has_clusters(part) for part in parametrized_parts(model)):
        return {weight.path: _distinct(weight.variable) for weight in weights_of(model) if weight.is_multiplied}
    paths = {id(layer): f"{path}/" for path, layer in reversed(layer_paths(model).items())}
    counts = {}
    for part in parametrized_parts(model):
        values = part.transformed_values()
        for weight in clustered_weights(part):
            counts[paths.get(id(part), "") + weight.path] = _distinct(values[weight.index])
    return counts


def clustered_weights(parametrized):
    """The weights of a `Parametrized` that are clustered."""
    return [weight for weight, transforms in parametrized.transformed() if _cluster(transforms) is not None]


def cluster_transforms(parametrized):
    """Yields (weight, its `ClusteredWeight`) of a `Parametrized`."""
    for weight, transforms in parametrized.transformed():
        if _cluster(transforms) is not None:
            yield weight, _cluster(transforms)


def has_clusters(parametrized):
    """Whether a `Parametrized` clusters a weight."""
    return any(isinstance(transform, ClusteredWeight) for transform in parametrized.weight_transforms)


def _cluster(transforms):
    return next((one for one in transforms if isinstance(one, ClusteredWeight)), None)


def _distinct(values):
    return int(np.unique(np.asarray(values)).size)
