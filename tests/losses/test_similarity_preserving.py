import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import SimilarityPreserving, similarity_preserving

GENERATOR = np.random.default_rng(0)
TEACHER = GENERATOR.normal(size=(6, 2, 4)).astype("float32")
STUDENT = GENERATOR.normal(size=(6, 3)).astype("float32")


def reference(teacher, student):
    def normalised(features):
        rows = features.reshape(len(features), -1).astype("float64")
        similarities = rows @ rows.T
        return similarities / np.linalg.norm(similarities, axis=1, keepdims=True)

    return ((normalised(teacher) - normalised(student)) ** 2).sum() / len(teacher) ** 2


def rotation(size):
    return np.linalg.qr(GENERATOR.normal(size=(size, size)))[0].astype("float32")


def test_two_examples_worked_by_hand():
    # Rows (1, 0), (0, 1) against (1, 1)/√2 twice.
    expected = 2 * ((1 - 1 / np.sqrt(2)) ** 2 + 1 / 2) / 4
    np.testing.assert_allclose(similarity_preserving(np.eye(2), np.ones((2, 1))), expected, rtol=1e-6)


def test_value_and_gradient_are_those_of_the_definition(numerical_gradient):
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        loss = similarity_preserving(TEACHER, student)
    np.testing.assert_allclose(loss, reference(TEACHER, STUDENT), rtol=1e-5)
    expected = numerical_gradient(lambda features: reference(TEACHER, features), STUDENT)
    np.testing.assert_allclose(tape.gradient(loss, student), expected, rtol=1e-3, atol=1e-6)


def test_rotation_scale_and_order_of_the_examples_do_not_matter():
    plain = similarity_preserving(TEACHER, STUDENT)
    rotated = 7 * STUDENT @ rotation(3)
    np.testing.assert_allclose(similarity_preserving(TEACHER, rotated), plain, rtol=1e-5)
    order = GENERATOR.permutation(6)
    np.testing.assert_allclose(similarity_preserving(TEACHER[order], STUDENT[order]), plain, rtol=1e-5)
    teacher = TEACHER.reshape(6, 8)
    np.testing.assert_allclose(similarity_preserving(teacher, 0.1 * teacher @ rotation(8)), 0.0, atol=1e-10)


def test_an_example_of_weight_zero_has_no_influence():
    weights = np.array([1, 1, 0, 1, 0, 1], "float32")
    kept = weights > 0
    loss = SimilarityPreserving().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(loss, reference(TEACHER[kept], STUDENT[kept]) * 4 / 6, rtol=1e-5)
    assert SimilarityPreserving().compute_loss(TEACHER, STUDENT, sample_weight=np.zeros(6)) == 0.0


def test_weights_twice_as_large_make_the_loss_twice_as_large():
    weights = np.array([[1], [2], [3], [1], [2], [0]], "float32")
    once = SimilarityPreserving().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(
        SimilarityPreserving().compute_loss(TEACHER, STUDENT, sample_weight=2 * weights), 2 * once, rtol=1e-5
    )
    twos = SimilarityPreserving().compute_loss(TEACHER, STUDENT, sample_weight=np.full(6, 2.0))
    np.testing.assert_allclose(twos, 2 * reference(TEACHER, STUDENT), rtol=1e-5)


def test_weights_for_each_step_of_a_sequence_are_refused():
    with pytest.raises(ValueError, match=r"one weight an example. Received: sample_weight of shape \(6, 2\)"):
        similarity_preserving(TEACHER, TEACHER, np.ones((6, 2)))


def test_float16_features_are_compared_in_float32():
    teacher, student = (tf.cast(100 * features, "float16") for features in (TEACHER, STUDENT))
    np.testing.assert_allclose(similarity_preserving(teacher, student), reference(TEACHER, STUDENT), rtol=1e-2)


@pytest.mark.parametrize(
    "student", [STUDENT[:1], np.zeros((6, 3), "float32"), np.ones((6, 3), "float32")], ids=["one", "zeros", "equal"]
)
def test_degenerate_batches_have_finite_loss_and_gradient(student):
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        loss = SimilarityPreserving().compute_loss(TEACHER[: len(student)], variable)
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, variable)).all()


def test_a_single_example_says_nothing():
    np.testing.assert_allclose(similarity_preserving(TEACHER[:1], STUDENT[:1]), 0.0, atol=1e-12)


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        loss = SimilarityPreserving().compute_loss(teacher, STUDENT)
    assert tape.gradient(loss, teacher) is None


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec((None, 2, 4)), tf.TensorSpec((None, 3))], jit_compile=jit_compile)
    def loss(teacher, student):
        return SimilarityPreserving().compute_loss(teacher, student)

    np.testing.assert_allclose(loss(TEACHER, STUDENT), reference(TEACHER, STUDENT), rtol=1e-5)


def test_features_of_different_examples_are_refused():
    with pytest.raises(ValueError, match=r"same examples.* teacher \(6, 2, 4\), student \(5, 3\)"):
        similarity_preserving(TEACHER, STUDENT[:5])


def test_the_configuration_round_trips():
    config = keras.saving.serialize_keras_object(SimilarityPreserving("a", "b"))
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.teacher_layer_name, copy.student_layer_name) == ("a", "b")
    assert keras.saving.serialize_keras_object(copy) == config


def test_of_a_large_batch_evenly_spread_examples_stand_for_all():
    features = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    other = features[:, ::-1] * [1.0, 2.0, 3.0]
    some = similarity_preserving(features[::3], other[::3])
    np.testing.assert_allclose(similarity_preserving(features, other, examples=3), some, rtol=1e-5)
    assert abs(similarity_preserving(features, other, examples=None) - some) > 1e-4
