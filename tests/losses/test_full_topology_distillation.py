"""FTD against the sum over all pairs, written out."""

import numpy as np
import tensorflow as tf

from tfdistill.losses import FullTopologyDistillation, full_topology


def over_all_pairs(teacher, student, weights):
    """Σ_ij (cos t_i t_j - cos s_i s_j)² over rows that count, in float64."""
    teacher, student = (one[weights > 0].astype("float64") for one in (teacher, student))
    teacher, student = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (teacher, student))
    return np.sum((teacher @ teacher.T - student @ student.T) ** 2)


def sample(rows, teacher_width, student_width, seed=0):
    random = np.random.default_rng(seed)
    teacher, student = (random.normal(size=(rows, width)).astype("float32") for width in (teacher_width, student_width))
    return teacher, student, (random.random(rows) < 0.8).astype("float32")


def test_the_value_is_that_of_all_pairs_and_so_is_the_gradient(gradient, numerical_gradient):
    teacher, student, weights = sample(7, 5, 3)
    np.testing.assert_allclose(
        full_topology(teacher, student, weights), over_all_pairs(teacher, student, weights), rtol=1e-5
    )
    np.testing.assert_allclose(
        gradient(lambda point: full_topology(teacher, point, weights), student),
        numerical_gradient(lambda point: over_all_pairs(teacher, point, weights), student),
        atol=1e-4,
    )


def test_float32_is_enough_for_a_batch_of_the_papers_size():
    teacher, student, weights = sample(1500, 100, 20)
    found = full_topology(teacher, student, weights)
    np.testing.assert_allclose(found, over_all_pairs(teacher, student, weights), rtol=1e-5)


def test_gradients_stay_right_where_the_student_is_nearly_perfect(gradient):
    # The value is what is left when numbers of the size of the batch cancel; the gradient is not.
    teacher, _, weights = sample(400, 16, 16)
    student = teacher + 0.02 * np.random.default_rng(1).normal(size=teacher.shape).astype("float32")

    def direct(point):
        kept = tf.cast(weights > 0, point.dtype)[:, None]
        of_teacher, of_student = (tf.math.l2_normalize(tf.cast(one, "float64"), axis=1) for one in (teacher, point))
        of_teacher, of_student = of_teacher * tf.cast(kept, "float64"), of_student * tf.cast(kept, "float64")
        difference = tf.matmul(of_teacher, of_teacher, transpose_b=True) - tf.matmul(
            of_student, of_student, transpose_b=True
        )
        return tf.reduce_sum(difference**2)

    expected = gradient(direct, student)
    found = gradient(lambda point: full_topology(teacher, point, weights), student)
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)
    np.testing.assert_allclose(full_topology(teacher, student, weights), direct(tf.constant(student)), rtol=0.02)


def test_a_student_that_is_its_teacher_loses_nothing_and_never_less():
    teacher, _, weights = sample(50, 8, 8)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0].astype("float32")
    assert 0 <= float(full_topology(teacher, 3.0 * teacher @ rotation, weights)) < 1e-3


def test_the_mean_is_over_all_pairs_of_different_rows():
    teacher, student, weights = sample(9, 4, 2)
    outputs = [{"user": one[:3], "item": one[3:]} for one in (teacher, student, weights)]
    outputs = [{name: tf.constant(value) for name, value in one.items()} for one in outputs]
    found = FullTopologyDistillation("mean").compute_loss(*outputs)
    np.testing.assert_allclose(found, over_all_pairs(teacher, student, weights) / weights.sum() ** 2, rtol=1e-5)


def test_a_vector_of_zeros_is_like_nobody_and_has_a_gradient_of_zero(gradient):
    teacher, student, weights = sample(5, 4, 2)
    student[2] = 0
    assert np.isfinite(gradient(lambda point: full_topology(teacher, point), student)).all()
