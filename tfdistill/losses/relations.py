"""What the losses on relations between the examples of a batch have in common."""

from keras import ops

from tfdistill.losses.batch_weights import batch_weights


def example_weights(vectors, sample_weight):
    """What each example counts, float32 `[batch]`, and the factor of the whole loss: see `batch_weights`.

    Raises:
        ValueError: unless `sample_weight` has one weight an example.
    """
    if sample_weight is not None and any(size != 1 for size in tuple(sample_weight.shape)[1:]):
        raise ValueError(
            "Relations between examples need one weight an example. "
            f"Received: sample_weight of shape {tuple(sample_weight.shape)}"
        )
    return batch_weights(vectors, sample_weight)


def among(most, teacher, student, weights):
    """Vectors and weights of at most so many examples, evenly spread over those that count; `most=None` for all.

    The cost of relations grows with the square or the cube of the examples, that of the models in proportion.
    """
    examples = ops.shape(weights)[0]
    if most is None or (isinstance(examples, int) and examples <= most):
        return teacher, student, weights
    places = ops.minimum(examples, most)
    absent = ops.cast(ops.equal(weights, 0.0), "int32")
    order = ops.argsort(absent * examples + ops.arange(examples, dtype="int32"))  # those that count come first
    span = ops.maximum(examples - ops.sum(absent), places)
    chosen = ops.take(order, ops.arange(places, dtype="int32") * span // places)
    return tuple(ops.take(tensor, chosen, axis=0) for tensor in (teacher, student, weights))


def check_examples(name, examples):
    """Returns a number of examples, or `None` for all; raises `ValueError` for anything else."""
    if examples is not None and (isinstance(examples, bool) or not isinstance(examples, int) or examples < 1):
        raise ValueError(f"`{name}` must be a whole positive number or None. Received: {examples!r}")
    return examples


def mean_over_examples(values, weights):
    """The mean of values `[batch, ..., batch]`, every axis weighted by what the examples count; 0 where none does."""
    while len(values.shape) > 0:
        values = ops.divide_no_nan(ops.sum(values * weights, axis=-1), ops.sum(weights))
    return values


def products(vectors):
    """The inner products of all pairs of vectors, `[batch, batch]`."""
    return ops.matmul(vectors, ops.transpose(vectors))


def check_same_examples(teacher, student):
    """Raises `ValueError` where it is known that teacher and student features are of different numbers of examples."""
    teacher_shape, student_shape = tuple(teacher.shape), tuple(student.shape)
    counts = {teacher_shape[:1], student_shape[:1]} - {(None,)}
    if not teacher_shape or not student_shape or len(counts) > 1:
        raise ValueError(
            "Teacher and student features must be of the same examples, [batch, ...]. "
            f"Received: teacher {teacher_shape}, student {student_shape}"
        )
