"""How good and how costly a model is, measured on the exported file by running it.

Names are imported when they are first used: the process that measures a TFLite file must hold neither TensorFlow nor
Keras, or its memory would be theirs.
"""

from tfdistill._lazy import lazy_names

_HOMES = {
    "ConfidenceInterval": "tfdistill.evaluation.significance",
    "PairedTest": "tfdistill.evaluation.significance",
    "RankingEvaluation": "tfdistill.evaluation.ranking",
    "SampledEvaluation": "tfdistill.evaluation.sampled",
    "accuracy_metrics": "tfdistill.evaluation.metrics",
    "auc": "tfdistill.evaluation.metrics",
    "class_accuracy": "tfdistill.evaluation.metrics",
    "class_metrics": "tfdistill.evaluation.metrics",
    "click_metrics": "tfdistill.evaluation.metrics",
    "confidence_interval": "tfdistill.evaluation.significance",
    "dot_scores": "tfdistill.evaluation.scorers",
    "evaluate_artifact": "tfdistill.evaluation.record",
    "evaluate_retrieval_file": "tfdistill.evaluation.retrieval_artifact",
    "rank_with_file": "tfdistill.evaluation.retrieval_artifact",
    "retrieval_inputs": "tfdistill.evaluation.retrieval_artifact",
    "evaluate_ranking": "tfdistill.evaluation.ranking",
    "evaluate_sampled": "tfdistill.evaluation.sampled",
    "gzip_bytes": "tfdistill.export.sizes",
    "k_folds": "tfdistill.evaluation.folds",
    "log_loss": "tfdistill.evaluation.metrics",
    "measure_cost": "tfdistill.evaluation.cost",
    "ndcg_at_k": "tfdistill.evaluation.ndcg",
    "open_artifact": "tfdistill.evaluation.artifact",
    "pair_scores": "tfdistill.evaluation.scorers",
    "paired_test": "tfdistill.evaluation.significance",
    "probability_difference": "tfdistill.evaluation.parity",
}

__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
