"""Training on one device, several devices or several machines: tf.distribute's strategies, by name.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "distribute": "tfdistill.distribution.batches",
    "fit_asynchronously": "tfdistill.distribution.parameter_server",
    "fit_over_replicas": "tfdistill.distribution.fitting",
    "make_strategy": "tfdistill.distribution.strategies",
    "refused_by_tpu": "tfdistill.distribution.tpu",
    "serve": "tfdistill.distribution.parameter_server",
    "ShardedEmbedding": "tfdistill.distribution.parameter_server",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
