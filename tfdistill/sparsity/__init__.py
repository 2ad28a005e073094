"""Magnitude pruning of any Keras 3 model, under TFMOT's names; tf_keras models go to TFMOT itself.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "ConstantSparsity": "tfdistill.sparsity.schedules",
    "MagnitudePruning": "tfdistill.sparsity.transform",
    "PolynomialDecay": "tfdistill.sparsity.schedules",
    "PreserveSparsity": "tfdistill.sparsity.preserve",
    "PruneForLatencyOnXNNPack": "tfdistill.sparsity.xnnpack",
    "PruningPolicy": "tfdistill.sparsity.policy",
    "PruningSchedule": "tfdistill.sparsity.schedules",
    "PruningSummaries": "tfdistill.sparsity.callbacks",
    "UpdatePruningStep": "tfdistill.sparsity.callbacks",
    "preserve_sparsity": "tfdistill.sparsity.preserve",
    "prune_low_magnitude": "tfdistill.sparsity.prune",
    "prune_scope": "tfdistill.sparsity.prune",
    "sparsity_of": "tfdistill.sparsity.measure",
    "strip_pruning": "tfdistill.sparsity.prune",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
