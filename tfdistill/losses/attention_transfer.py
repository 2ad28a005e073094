"""Attention transfer: where in an image (or sequence) a layer is active."""

import keras
from keras import ops

from tfdistill.losses.feature_vectors import as_features, unit_vectors
from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.pooling import pool_to_smaller
from tfdistill.losses.shapes import check_same_shape


@keras.saving.register_keras_serializable(package="tfdistill")
class AttentionTransfer(OutputLoss):
    """The student learns to be active at the places where the teacher is, in whatever channels.

    With the activation map `a = mean over channels F²`, flattened and divided by its length, the value of an example is
    `mean over positions (a_t/|a_t| - a_s/|a_s|)²`, averaged over the batch; with `sample_weight` it is `Σ w_i v_i / n`.

    Worked by hand, maps of two positions and one channel: teacher (1, 0), student (1, 1). The activation maps (1, 0)
    and (1, 1) become (1, 0) and (.7071, .7071): (.2929² + .7071²) / 2 = .2929.

    When to use it: between convolutions of any widths, usually at the end of each stage, with a loss each. The usual
    weight is 1000, since values are small: with n positions they are at most 2/n. The paper writes the length of the
    difference; the square of it, averaged over the positions, is what the authors' code computes. Only where a layer is
    active is taught, not what it says there: add `HintDistillation` for that.

    Args:
        teacher_layer_name: the layer of the teacher, with outputs `[batch, height, width, channels]` (or
            `[batch, positions, channels]`): its name, its path in nested models, or the layer; `None` for the model's
            output.
        student_layer_name: the same for the student. Numbers of channels may differ. Of different sizes the larger map
            is average-pooled to the smaller, axis by axis, before the squares are taken.

    Raises:
        ValueError: for an unknown layer (names the nearest), and outputs that are no maps or of different rank.

    Example:

    >>> import keras
    >>> teacher_map, student_map = (keras.ops.array([[[1.0], [last]]]) for last in (0.0, 1.0))
    >>> round(float(AttentionTransfer().compute_loss(teacher_map, student_map)), 4)
    0.2929

    Reference: Zagoruyko and Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional
    Neural Networks via Attention Transfer", 2017, arXiv 1612.03928.
    """

    def __init__(self, teacher_layer_name=None, student_layer_name=None, **kwargs):
        super().__init__(teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            _check_maps(one, other)

    def values(self, teacher, student, labels=None, step=None):
        return attention_transfer(teacher, student)


def attention_transfer(teacher_maps, student_maps):
    """The mean squared difference between where teacher and student are active.

    Args:
        teacher_maps: tensor `[batch, ..., channels]` with one to three spatial axes, of any float dtype. No gradient
            flows into it. Steps that its Keras mask leaves out count as not active.
        student_maps: tensor of the same rank, of any size and number of channels.

    Returns:
        float32 `[batch]`, from 0 to 2/n with n positions.

    Raises:
        ValueError: for outputs that are no maps or of different rank.

    >>> import keras
    >>> maps = keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 2, 2))
    >>> float(attention_transfer(maps, 3 * maps)[0])
    0.0
    """
    _check_maps(teacher_maps, student_maps)
    teacher, student = pool_to_smaller(as_features(teacher_maps), as_features(student_maps))
    teacher, student = ops.stop_gradient(_activation_map(teacher)), _activation_map(student)
    check_same_shape(teacher, student, "maps")
    return ops.mean(ops.square(teacher - student), axis=-1)


def _activation_map(maps):
    activity = ops.mean(ops.square(maps), axis=-1)
    return unit_vectors(ops.reshape(activity, (ops.shape(activity)[0], -1)))


def _check_maps(teacher, student):
    ranks = [len(maps.shape) for maps in (teacher, student)]
    if ranks[0] != ranks[1] or not 3 <= ranks[0] <= 5:
        raise ValueError(
            "Attention transfer needs maps [batch, height, width, channels] or [batch, positions, channels] of both. "
            f"Received: teacher {tuple(teacher.shape)}, student {tuple(student.shape)}"
        )
