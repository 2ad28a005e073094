"""Similarity-preserving distillation: examples alike to the teacher become alike to the student."""

import keras
from keras import ops

from tfdistill.losses.feature_vectors import as_vectors, unit_vectors
from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.relations import (
    among,
    check_examples,
    check_same_examples,
    example_weights,
    mean_over_examples,
    products,
)


@keras.saving.register_keras_serializable(package="tfdistill")
class SimilarityPreserving(OutputLoss):
    """The student learns which examples of a batch the teacher finds alike.

    `|N(F_t F_tᵀ) - N(F_s F_sᵀ)|² / b²`, with F the flattened features of the b examples, one a row, and N dividing each
    row of their inner products by its length. With sample weights w the sums over rows and columns, in the lengths too,
    are weighted by w relative to its mean and the loss is multiplied by `Σ w_i / b`: an example of weight 0 has no
    influence.

    Worked by hand, two examples: teacher features (1, 0) and (0, 1), student features (1) and (1). The inner products
    are the unit matrix and all ones; with rows of length 1 the differences are .2929 on the diagonal and -.7071 off it:
    2 (.0858 + .5) / 4 = .2929.

    When to use it: between layers of any shapes, without a projector; with batches of some size, since only relations
    inside a batch count. The usual weight is 3000, since values are small: at most 4/b. Features may be rotated,
    mirrored and scaled as a whole without any effect.

    Args:
        teacher_layer_name: the layer of the teacher: its name, its path in nested models, or the layer; `None` for the
            model's output. Shapes of teacher and student may differ in all but the batch. Steps that a Keras mask
            leaves out count as zeros.
        student_layer_name: the same for the student.
        examples: so many examples, spread evenly over the batch, stand for all of a larger batch, since the cost grows
            with their square; `None` for all.

    Raises:
        ValueError: for an unknown layer (names the nearest), and sample weights that are not one an example.

    Example:

    >>> import keras
    >>> loss = SimilarityPreserving()
    >>> round(float(loss.compute_loss(keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), keras.ops.array([[1.0], [1.0]]))), 4)
    0.2929

    Reference: Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019, arXiv 1907.09682.
    """

    compares_examples = True

    def __init__(self, teacher_layer_name=None, student_layer_name=None, examples=256, **kwargs):
        super().__init__(teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)
        self.examples = check_examples("examples", examples)

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            check_same_examples(one, other)

    def output_loss(self, teacher, student, sample_weight=None, labels=None, step=None):
        return similarity_preserving(teacher, student, sample_weight, self.examples)

    def get_config(self):
        return {**super().get_config(), "examples": self.examples}


def similarity_preserving(teacher_features, student_features, sample_weight=None, examples=256):
    """The mean squared difference between the normalised similarities of all pairs of examples.

    Args:
        teacher_features: tensor `[batch, ...]` of any float dtype. No gradient flows into it.
        student_features: tensor `[batch, ...]`.
        sample_weight: weights `[batch]`, or `None`.
        examples: so many examples, spread evenly over the batch, stand for all of a larger batch; `None` for all.

    Returns:
        float32 scalar.

    Raises:
        ValueError: for features of different examples, and sample weights that are not one an example.

    >>> import keras
    >>> features = keras.ops.array([[1.0, 2.0], [3.0, 4.0]])
    >>> float(similarity_preserving(features, 2 * features))
    0.0
    """
    check_same_examples(teacher_features, student_features)
    check_examples("examples", examples)
    teacher, student = as_vectors(teacher_features), as_vectors(student_features)
    weights, factor = example_weights(student, sample_weight)
    teacher, student, weights = among(examples, teacher, student, weights)
    teacher, student = (unit_vectors(products(vectors), weights) for vectors in (teacher, student))
    return factor * mean_over_examples(ops.square(ops.stop_gradient(teacher) - student), weights)
