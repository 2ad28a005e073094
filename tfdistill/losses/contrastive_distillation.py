"""Contrastive distillation within a batch: an example's student features are nearest to its teacher features."""

import keras
from keras import ops

from tfdistill.losses.base import DistillationLoss
from tfdistill.losses.feature_vectors import as_vectors, unit_vectors, vector_width
from tfdistill.losses.relations import (
    among,
    check_examples,
    check_same_examples,
    example_weights,
    mean_over_examples,
)
from tfdistill.schedules import AdaptiveTemperature, check_temperature, resolve_temperature, serialize

FAR_APART = -1e9  # a similarity that no exponential sees


@keras.saving.register_keras_serializable(package="tfdistill")
class ContrastiveDistillation(DistillationLoss):
    """The student learns features that tell, of all examples in the batch, which one the teacher's features are of.

    With student and teacher features projected to d dimensions and scaled to length 1, and `c_ij = s_i · t_j / τ`, the
    value of an example is InfoNCE from the student's side and from the teacher's, halved:
    `-½ log(e^c_ii / Σ_j e^c_ij) - ½ log(e^c_ii / Σ_j e^c_ji)`; averaged over the batch. With `sample_weight` it is
    `Σ w_i v_i / n`, and examples of weight 0 are no negatives.

    Both projections are learned, the teacher's features are not touched. They are trained with the student, saved with
    the distiller, and no part of the student. The loss starts near log(batch) and is not 0 where the student matches.
    An example that is in the batch twice is its own negative: that adds a constant and no gradient.

    Worked by hand, τ = 1, two examples with projections (1, 0), (0, 1) of teacher and student alike: c is the unit
    matrix, so each value is -log(e / (e + 1)) = .3133.

    When to use it: for embeddings, next to soft targets, with batches large enough to hold hard negatives. This is the
    idea of CRD with the batch for its memory bank of 16384 negatives and InfoNCE for its NCE; dimension, τ and the
    weight of .8 are CRD's. It comes last in cost: two learned maps, and more epochs.

    Args:
        teacher_layer_name: the layer of the teacher: its name, its path in nested models, or the layer; `None` for the
            model's output. Features are flattened, so their shape but for the batch must be known: pool large maps
            first, or name the pooling layer. Steps that a Keras mask leaves out count as zeros.
        student_layer_name: the same for the student.
        dimension: d, the dimension that both are projected to.
        temperature: τ, a positive number or a schedule of `tfdistill.schedules`.
        examples: so many examples, spread evenly over the batch, stand for all of a larger batch, since the cost grows
            with their square; `None` for all, which gives harder negatives.

    Raises:
        ValueError: for a dimension that is no whole positive number, a temperature that is not positive, an unknown
            layer (names the nearest), features of unknown width or several outputs.

    Example:

    >>> import keras
    >>> loss = ContrastiveDistillation(dimension=4)
    >>> loss.build(teacher_shape=(None, 16), student_shape=(None, 8))
    >>> loss.count_params()  # 16 * 4 + 4 and 8 * 4 + 4
    104

    Reference: Tian, Krishnan and Isola, "Contrastive Representation Distillation", 2020, arXiv 1910.10699; van den
    Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, arXiv 1807.03748.
    """

    compares_examples = True
    needs_build = True

    def __init__(
        self,
        teacher_layer_name=None,
        student_layer_name=None,
        dimension=128,
        temperature=0.07,
        examples=256,
        **kwargs,
    ):
        super().__init__(teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)
        if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
            raise ValueError(f"`dimension` must be a whole positive number. Received: dimension={dimension!r}")
        if isinstance(temperature, AdaptiveTemperature):
            raise ValueError(
                f"`temperature` of similarities must be a positive number or a schedule. Received: {temperature!r}"
            )
        self.dimension = dimension
        self.temperature = check_temperature(temperature)
        self.examples = check_examples("examples", examples)

    def build(self, teacher_shape, student_shape):
        """Makes both projectors; shapes as tuples."""
        self.teacher_projector = self._projector("teacher", teacher_shape)
        self.student_projector = self._projector("student", student_shape)
        self.built = True

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises `ValueError` for layers with several outputs."""
        for outputs in (teacher_outputs, student_outputs):
            if keras.tree.is_nested(outputs):
                raise ValueError(f"Contrastive distillation needs layers with one output. Received: {len(outputs)}")

    def validate_shapes(self, teacher, student):
        check_same_examples(teacher, student)

    def compute_loss(self, teacher_outputs, student_outputs, sample_weight=None, labels=None, step=None):
        self.validate_outputs(teacher_outputs, student_outputs)
        check_same_examples(teacher_outputs, student_outputs)
        if not self.built:
            self.build(tuple(teacher_outputs.shape), tuple(student_outputs.shape))
        teacher, student = ops.stop_gradient(as_vectors(teacher_outputs)), as_vectors(student_outputs)
        weights, factor = example_weights(student, sample_weight)
        teacher, student, weights = among(self.examples, teacher, student, weights)
        teacher, student = self.teacher_projector(teacher), self.student_projector(student)
        temperature = resolve_temperature(self.temperature, step, teacher, student)
        return factor * mean_over_examples(contrastive(teacher, student, temperature, weights), weights)

    def get_config(self):
        return {
            **super().get_config(),
            "dimension": self.dimension,
            "temperature": serialize(self.temperature),
            "examples": self.examples,
        }

    def _projector(self, role, shape):
        width = vector_width(shape)
        if width is None:
            raise ValueError(
                f"Contrastive distillation needs {role} features of known shape but for the batch. "
                f"Received: {tuple(shape)}"
            )
        projector = keras.layers.Dense(self.dimension, dtype="float32", name=f"{role}_projector")
        projector.build((None, width))
        return projector


def contrastive(teacher_embeddings, student_embeddings, temperature=0.07, sample_weight=None):
    """InfoNCE between teacher and student embeddings of the same examples, halved between both sides.

    Args:
        teacher_embeddings: tensor `[batch, dimensions]` of any float dtype. Gradient flows into it, for a projector that
            made it; stop it where there is none.
        student_embeddings: tensor of the same shape.
        temperature: positive number or scalar tensor.
        sample_weight: weights `[batch]`, or `None`. Only which are 0 matters: those are no negatives.

    Returns:
        float32 `[batch]`, from 0.

    Raises:
        ValueError: for embeddings of different examples, and sample weights that are not one an example.

    >>> import keras
    >>> embeddings = keras.ops.eye(2)
    >>> [round(float(value), 4) for value in contrastive(embeddings, embeddings, temperature=1.0)]
    [0.3133, 0.3133]
    """
    check_same_examples(teacher_embeddings, student_embeddings)
    teacher, student = (
        unit_vectors(ops.cast(embeddings, "float32")) for embeddings in (teacher_embeddings, student_embeddings)
    )
    similarities = ops.matmul(student, ops.transpose(teacher)) / temperature
    matching = ops.diagonal(similarities)
    counts = ops.not_equal(example_weights(student, sample_weight)[0], 0.0)
    from_student = ops.logsumexp(ops.where(counts, similarities, FAR_APART), axis=1)
    from_teacher = ops.logsumexp(ops.where(counts, ops.transpose(similarities), FAR_APART), axis=1)
    return 0.5 * (from_student + from_teacher) - matching
