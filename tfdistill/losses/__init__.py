"""Distillation losses: classes for a `Distiller`, and the pure functions under them for a loop of your own."""

from tfdistill.losses.annealing_distillation import AnnealingDistillation, annealed_squared_error
from tfdistill.losses.attention_map_transfer import AttentionMapTransfer, attention_map_transfer
from tfdistill.losses.attention_transfer import AttentionTransfer, attention_transfer
from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.blended_distillation import BlendedDistillation, blended_divergence
from tfdistill.losses.collaborative_distillation import CollaborativeDistillation
from tfdistill.losses.contrastive_distillation import ContrastiveDistillation, contrastive
from tfdistill.losses.correlation_distillation import CorrelationDistillation, correlation_distance
from tfdistill.losses.decoupled_distillation import DecoupledDistillation, decoupled_kl_divergence
from tfdistill.losses.distillation_experts import DistillationExperts
from tfdistill.losses.dual_correction_distillation import DualCorrectionDistillation
from tfdistill.losses.embedding_distillation import EmbeddingDistillation
from tfdistill.losses.feature_distillation import FeatureDistillation
from tfdistill.losses.full_topology_distillation import FullTopologyDistillation, full_topology
from tfdistill.losses.hierarchical_topology_distillation import HierarchicalTopologyDistillation
from tfdistill.losses.hint_distillation import HintDistillation, hint
from tfdistill.losses.logits_distillation import LogitsDistillation
from tfdistill.losses.multi_level_distillation import MultiLevelDistillation, multi_level_divergence
from tfdistill.losses.next_item_distillation import NextItemDistillation
from tfdistill.losses.probabilities import logits_from_probabilities
from tfdistill.losses.ranking_distillation import RankingDistillation
from tfdistill.losses.ranking_loss import RankingContext, RankingLoss
from tfdistill.losses.reduction import reduce_loss
from tfdistill.losses.relational_distillation import RelationalDistillation, relational_angle, relational_distance
from tfdistill.losses.relaxed_ranking_distillation import RelaxedRankingDistillation, relaxed_ranking
from tfdistill.losses.representation_loss import RepresentationLoss
from tfdistill.losses.response_loss import ResponseLoss
from tfdistill.losses.similarity_preserving import SimilarityPreserving, similarity_preserving
from tfdistill.losses.softened import softened_crossentropy, softened_kl_divergence
from tfdistill.losses.standardized_logits import StandardizedLogits, standardize_logits
from tfdistill.losses.unbiased_distillation import UnbiasedDistillation

__all__ = [
    "AnnealingDistillation",
    "AttentionMapTransfer",
    "AttentionTransfer",
    "BlendedDistillation",
    "CollaborativeDistillation",
    "ContrastiveDistillation",
    "CorrelationDistillation",
    "DecoupledDistillation",
    "DistillationExperts",
    "DistillationLoss",
    "DualCorrectionDistillation",
    "EmbeddingDistillation",
    "FeatureDistillation",
    "FullTopologyDistillation",
    "HierarchicalTopologyDistillation",
    "HintDistillation",
    "LogitsDistillation",
    "MultiLevelDistillation",
    "NextItemDistillation",
    "RankingContext",
    "RankingDistillation",
    "RankingLoss",
    "RelationalDistillation",
    "RelaxedRankingDistillation",
    "RepresentationLoss",
    "ResponseLoss",
    "SimilarityPreserving",
    "StandardizedLogits",
    "UnbiasedDistillation",
    "annealed_squared_error",
    "attention_map_transfer",
    "attention_transfer",
    "blended_divergence",
    "contrastive",
    "correlation_distance",
    "decoupled_kl_divergence",
    "full_topology",
    "hint",
    "logits_from_probabilities",
    "multi_level_divergence",
    "reduce_loss",
    "relational_angle",
    "relational_distance",
    "relaxed_ranking",
    "similarity_preserving",
    "softened_crossentropy",
    "softened_kl_divergence",
    "standardize_logits",
]
