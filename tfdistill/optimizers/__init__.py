"""Optimizers of Keras whose step costs what the rows of the batch cost, not what the tables do.

Names are imported when they are first used.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "Adagrad": "tfdistill.optimizers.adagrad",
    "Adam": "tfdistill.optimizers.adam",
    "AdamW": "tfdistill.optimizers.adam",
    "LossScaleOptimizer": "tfdistill.optimizers.loss_scale",
    "RowWiseAdagrad": "tfdistill.optimizers.row_wise_adagrad",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
