"""Distillation losses: classes for a `Distiller`, and the pure functions under them for a loop of your own."""

from tfdistill.losses.annealing_distillation import AnnealingDistillation, annealed_squared_error
from tfdistill.losses.attention_map_transfer import AttentionMapTransfer, attention_map_transfer
from tfdistill.losses.attention_transfer import AttentionTransfer, attention_transfer
from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.blended_distillation import BlendedDistillation, blended_divergence
from tfdistill.losses.contrastive_distillation import ContrastiveDistillation, contrastive
from tfdistill.losses.correlation_distillation import CorrelationDistillation, correlation_distance
from tfdistill.losses.decoupled_distillation import DecoupledDistillation, decoupled_kl_divergence
from tfdistill.losses.feature_distillation import FeatureDistillation
from tfdistill.losses.hint_distillation import HintDistillation, hint
from tfdistill.losses.logits_distillation import LogitsDistillation
from tfdistill.losses.multi_level_distillation import MultiLevelDistillation, multi_level_divergence
from tfdistill.losses.probabilities import logits_from_probabilities
from tfdistill.losses.reduction import reduce_loss
from tfdistill.losses.relational_distillation import RelationalDistillation, relational_angle, relational_distance
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.similarity_preserving import SimilarityPreserving, similarity_preserving
from tfdistill.losses.softened import softened_crossentropy, softened_kl_divergence
from tfdistill.losses.standardized_logits import StandardizedLogits, standardize_logits

__all__ = [
    "AnnealingDistillation",
    "AttentionMapTransfer",
    "AttentionTransfer",
    "BlendedDistillation",
    "ContrastiveDistillation",
    "CorrelationDistillation",
    "DecoupledDistillation",
    "DistillationLoss",
    "FeatureDistillation",
    "HintDistillation",
    "LogitsDistillation",
    "MultiLevelDistillation",
    "RelationalDistillation",
    "ResponseLoss",
    "SimilarityPreserving",
    "StandardizedLogits",
    "annealed_squared_error",
    "attention_map_transfer",
    "attention_transfer",
    "blended_divergence",
    "contrastive",
    "correlation_distance",
    "decoupled_kl_divergence",
    "hint",
    "logits_from_probabilities",
    "multi_level_divergence",
    "reduce_loss",
    "relational_angle",
    "relational_distance",
    "similarity_preserving",
    "softened_crossentropy",
    "softened_kl_divergence",
    "standardize_logits",
]
