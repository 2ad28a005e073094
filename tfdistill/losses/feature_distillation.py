"""Distillation from the outputs of hidden layers."""

import keras
from keras import ops

from tfdistill.losses.output_loss import FunctionLoss, values_of
from tfdistill.losses.shapes import check_same_shape

WIDTH_HINT = "Compare layers of the same width, or add a layer to the student that gives it the teacher's."


@keras.saving.register_keras_serializable(package="tfdistill")
class FeatureDistillation(FunctionLoss):
    """The student learns to reproduce what a layer of the teacher computes.

    `ℓ(f_t, f_s)` in float32, averaged over the batch and all positions; with `sample_weight` it is `Σ w_i v_i / n`.
    Under `tfdistill.Distiller` the features come out of the same forward pass as the prediction.

    Takes the arguments of `keras.distillation.FeatureDistillation`. Here either layer name may be given without the
    other, and shapes that would broadcast are refused.

    Args:
        loss: a Keras loss name, function or `keras.losses.Loss`; or, for layers with several outputs, a structure of
            them with `None` for an output to skip. `"cosine_similarity"` is Keras's: -1 where features point the same
            way.
        teacher_layer_name: name of a layer of the teacher, a Functional or built Sequential model; `None` for its
            output.
        student_layer_name: the same for the student.

    Raises:
        ValueError: for an unknown loss, an unknown layer (names the nearest), a model whose layers cannot be read, and
            features whose shapes differ.

    Example:

    >>> import keras
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(1)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="small"), keras.layers.Dense(1)])
    >>> FeatureDistillation("mse", "hidden", "small").validate_model_compatibility(teacher, student)

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", 2015, arXiv 1412.6550.
    """

    def __init__(self, loss="mse", teacher_layer_name=None, student_layer_name=None, **kwargs):
        super().__init__(
            loss, teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs
        )

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            check_same_shape(one, other, "features", WIDTH_HINT)

    def compare(self, loss, teacher, student, step=None):
        check_same_shape(teacher, student, "features", WIDTH_HINT)
        return values_of(loss, ops.stop_gradient(ops.cast(teacher, "float32")), ops.cast(student, "float32"))
