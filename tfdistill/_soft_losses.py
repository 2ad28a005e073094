"""A distiller's soft losses: what they may be, and their weighted sum."""

import keras

from tfdistill._features import feature_key
from tfdistill._replicas import gathered, replicas
from tfdistill.losses.shapes import check_same_shape
from tfdistill.schedules import check_weight, weigh
from tfdistill.teachers.calling import takes_argument

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
    """Returns one weight for each loss, 1 where `weights` is `None`; raises `ValueError` where they do not fit."""
    if weights is None:
        return [1.0] * len(losses)
    weights = list(weights) if isinstance(weights, (list, tuple)) else [weights]
    if len(weights) != len(losses):
        raise ValueError(
            f"`distillation_loss_weights` must have one weight for each of the {len(losses)} distillation losses. "
            f"Received: {weights}"
        )
    return [check_weight(weight, "distillation_loss_weights") for weight in weights]


def feature_keys(losses, role):
    """What the losses read of the "teacher" or the "student" beside its prediction, each once."""
    keys = (feature_key(loss, role) for loss in losses)
    return list(dict.fromkeys(key for key in keys if key is not None))


def validate(losses, teacher, student, teacher_features, student_features):
    """Raises `ValueError` where it can be known, before data flow, that a loss cannot compare teacher and student.

    Args:
        losses: distillation losses, ours or Keras's.
        teacher, student: the models.
        teacher_features, student_features: the `FeatureExtractor` of each.
    """
    teacher_specs, student_specs = teacher_features.specs(), student_features.specs()
    for loss in losses:
        if not hasattr(loss, "validate_specs"):
            loss.validate_model_compatibility(teacher, student)
        elif teacher_specs is not None and student_specs is not None:
            loss.validate_specs(
                teacher_specs[feature_key(loss, "teacher")], student_specs[feature_key(loss, "student")]
            )


def weighted_sum(losses, weights, teacher_outputs, student_outputs, *, sample_weight, labels, step, training):
    """Returns `Σ w_i loss_i`, a float32 scalar.

    Args:
        losses, weights: distillation losses, ours or Keras's, and their weights.
        teacher_outputs, student_outputs: `{None: prediction, layer: output}`, as from a `FeatureExtractor`.
        sample_weight: weights of the examples, or `None`. A structure of weights goes with a structure of predictions;
            losses that read hidden layers do not get it.
        labels: the hard labels of the batch, or `None`.
        step: number of the training step, or `None`.
        training: whether adaptive weights may learn.

    Raises:
        ValueError: where a loss cannot compare its outputs, or does not return a scalar.
    """
    total = 0.0
    for loss, weight in zip(losses, weights, strict=True):
        teacher_key, student_key = feature_key(loss, "teacher"), feature_key(loss, "student")
        teacher_output, student_output = teacher_outputs[teacher_key], student_outputs[student_key]
        loss.validate_outputs(teacher_output, student_output)
        if isinstance(loss, KERAS_LOSSES):  # they leave it to their Distiller to refuse shapes that would broadcast
            keras.tree.map_structure(
                lambda one, other: check_same_shape(one, other, "outputs"), teacher_output, student_output
            )
        if not getattr(loss, "built", True):
            loss.build(tuple(teacher_output.shape), tuple(student_output.shape))
        between_predictions = teacher_key is None and student_key is None
        examples = {"labels": labels}
        if between_predictions or not keras.tree.is_nested(sample_weight):
            examples["sample_weight"] = sample_weight
        if getattr(loss, "compares_examples", False):
            teacher_output, student_output, examples = gathered((teacher_output, student_output, examples))
        available = {**examples, "step": step}
        arguments = {
            name: value
            for name, value in available.items()
            if takes_argument(loss.compute_loss, name, by_keywords=name == "sample_weight")
        }
        value = keras.ops.cast(loss.compute_loss(teacher_output, student_output, **arguments), "float32")
        if len(value.shape) > 0:
            raise ValueError(
                f"{type(loss).__name__}.compute_loss must return a scalar. Received: shape {tuple(value.shape)}"
            )
        if isinstance(loss, KERAS_LOSSES) and all(isinstance(one, keras.Loss) for one in keras.tree.flatten(loss.loss)):
            value *= replicas()  # Keras has divided by it
        total += weigh(weight, value, step, training)
    # Under a distribution strategy gradients are summed over the replicas; Keras scales the hard loss alike.
    return total / replicas()
