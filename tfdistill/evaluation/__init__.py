"""How good and how costly a model is, measured on the exported file by running it.

Names are imported when they are first used: the process that measures a TFLite file must hold neither TensorFlow nor
Keras, or its memory would be theirs.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "accuracy_metrics": "tfdistill.evaluation.metrics",
    "auc": "tfdistill.evaluation.metrics",
    "class_accuracy": "tfdistill.evaluation.metrics",
    "class_metrics": "tfdistill.evaluation.metrics",
    "click_metrics": "tfdistill.evaluation.metrics",
    "evaluate_artifact": "tfdistill.evaluation.record",
    "gzip_bytes": "tfdistill.export.sizes",
    "log_loss": "tfdistill.evaluation.metrics",
    "measure_cost": "tfdistill.evaluation.cost",
    "ndcg_at_k": "tfdistill.evaluation.ndcg",
    "open_artifact": "tfdistill.evaluation.artifact",
    "probability_difference": "tfdistill.evaluation.parity",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
