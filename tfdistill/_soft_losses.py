"""A distiller's soft losses: what they may be, and their weighted sum."""

import keras
import tensorflow as tf

from tfdistill._features import takes_argument
from tfdistill.losses.shapes import check_same_shape

KERAS_LOSSES = (keras.distillation.LogitsDistillation, keras.distillation.FeatureDistillation)


def check_losses(losses):
    """Returns a list of distillation losses; raises `ValueError` for anything else, and for an empty list."""
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    if not losses or not all(hasattr(loss, "compute_loss") for loss in losses):
        raise ValueError(
            "`distillation_losses` must be a loss such as tfdistill.losses.LogitsDistillation(), or a list of them. "
            f"Received: {losses}"
        )
    return losses


def check_weights(weights, losses):
    """Returns one number for each loss, 1 where `weights` is `None`; raises `ValueError` where they do not fit."""
    if weights is None:
        return [1.0] * len(losses)
    weights = list(weights) if isinstance(weights, (list, tuple)) else [weights]
    if len(weights) != len(losses) or not all(isinstance(weight, (int, float)) for weight in weights):
        raise ValueError(
            f"`distillation_loss_weights` must have one number for each of the {len(losses)} distillation losses. "
            f"Received: {weights}"
        )
    return weights


def check_share(share):
    """Returns the share of the hard loss; raises `ValueError` unless it is a number from 0 to 1."""
    if not isinstance(share, (int, float)) or not 0.0 <= share <= 1.0:
        raise ValueError(f"`student_loss_weight` must be a number from 0 to 1. Received: student_loss_weight={share!r}")
    return share


def layer_names(losses, attribute):
    """The layers that the losses read, each once; `attribute` is "teacher_layer_name" or "student_layer_name"."""
    names = (getattr(loss, attribute, None) for loss in losses)
    return list(dict.fromkeys(name for name in names if name is not None))


def weighted_sum(losses, weights, teacher_outputs, student_outputs, sample_weight):
    """Returns `Σ w_i loss_i`, a float32 scalar.

    Args:
        losses, weights: distillation losses, ours or Keras's, and their weights.
        teacher_outputs, student_outputs: `{None: prediction, layer name: output}`.
        sample_weight: weights of the examples, or `None`. A structure of weights goes with a structure of predictions;
            losses that read hidden layers do not get it.

    Raises:
        ValueError: where a loss cannot compare its outputs, or does not return a scalar.
    """
    total = 0.0
    for loss, weight in zip(losses, weights, strict=True):
        teacher_layer = getattr(loss, "teacher_layer_name", None)
        student_layer = getattr(loss, "student_layer_name", None)
        teacher_output, student_output = teacher_outputs[teacher_layer], student_outputs[student_layer]
        loss.validate_outputs(teacher_output, student_output)
        if isinstance(loss, KERAS_LOSSES):  # they leave it to their Distiller to refuse shapes that would broadcast
            keras.tree.map_structure(
                lambda one, other: check_same_shape(one, other, "outputs"), teacher_output, student_output
            )
        between_predictions = teacher_layer is None and student_layer is None
        takes_weights = takes_argument(loss.compute_loss, "sample_weight", by_keywords=True)
        arguments = {}
        if takes_weights and (between_predictions or not keras.tree.is_nested(sample_weight)):
            arguments["sample_weight"] = sample_weight
        value = keras.ops.cast(loss.compute_loss(teacher_output, student_output, **arguments), "float32")
        if len(value.shape) > 0:
            raise ValueError(
                f"{type(loss).__name__}.compute_loss must return a scalar. Received: shape {tuple(value.shape)}"
            )
        total += weight * value
    # Under a distribution strategy gradients are summed over the replicas; Keras scales the hard loss alike.
    return total / tf.distribute.get_strategy().num_replicas_in_sync
