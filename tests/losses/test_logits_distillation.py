import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import LogitsDistillation, softened_crossentropy, softened_kl_divergence

GENERATOR = np.random.default_rng(1)
TEACHER = GENERATOR.normal(0, 2, (8, 4)).astype("float32")
STUDENT = GENERATOR.normal(0, 2, (8, 4)).astype("float32")
WEIGHTS = np.arange(8).astype("float32")


def compute(loss, teacher=TEACHER, student=STUDENT, **arguments):
    return float(loss.compute_loss(tf.constant(teacher), tf.constant(student), **arguments))


@pytest.mark.parametrize(
    "name", ["kl_divergence", "kld", "KLDivergence", keras.losses.kl_divergence, keras.losses.KLDivergence()]
)
def test_every_way_to_name_kl_compares_softened_distributions(name):
    expected = np.mean(softened_kl_divergence(TEACHER, STUDENT, 3.0))
    np.testing.assert_allclose(compute(LogitsDistillation(3.0, name)), expected, rtol=1e-6)


def test_kl_equals_keras_where_keras_softens():
    # keras.distillation softens for the loss instance; its string identifier compares raw logits.
    theirs = keras.distillation.LogitsDistillation(3.0, keras.losses.KLDivergence())
    np.testing.assert_allclose(compute(LogitsDistillation(3.0)), compute(theirs), rtol=1e-4)
    assert abs(compute(keras.distillation.LogitsDistillation(3.0)) - compute(theirs)) > 0.1


@pytest.mark.parametrize(
    "name", ["categorical_crossentropy", keras.losses.CategoricalCrossentropy(), keras.losses.categorical_crossentropy]
)
def test_crossentropy_takes_the_teachers_distribution_as_target(name):
    expected = np.mean(softened_crossentropy(TEACHER, STUDENT, 2.0))
    np.testing.assert_allclose(compute(LogitsDistillation(2.0, name)), expected, rtol=1e-6)


def test_binary_crossentropy_takes_every_output_for_a_sigmoid():
    expected = np.mean(softened_crossentropy(TEACHER, STUDENT, 2.0, task="binary"))
    np.testing.assert_allclose(compute(LogitsDistillation(2.0, "binary_crossentropy")), expected, rtol=1e-6)
    assert expected != pytest.approx(np.mean(softened_crossentropy(TEACHER, STUDENT, 2.0)))


@pytest.mark.parametrize("name", ["kl_divergence", "binary_crossentropy"])
def test_several_labels_are_sigmoids_averaged_over_the_labels(name):
    # Labels at 3/4 and 1/4 against 1/2 and 3/4, T = 1: two independent yes-or-no questions, no softmax.
    teacher, student = np.log([[3.0, 1 / 3]]), np.log([[1.0, 3.0]])
    crossentropies = [np.log(2.0), -0.25 * np.log(0.75) - 0.75 * np.log(0.25)]
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    expected = np.mean(crossentropies) - (entropy if name == "kl_divergence" else 0.0)
    np.testing.assert_allclose(
        compute(LogitsDistillation(1.0, name, task="binary"), teacher, student), expected, rtol=1e-6
    )


def test_one_output_means_a_sigmoid():
    # sigmoid(log 3) = 3/4 against sigmoid(0) = 1/2
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value = compute(LogitsDistillation(1.0), np.array([[np.log(3.0)]], "float32"), np.zeros((1, 1), "float32"))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_mse_compares_logits_whatever_the_temperature(temperature):
    value = compute(LogitsDistillation(temperature, "mse"))
    np.testing.assert_allclose(value, np.mean((TEACHER - STUDENT) ** 2), rtol=1e-5)


def test_other_losses_see_softened_logits_and_are_scaled_by_the_square():
    def error(teacher, student):
        return keras.ops.max(keras.ops.abs(teacher - student), axis=-1)

    expected = 4.0 * np.abs(TEACHER / 2 - STUDENT / 2).max(-1).mean()
    np.testing.assert_allclose(compute(LogitsDistillation(2.0, error)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["kl_divergence", "binary_crossentropy", "mse"])
def test_sample_weights_multiply_and_the_batch_size_divides(name):
    loss = LogitsDistillation(3.0, name)
    each = [compute(loss, TEACHER[i : i + 1], STUDENT[i : i + 1]) for i in range(8)]
    value = compute(loss, sample_weight=tf.constant(WEIGHTS))
    np.testing.assert_allclose(value, np.dot(WEIGHTS, each) / 8, rtol=1e-5)


def test_a_loss_instance_keeps_its_reduction():
    mean, total = (LogitsDistillation(3.0, keras.losses.KLDivergence(reduction=r)) for r in ("mean", "sum"))
    np.testing.assert_allclose(compute(total), 8 * compute(mean), rtol=1e-6)


def test_classes_are_summed_and_not_averaged():
    # Doubling every class halves its probability on both sides: the divergence stays.
    doubled = compute(LogitsDistillation(3.0), np.tile(TEACHER, 2), np.tile(STUDENT, 2))
    np.testing.assert_allclose(doubled, compute(LogitsDistillation(3.0)), rtol=1e-5)


def test_probabilities_give_the_same_loss_as_their_logits():
    probabilities = LogitsDistillation(3.0, from_logits=False)
    value = compute(probabilities, keras.ops.softmax(TEACHER), keras.ops.softmax(STUDENT))
    np.testing.assert_allclose(value, compute(LogitsDistillation(3.0)), rtol=1e-4)
    mixed = LogitsDistillation(3.0, from_logits=False, teacher_from_logits=True)
    np.testing.assert_allclose(compute(mixed, TEACHER, keras.ops.softmax(STUDENT)), value, rtol=1e-4)


def test_binary_probabilities_give_the_same_loss_as_their_logits():
    value = compute(LogitsDistillation(3.0, task="binary", from_logits=False), *map(tf.sigmoid, (TEACHER, STUDENT)))
    np.testing.assert_allclose(value, compute(LogitsDistillation(3.0, task="binary")), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_outputs_give_a_float32_loss(dtype):
    teacher, student = tf.cast(TEACHER, dtype), tf.cast(STUDENT, dtype)
    value = LogitsDistillation(3.0).compute_loss(teacher, student)
    assert value.dtype == tf.float32
    expected = LogitsDistillation(3.0).compute_loss(tf.cast(teacher, "float32"), tf.cast(student, "float32"))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_outputs_are_added_up_and_none_skips_one():
    kl, mse = compute(LogitsDistillation(3.0)), compute(LogitsDistillation(3.0, "mse"))
    teachers, students = {"a": TEACHER, "b": TEACHER, "c": TEACHER}, {"a": STUDENT, "b": STUDENT, "c": STUDENT}
    loss = LogitsDistillation(3.0, {"a": "kl_divergence", "b": None, "c": "mse"})
    np.testing.assert_allclose(loss.compute_loss(teachers, students), kl + mse, rtol=1e-6)
    loss = LogitsDistillation(3.0, ["kl_divergence", None])
    np.testing.assert_allclose(loss.compute_loss((TEACHER, TEACHER), (STUDENT, STUDENT)), kl, rtol=1e-6)


def test_one_loss_serves_all_outputs():
    value = LogitsDistillation(3.0).compute_loss([TEACHER, STUDENT], [STUDENT, TEACHER])
    expected = compute(LogitsDistillation(3.0)) + compute(LogitsDistillation(3.0), STUDENT, TEACHER)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_every_output_has_its_own_sample_weights():
    loss = LogitsDistillation(3.0)
    value = loss.compute_loss([TEACHER, TEACHER], [STUDENT, STUDENT], sample_weight=[WEIGHTS, 2 * WEIGHTS])
    np.testing.assert_allclose(value, 3 * compute(loss, sample_weight=WEIGHTS), rtol=1e-6)


def test_masked_time_steps_do_not_count():
    teacher, student = (np.stack([values, values + 1.0], axis=1) for values in (TEACHER, STUDENT))
    teacher[:, 1] = 100.0 * STUDENT
    masked = tf.constant(student)
    masked._keras_mask = tf.constant([[True, False]] * 8)
    np.testing.assert_allclose(
        LogitsDistillation(3.0).compute_loss(tf.constant(teacher), masked), compute(LogitsDistillation(3.0)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "loss",
    [
        LogitsDistillation(),
        LogitsDistillation(2, keras.losses.CategoricalCrossentropy(reduction="sum"), task="categorical"),
        LogitsDistillation(1.5, {"a": "mse", "b": None}, from_logits=False, teacher_from_logits=True),
        LogitsDistillation(1.5, ["binary_crossentropy", keras.losses.kl_divergence], task="auto"),
    ],
)
def test_the_configuration_round_trips(loss):
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is LogitsDistillation
    assert keras.saving.serialize_keras_object(copy) == config


@pytest.mark.parametrize("temperature", [0, -1.0, "3", None, float("nan"), True])
def test_a_temperature_that_is_no_positive_number_is_refused(temperature):
    with pytest.raises(ValueError, match="`temperature` must be a positive number"):
        LogitsDistillation(temperature)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"loss": "kl"}, "kl"),
        ({"loss": None}, "at least one"),
        ({"loss": [None, None]}, "at least one"),
        ({"task": "multi"}, "task='multi'"),
        ({"loss": "binary_crossentropy", "task": "categorical"}, "contradicts"),
        ({"loss": "categorical_crossentropy", "task": "binary"}, "contradicts"),
        ({"loss": "sparse_categorical_crossentropy"}, "categorical_crossentropy"),
        ({"loss": keras.losses.CategoricalCrossentropy(label_smoothing=0.1)}, "label_smoothing"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogitsDistillation(**arguments)


def test_outputs_of_different_shape_or_structure_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(8, 1\), student \(8, 4\)"):
        LogitsDistillation().compute_loss(TEACHER[:, :1], STUDENT)
    with pytest.raises(ValueError, match="same structure"):
        LogitsDistillation().compute_loss([TEACHER], {"a": STUDENT})
    with pytest.raises(ValueError, match="A nested `loss`"):
        LogitsDistillation(loss=["mse", "mse", None]).compute_loss([TEACHER, TEACHER], [STUDENT, STUDENT])


def test_functional_models_with_different_outputs_are_refused_before_they_run():
    teacher = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    with pytest.raises(ValueError, match=r"teacher \(None, 4\), student \(None, 5\)"):
        LogitsDistillation().validate_model_compatibility(teacher, student)
