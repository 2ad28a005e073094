import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import RelationalDistillation, relational_angle, relational_distance

GENERATOR = np.random.default_rng(0)
TEACHER = GENERATOR.normal(size=(6, 2, 4)).astype("float32")
STUDENT = GENERATOR.normal(size=(6, 3)).astype("float32")


def huber(difference):
    size = np.abs(difference)
    return np.where(size <= 1, difference**2 / 2, size - 0.5)


def distance_reference(teacher, student):
    def relative(features):
        rows = features.reshape(len(features), -1).astype("float64")
        distances = np.linalg.norm(rows[:, None] - rows, axis=-1)
        return distances / distances[~np.eye(len(rows), dtype=bool)].mean()

    return huber(relative(teacher) - relative(student)).mean()


def angle_reference(teacher, student):
    def cosines(features):
        rows = features.reshape(len(features), -1).astype("float64")
        count = len(rows)
        result = np.zeros((count, count, count))
        for i in range(count):
            for j in range(count):
                for k in range(count):
                    one, other = rows[j] - rows[i], rows[k] - rows[i]
                    lengths = np.linalg.norm(one) * np.linalg.norm(other)
                    result[i, j, k] = one @ other / lengths if lengths > 0 else 0.0
        return result

    return huber(cosines(teacher) - cosines(student)).mean()


def reference(teacher, student):
    return 25 * distance_reference(teacher, student) + 50 * angle_reference(teacher, student)


def rotation(size):
    return np.linalg.qr(GENERATOR.normal(size=(size, size)))[0].astype("float32")


def test_distances_of_three_points_on_a_line_worked_by_hand():
    # Relative distances .75, .75, 1.5 against .5, 1, 1.5; each twice among nine pairs.
    teacher, student = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [3.0]])
    np.testing.assert_allclose(relational_distance(teacher, student), 4 * 0.25**2 / 2 / 9, rtol=1e-5)
    np.testing.assert_allclose(relational_angle(teacher, student), 0.0, atol=1e-6)


def test_angles_of_a_corner_against_a_line_worked_by_hand():
    # A right angle and twice 45 degrees against 0, 180 and 0 degrees; each twice among 27 triples.
    corner, line = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([[0.0], [1.0], [2.0]])
    half = 1 / np.sqrt(2)
    expected = 2 * (1 / 2 + (half + 1 - 0.5) + (1 - half) ** 2 / 2) / 27
    np.testing.assert_allclose(relational_angle(corner, line), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(relational_distance, distance_reference), (relational_angle, angle_reference)],
    ids=["distance", "angle"],
)
def test_value_and_gradient_are_those_of_the_definition(numerical_gradient, function, expected):
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        value = function(TEACHER, student)
    np.testing.assert_allclose(value, expected(TEACHER, STUDENT), rtol=1e-5)
    gradient = numerical_gradient(lambda features: expected(TEACHER, features), STUDENT)
    np.testing.assert_allclose(tape.gradient(value, student), gradient, rtol=1e-3, atol=1e-6)


def test_the_loss_is_25_times_the_distances_and_50_times_the_angles():
    np.testing.assert_allclose(
        RelationalDistillation().compute_loss(TEACHER, STUDENT), reference(TEACHER, STUDENT), rtol=1e-5
    )
    only_angles = RelationalDistillation(distance_weight=0, angle_weight=2).compute_loss(TEACHER, STUDENT)
    np.testing.assert_allclose(only_angles, 2 * angle_reference(TEACHER, STUDENT), rtol=1e-5)
    assert RelationalDistillation(distance_weight=0, angle_weight=0).compute_loss(TEACHER, STUDENT) == 0.0


def test_rotation_shift_scale_and_order_of_the_examples_do_not_matter():
    plain = RelationalDistillation().compute_loss(TEACHER, STUDENT)
    moved = 7 * STUDENT @ rotation(3) + np.array([100.0, -50.0, 3.0], "float32")
    np.testing.assert_allclose(RelationalDistillation().compute_loss(TEACHER, moved), plain, rtol=1e-3)
    order = GENERATOR.permutation(6)
    np.testing.assert_allclose(RelationalDistillation().compute_loss(TEACHER[order], STUDENT[order]), plain, rtol=1e-5)
    teacher = TEACHER.reshape(6, 8)
    np.testing.assert_allclose(
        RelationalDistillation().compute_loss(teacher, 3 * teacher @ rotation(8)), 0.0, atol=1e-8
    )


def test_an_example_of_weight_zero_has_no_influence():
    weights = np.array([1, 1, 0, 1, 0, 1], "float32")
    kept = weights > 0
    loss = RelationalDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights)
    np.testing.assert_allclose(loss, reference(TEACHER[kept], STUDENT[kept]) * 4 / 6, rtol=1e-4)
    assert RelationalDistillation().compute_loss(TEACHER, STUDENT, sample_weight=np.zeros(6)) == 0.0


def test_weights_twice_as_large_make_the_loss_twice_as_large():
    weights = np.array([1, 2, 3, 1, 2, 0], "float32")
    once, twice = (
        RelationalDistillation().compute_loss(TEACHER, STUDENT, sample_weight=factor * weights) for factor in (1, 2)
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_examples_that_are_in_the_batch_twice_have_distance_zero_and_finite_gradients():
    twice = [np.concatenate([features, features[:3]]) for features in (TEACHER, STUDENT)]
    student = tf.Variable(twice[1])
    with tf.GradientTape() as tape:
        loss = RelationalDistillation().compute_loss(twice[0], student)
    np.testing.assert_allclose(loss, reference(*twice), rtol=1e-4)
    gradient = tape.gradient(loss, student).numpy()
    np.testing.assert_allclose(gradient[:3], gradient[6:], rtol=1e-3, atol=1e-6)
    assert np.abs(gradient).max() < 100


@pytest.mark.parametrize(
    "student",
    [STUDENT[:1], np.zeros((6, 3), "float32"), np.full((6, 3), 1e4, "float32")],
    ids=["one", "zeros", "equal"],
)
def test_degenerate_batches_have_finite_loss_and_gradient(student):
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        loss = RelationalDistillation().compute_loss(TEACHER[: len(student)], variable)
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, variable)).all()
    if len(student) == 1:
        assert loss == 0.0


def test_float16_features_are_compared_in_float32():
    # 300² overflows float16
    teacher, student = (tf.cast(300 * features, "float16") for features in (TEACHER, STUDENT))
    np.testing.assert_allclose(
        RelationalDistillation().compute_loss(teacher, student), reference(TEACHER, STUDENT), rtol=1e-2
    )


def test_angles_are_computed_over_examples_spread_over_the_batch():
    expected = angle_reference(TEACHER[::2], STUDENT[::2])
    np.testing.assert_allclose(relational_angle(TEACHER, STUDENT, examples=3), expected, rtol=1e-5)
    whole = angle_reference(TEACHER, STUDENT)
    for examples in (6, 100, None):
        np.testing.assert_allclose(relational_angle(TEACHER, STUDENT, examples=examples), whole, rtol=1e-5)


def test_examples_of_weight_zero_take_no_place_among_those_for_angles():
    weights = np.array([0, 1, 1, 0, 1, 1], "float32")
    for examples, kept in ((3, [1, 2, 4]), (4, [1, 2, 4, 5]), (5, [1, 2, 4, 5])):
        value = relational_angle(TEACHER, STUDENT, weights, examples=examples)
        np.testing.assert_allclose(value, angle_reference(TEACHER[kept], STUDENT[kept]) * 4 / 6, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec((None, 2, 4)), tf.TensorSpec((None, 3))], jit_compile=jit_compile)
    def angle(teacher, student):
        return relational_angle(teacher, student, examples=3)

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 4)), tf.TensorSpec((None, 3))], jit_compile=jit_compile)
    def loss(teacher, student):
        return RelationalDistillation().compute_loss(teacher, student)

    np.testing.assert_allclose(angle(TEACHER, STUDENT), angle_reference(TEACHER[::2], STUDENT[::2]), rtol=1e-5)
    np.testing.assert_allclose(
        angle(TEACHER[:2], STUDENT[:2]), angle_reference(TEACHER[:2], STUDENT[:2]), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(loss(TEACHER, STUDENT), reference(TEACHER, STUDENT), rtol=1e-5)


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        loss = RelationalDistillation().compute_loss(teacher, STUDENT)
    assert tape.gradient(loss, teacher) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance_weight": -1}, "`distance_weight` must be a number of at least 0. Received: distance_weight=-1"),
        ({"angle_weight": "50"}, "`angle_weight` must be a number"),
        ({"angle_examples": 0}, "`angle_examples` must be a whole positive number or None. Received: 0"),
        ({"angle_examples": 2.5}, "`angle_examples`"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelationalDistillation(**arguments)


def test_features_of_different_examples_are_refused():
    with pytest.raises(ValueError, match="same examples"):
        relational_distance(TEACHER, STUDENT[:5])


def test_the_configuration_round_trips():
    loss = RelationalDistillation("a", "b", distance_weight=1, angle_weight=0.5, angle_examples=None)
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.distance_weight, copy.angle_weight, copy.angle_examples) == (1, 0.5, None)
    assert keras.saving.serialize_keras_object(copy) == config


def test_distances_of_a_large_batch_are_those_of_evenly_spread_examples():
    features = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    other = features * [1.0, 2.0, 3.0]
    spread = relational_distance(features, other, examples=3)
    centred = features - features.mean(0)  # distances do not see it
    np.testing.assert_allclose(spread, relational_distance(centred[::3], other[::3]), rtol=1e-4)
