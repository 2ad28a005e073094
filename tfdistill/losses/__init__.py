"""Distillation losses: classes for a `Distiller`, and the pure functions under them for a loop of your own."""

from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.feature_distillation import FeatureDistillation
from tfdistill.losses.logits_distillation import LogitsDistillation
from tfdistill.losses.probabilities import logits_from_probabilities
from tfdistill.losses.reduction import reduce_loss
from tfdistill.losses.softened import softened_crossentropy, softened_kl_divergence

__all__ = [
    "DistillationLoss",
    "FeatureDistillation",
    "LogitsDistillation",
    "logits_from_probabilities",
    "reduce_loss",
    "softened_crossentropy",
    "softened_kl_divergence",
]
