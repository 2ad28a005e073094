"""FitNets: hints from a hidden layer of the teacher, through a learned projector."""

import keras
from keras import ops

from tfdistill.losses.feature_distillation import WIDTH_HINT, FeatureDistillation
from tfdistill.losses.shapes import check_same_shape


@keras.saving.register_keras_serializable(package="tfdistill")
class HintDistillation(FeatureDistillation):
    """The student's layer, through a learned projector, learns to reproduce a wider layer of the teacher.

    `mean over features (f_t - r(f_s))²`, averaged over the batch and all positions; with `sample_weight` it is
    `Σ w_i v_i / n`. r is the projector: trained with the student, saved with the distiller, no part of the student.

    Worked by hand, with equal widths and so no projector: teacher features (1, 2), student features (0, 4):
    (1² + 2²) / 2 = 2.5.

    When to use it: as the first thing to try with hidden layers, best about the middle of both models. The usual weight
    is 100 (for features of batch-normalised convolutions; the loss scales with the square of the features). The paper
    trains the lower layers with it first and the whole student with soft targets after; here both losses are summed, as
    later comparisons do. FitNets halves the squared error and sums over the features where this one averages.

    Args:
        teacher_layer_name: the layer of the teacher: its name, its path in nested models, or the layer; `None` for the
            model's output.
        student_layer_name: the same for the student.
        projector: `"auto"`, `"dense"`, `"conv"`, a keras Layer or `None`, as in `FeatureDistillation`. The paper's
            regressor is a convolution that ends at the teacher's size; here images of different sizes are pooled.

    Raises:
        ValueError: for an unknown layer (names the nearest) or projector, and shapes that no projector can bring
            together.

    Example:

    >>> import keras
    >>> loss = HintDistillation()
    >>> float(loss.compute_loss(keras.ops.array([[1.0, 2.0]]), keras.ops.array([[0.0, 4.0]])))
    2.5

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", 2015, arXiv 1412.6550.
    """

    def __init__(self, teacher_layer_name=None, student_layer_name=None, projector="auto", **kwargs):
        super().__init__("mse", teacher_layer_name, student_layer_name, projector, **kwargs)

    def compare(self, loss, teacher, student, step=None):
        return hint(*self.projected(teacher, student))

    def get_config(self):
        config = super().get_config()
        del config["loss"]
        return config


def hint(teacher_features, student_features):
    """The mean squared difference over the features.

    Args:
        teacher_features: tensor `[batch, ..., width]` of any float dtype. No gradient flows into it.
        student_features: tensor of the same shape, after the projector.

    Returns:
        float32 `[batch, ...]`.

    Raises:
        ValueError: where the shapes differ.

    >>> import keras
    >>> float(hint(keras.ops.array([[1.0, 2.0]]), keras.ops.array([[0.0, 4.0]]))[0])
    2.5
    """
    check_same_shape(teacher_features, student_features, "features", WIDTH_HINT)
    teacher = ops.stop_gradient(ops.cast(teacher_features, "float32"))
    return ops.mean(ops.square(teacher - ops.cast(student_features, "float32")), axis=-1)
