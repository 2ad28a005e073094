"""Relational distillation (RKD): distances between examples, and angles between three of them."""

import keras
from keras import ops

from tfdistill.losses.feature_vectors import as_vectors
from tfdistill.losses.output_loss import OutputLoss
from tfdistill.losses.relations import (
    among,
    check_examples,
    check_same_examples,
    example_weights,
    mean_over_examples,
    products,
)

# Squared distances below this share of the squared lengths are rounding errors of float32: the examples are the same.
SMALLEST_SQUARED_DISTANCE = 1e-6


@keras.saving.register_keras_serializable(package="tfdistill")
class RelationalDistillation(OutputLoss):
    """The student learns the teacher's distances between examples, and its angles at every three of them.

    `25 D + 50 A` with Huber's h(x) = x²/2 up to |x| = 1 and |x| - 1/2 beyond:

    - D: mean over pairs i, j of `h(d_t/μ_t - d_s/μ_s)`, d the distance of flattened features and μ the mean distance
      between two examples of the batch;
    - A: mean over triples i, j, k of `h(cos_t - cos_s)`, the cosine of the angle at example i between j and k.

    As in the authors' code the means run over all b² pairs and b³ triples, an example with itself included; distances
    and cosines of equal features are 0. An example that is in the batch twice does no harm. With sample weights w the
    means over i, j and k, and μ, are weighted and multiplied by `Σ w_i / b`: an example of weight 0 has no influence.

    Worked by hand, three points on a line: teacher 0, 1, 2 and student 0, 1, 3. μ_t = 4/3 and μ_s = 2, so distances
    01, 12, 02 are .75, .75, 1.5 against .5, 1, 1.5; h(.25) = .03125, four such among nine pairs: D = .0139. Cosines
    are 1 or -1 and agree, A = 0; 25 D = .3472.

    When to use it: between layers of any shapes, without a projector, above all for embeddings that are compared by
    distance, with a loss weight of 1: the paper's weights are inside. Features may be rotated, mirrored, moved and
    scaled as a whole without any effect.

    Args:
        teacher_layer_name: the layer of the teacher: its name, its path in nested models, or the layer; `None` for the
            model's output. Shapes of teacher and student may differ in all but the batch. Steps that a Keras mask
            leaves out count as zeros.
        student_layer_name: the same for the student.
        distance_weight: weight of D.
        angle_weight: weight of A.
        angle_examples: A is computed over so many examples, spread evenly over those of the batch with a weight, since
            its cost grows with their cube: 128 take 2 million triples. `None` for all.

    Raises:
        ValueError: for weights below 0 or no whole positive number of examples, an unknown layer (names the nearest),
            and sample weights that are not one an example.

    Example:

    >>> import keras
    >>> loss = RelationalDistillation()
    >>> teacher, student = keras.ops.array([[0.0], [1.0], [2.0]]), keras.ops.array([[0.0], [1.0], [3.0]])
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.3472

    Reference: Park et al., "Relational Knowledge Distillation", 2019, arXiv 1904.05068.
    """

    compares_examples = True

    def __init__(
        self,
        teacher_layer_name=None,
        student_layer_name=None,
        distance_weight=25.0,
        angle_weight=50.0,
        distance_examples=256,
        angle_examples=64,
        **kwargs,
    ):
        super().__init__(teacher_layer_name=teacher_layer_name, student_layer_name=student_layer_name, **kwargs)
        for name, weight in (("distance_weight", distance_weight), ("angle_weight", angle_weight)):
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight >= 0:
                raise ValueError(f"`{name}` must be a number of at least 0. Received: {name}={weight!r}")
        self.distance_weight, self.angle_weight = distance_weight, angle_weight
        self.distance_examples = check_examples("distance_examples", distance_examples)
        self.angle_examples = check_examples("angle_examples", angle_examples)

    def validate_shapes(self, teacher, student):
        for one, other in zip(keras.tree.flatten(teacher), keras.tree.flatten(student), strict=True):
            check_same_examples(one, other)

    def output_loss(self, teacher, student, sample_weight=None, labels=None, step=None):
        loss = 0.0
        if self.distance_weight > 0:
            loss += self.distance_weight * relational_distance(teacher, student, sample_weight, self.distance_examples)
        if self.angle_weight > 0:
            loss += self.angle_weight * relational_angle(teacher, student, sample_weight, self.angle_examples)
        return ops.convert_to_tensor(loss, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "distance_weight": self.distance_weight,
            "angle_weight": self.angle_weight,
            "distance_examples": self.distance_examples,
            "angle_examples": self.angle_examples,
        }


def relational_distance(teacher_features, student_features, sample_weight=None, examples=256):
    """The mean Huber difference between distances, each relative to the mean distance in the batch.

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
    >>> teacher, student = keras.ops.array([[0.0], [1.0], [2.0]]), keras.ops.array([[0.0], [1.0], [3.0]])
    >>> round(float(relational_distance(teacher, student)), 4)
    0.0139
    """
    check_examples("examples", examples)
    teacher, student, (weights, factor) = _vectors(teacher_features, student_features, sample_weight)
    teacher, student, weights = among(examples, teacher, student, weights)
    teacher, student = (_relative(_distances(vectors)[0], weights) for vectors in (teacher, student))
    return factor * mean_over_examples(_huber(teacher - student), weights)


def relational_angle(teacher_features, student_features, sample_weight=None, examples=64):
    """The mean Huber difference between the cosines of the angles that any three examples form.

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
    >>> corner = keras.ops.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> line = keras.ops.array([[0.0], [1.0], [2.0]])
    >>> round(float(relational_angle(corner, line)), 4)  # (2 h(1) + 2 h(.71 - 1) + 2 h(.71 + 1)) / 27
    0.1296
    """
    check_examples("examples", examples)
    teacher, student, (weights, factor) = _vectors(teacher_features, student_features, sample_weight)
    teacher, student, weights = among(examples, teacher, student, weights)
    return factor * mean_over_examples(_huber(_cosines(teacher) - _cosines(student)), weights)


def _vectors(teacher_features, student_features, sample_weight):
    check_same_examples(teacher_features, student_features)
    teacher, student = ops.stop_gradient(as_vectors(teacher_features)), as_vectors(student_features)
    weights = example_weights(student, sample_weight)
    return _centred(teacher, weights[0]), _centred(student, weights[0]), weights


def _centred(vectors, weights):
    # Distances do not see where the origin is, but rounding errors grow with the way to it.
    total = ops.sum(vectors * ops.expand_dims(weights, axis=1), axis=0)
    return vectors - ops.stop_gradient(ops.divide_no_nan(total, ops.sum(weights)))


def _distances(vectors):
    """Distances of all pairs, 0 between equal vectors; their inverses, 0 as well; and the inner products."""
    inner = products(vectors)
    lengths = ops.diagonal(inner)  # of these same products, so that rounding of their factors cancels
    lengths = ops.expand_dims(lengths, 0) + ops.expand_dims(lengths, 1)
    squared = lengths - 2.0 * inner
    apart = squared > SMALLEST_SQUARED_DISTANCE * lengths
    inverse = ops.where(apart, ops.rsqrt(ops.where(apart, squared, 1.0)), 0.0)
    return squared * inverse, inverse, inner


def _relative(distances, weights):
    pairs = ops.square(ops.sum(weights)) - ops.sum(ops.square(weights))  # of two different examples
    total = ops.sum(ops.expand_dims(weights, 1) * weights * distances)
    return ops.divide_no_nan(distances, ops.divide_no_nan(total, pairs))


def _cosines(vectors):
    """`[i, j, k]`: the cosine of the angle at i between j and k; 0 where i equals one of them."""
    _, inverse, inner = _distances(vectors)
    at_vertex = ops.expand_dims(inner, 2)  # [i, j, 1]
    sides = ops.expand_dims(inner, 0) - at_vertex - ops.swapaxes(at_vertex, 1, 2)
    sides += ops.expand_dims(ops.expand_dims(ops.diagonal(inner), 1), 2)
    return sides * ops.expand_dims(inverse, 2) * ops.expand_dims(inverse, 1)


def _huber(difference):
    size = ops.abs(difference)
    return ops.where(size <= 1.0, 0.5 * ops.square(difference), size - 0.5)
