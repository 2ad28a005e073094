"""Distillation from the outputs of hidden layers."""

import keras
from keras import ops

from tfdistill.losses.output_loss import FunctionLoss, values_of
from tfdistill.losses.pooling import pool_to_smaller
from tfdistill.losses.projectors import check_kind, make_projector, pools
from tfdistill.losses.shapes import check_same_shape

WIDTH_HINT = "Compare layers of the same width, or give a `projector`, which learns the teacher's."


@keras.saving.register_keras_serializable(package="tfdistill")
class FeatureDistillation(FunctionLoss):
    """The student learns to reproduce what a layer of the teacher computes.

    `ℓ(f_t, r(f_s))` in float32, averaged over the batch and all positions; with `sample_weight` it is `Σ w_i v_i / n`.
    r is a learned projector, or nothing. It is trained with the student, saved with the distiller, and no part of the
    student. Under `tfdistill.Distiller` the features come out of the same forward pass as the prediction.

    Takes the arguments of `keras.distillation.FeatureDistillation`. Here either layer name may be given without the
    other, and shapes that would broadcast are refused.

    When to use it: for a loss other than the squared difference of `HintDistillation`, for layers with several outputs,
    and to carry over code written for Keras's.

    Args:
        loss: a Keras loss name, function or `keras.losses.Loss`; or, for layers with several outputs, a structure of
            them with `None` for an output to skip. `"cosine_similarity"` is Keras's: -1 where features point the same
            way.
        teacher_layer_name: the layer of the teacher: its name, its path in nested models, or the layer; `None` for the
            model's output.
        student_layer_name: the same for the student.
        projector: `None` where the shapes agree, else `"dense"`, a linear map of the last axis; `"conv"`, a convolution
            with kernel size 1; `"auto"`, whichever fits, if any is needed; or a keras Layer that turns the student's
            features into the teacher's shape, which runs with training=False and in its own dtype. With `"conv"` and
            `"auto"` images `[batch, height, width, channels]` of different sizes are average-pooled to the smaller
            first, teacher or student. Feature shapes but for the batch must be known.

    Raises:
        ValueError: for an unknown loss, projector or layer (names the nearest), a model whose layers cannot be read,
            features whose shapes differ, and a projector for several outputs.

    Example:

    >>> import keras
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(1)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="small"), keras.layers.Dense(1)])
    >>> loss = FeatureDistillation("mse", "hidden", "small", projector="dense")
    >>> loss.validate_model_compatibility(teacher, student)
    >>> loss.count_params()  # 2 * 8 + 8
    24

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", 2015, arXiv 1412.6550.
    """

    def __init__(self, loss="mse", teacher_layer_name=None, student_layer_name=None, projector=None, **kwargs):
        super().__init__(loss, teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)
        self.projector_kind = check_kind(projector)
        self.projector = projector if isinstance(projector, keras.layers.Layer) else None
        self.needs_build = projector is not None
        self.built = not self.needs_build

    def build(self, teacher_shape, student_shape):
        """Makes the projector; shapes as tuples."""
        self.projector = make_projector(self.projector_kind, tuple(teacher_shape), tuple(student_shape))
        self.built = True

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` for structures that differ, and where a projector is to serve several outputs."""
        super().validate_outputs(teacher_outputs, student_outputs)
        if self.needs_build and keras.tree.is_nested(student_outputs):
            raise ValueError(f"A `projector` needs layers with one output. Received: {len(student_outputs)} outputs")

    def validate_shapes(self, teacher, student):
        if self.needs_build:
            return  # `build` checks them
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            check_same_shape(one, other, "features", WIDTH_HINT)

    def compare(self, loss, teacher, student, step=None):
        teacher, student = self.projected(teacher, student)
        check_same_shape(teacher, student, "features", WIDTH_HINT)
        return values_of(loss, teacher, student)

    def projected(self, teacher, student):
        """Returns float32 features of the teacher, without gradient, and of the student after the projector."""
        teacher, student = ops.stop_gradient(ops.cast(teacher, "float32")), ops.cast(student, "float32")
        if not self.built:
            self.build((None, *teacher.shape[1:]), (None, *student.shape[1:]))
        if pools(self.projector_kind, student.shape):
            teacher, student = pool_to_smaller(teacher, student)
        if self.projector is not None:
            student = ops.cast(self.projector(student, training=False), "float32")
        return teacher, student

    def get_config(self):
        return {**super().get_config(), "projector": keras.saving.serialize_keras_object(self.projector_kind)}
