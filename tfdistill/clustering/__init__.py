"""Weight clustering, which is weight sharing: every weight tensor keeps a few distinct values, its centroids.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "CentroidInitialization": "tfdistill.clustering.options",
    "ClusteredWeight": "tfdistill.clustering.clustered_weight",
    "ClusteringSummaries": "tfdistill.clustering.summaries",
    "GradientAggregation": "tfdistill.clustering.options",
    "cluster_weights": "tfdistill.clustering.clustering",
    "clusters_of": "tfdistill.clustering.counting",
    "preserve_clusters": "tfdistill.clustering.preserving",
    "strip_clustering": "tfdistill.clustering.clustering",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
