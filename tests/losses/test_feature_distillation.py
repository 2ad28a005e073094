import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import FeatureDistillation

GENERATOR = np.random.default_rng(2)
TEACHER = GENERATOR.normal(size=(6, 3)).astype("float32")
STUDENT = GENERATOR.normal(size=(6, 3)).astype("float32")


def model(width, name="hidden"):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(width, name=name), keras.layers.Dense(2, name="out")]
    )


def test_mse_is_the_mean_over_examples_and_features():
    np.testing.assert_allclose(
        FeatureDistillation().compute_loss(TEACHER, STUDENT), np.mean((TEACHER - STUDENT) ** 2), rtol=1e-6
    )


def test_sample_weights_multiply_and_the_batch_size_divides():
    weights = np.array([0, 1, 2, 0, 0, 3], "float32")
    expected = np.dot(weights, ((TEACHER - STUDENT) ** 2).mean(-1)) / 6
    np.testing.assert_allclose(
        FeatureDistillation().compute_loss(TEACHER, STUDENT, sample_weight=weights), expected, rtol=1e-5
    )


def test_cosine_similarity_is_keras_own_and_minus_one_at_best():
    loss = FeatureDistillation("cosine_similarity")
    np.testing.assert_allclose(loss.compute_loss(TEACHER, 5 * TEACHER), -1.0, rtol=1e-5)
    theirs = keras.distillation.FeatureDistillation("cosine_similarity")
    np.testing.assert_allclose(loss.compute_loss(TEACHER, STUDENT), theirs.compute_loss(TEACHER, STUDENT), rtol=1e-5)


def test_float16_features_are_compared_in_float32():
    # 300² overflows float16
    teacher, student = tf.fill((2, 3), tf.constant(300.0, "float16")), tf.zeros((2, 3), "float16")
    np.testing.assert_allclose(FeatureDistillation().compute_loss(teacher, student), 90000.0)


def test_none_skips_an_output_of_a_layer():
    loss = FeatureDistillation(["mse", None])
    np.testing.assert_allclose(
        loss.compute_loss([TEACHER, TEACHER], [STUDENT, STUDENT]), np.mean((TEACHER - STUDENT) ** 2), rtol=1e-6
    )


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        value = FeatureDistillation().compute_loss(teacher, STUDENT)
    assert tape.gradient(value, teacher) is None


def test_a_wrong_layer_name_lists_the_nearest():
    with pytest.raises(ValueError, match=r"In teacher model: no layer named 'hiden'. The nearest: 'hidden'"):
        FeatureDistillation("mse", "hiden", "hidden").validate_model_compatibility(model(8), model(8))
    with pytest.raises(ValueError, match=r"In student model: no layer named 'x'. Its layers: \['hidden', 'out'\]"):
        FeatureDistillation("mse", "hidden", "x").validate_model_compatibility(model(8), model(8))


def test_widths_that_differ_are_named_before_anything_runs():
    with pytest.raises(ValueError, match=r"teacher \(None, 8\), student \(None, 5\).*same width"):
        FeatureDistillation("mse", "hidden", "hidden").validate_model_compatibility(model(8), model(5))


def test_widths_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"teacher \(6, 1\), student \(6, 3\)"):
        FeatureDistillation().compute_loss(TEACHER[:, :1], STUDENT)


def test_shapes_of_a_subclassed_model_are_left_until_data_flows():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    for loss in (FeatureDistillation("mse", "hidden", "hidden"), FeatureDistillation("mse", projector="dense")):
        loss.validate_model_compatibility(model(8), Subclassed())
    assert not loss.built


def test_a_layer_called_twice_has_no_single_output():
    inputs = keras.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    twice = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'shared' is called 2 times"):
        FeatureDistillation("mse", "shared", "hidden").validate_model_compatibility(twice, model(4))


def test_a_layer_shared_with_another_model_is_read_in_its_own():
    shared = keras.layers.Dense(4, name="shared")
    keras.Sequential([keras.Input((4,)), shared])
    inputs = keras.Input((4,))
    student = keras.Model(inputs, keras.layers.Dense(2)(shared(keras.layers.Dense(4)(inputs))))
    FeatureDistillation("mse", "hidden", "shared").validate_model_compatibility(model(4), student)


def test_the_configuration_round_trips():
    loss = FeatureDistillation(keras.losses.Huber(delta=2.0), "a", "b")
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.teacher_layer_name, copy.student_layer_name) == ("a", "b")
    assert keras.saving.serialize_keras_object(copy) == config


@pytest.mark.parametrize("projector", ["dense", "auto"])
def test_a_projector_learns_the_width_of_the_teacher(projector):
    loss = FeatureDistillation("mae", "hidden", "hidden", projector=projector)
    loss.validate_model_compatibility(model(8), model(5))
    kernel, bias = loss.get_weights()
    assert kernel.shape == (5, 8) and bias.shape == (8,)
    teacher, student = (GENERATOR.normal(size=(6, width)).astype("float32") for width in (8, 5))
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = loss.compute_loss(teacher, variable)
    difference = student @ kernel + bias - teacher
    np.testing.assert_allclose(value, np.abs(difference).mean(), rtol=1e-5)
    gradients = tape.gradient(value, [variable, *(weight.value for weight in loss.weights)])
    slopes = np.sign(difference) / difference.size
    for gradient, expected in zip(gradients, (slopes @ kernel.T, student.T @ slopes, slopes.sum(0)), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_images_of_different_sizes_are_pooled_and_convolved():
    teacher = GENERATOR.normal(size=(2, 4, 4, 3)).astype("float32")
    student = GENERATOR.normal(size=(2, 2, 2, 5)).astype("float32")
    loss = FeatureDistillation("mse", projector="conv")
    value = loss.compute_loss(teacher, student)  # builds it
    kernel, bias = loss.get_weights()
    pooled = teacher.reshape(2, 2, 2, 2, 2, 3).mean((2, 4))
    np.testing.assert_allclose(value, np.mean((student @ kernel[0, 0] + bias - pooled) ** 2), rtol=1e-5)
    from_larger = FeatureDistillation("mse", projector="auto")
    value = from_larger.compute_loss(student, teacher)
    kernel, bias = from_larger.get_weights()
    np.testing.assert_allclose(value, np.mean((pooled @ kernel[0, 0] + bias - student) ** 2), rtol=1e-5)


def test_a_layer_of_ones_own_can_be_the_projector():
    own = keras.Sequential([keras.layers.Dense(7, "relu"), keras.layers.Dropout(0.9), keras.layers.Dense(3)])
    loss = FeatureDistillation("mse", projector=own)
    teacher, student = TEACHER, STUDENT[:, :2]
    value = loss.compute_loss(teacher, student)
    assert len(loss.trainable_weights) == 4
    np.testing.assert_allclose(value, np.mean((own(student, training=False) - teacher) ** 2), rtol=1e-5)


def test_projected_features_keep_sample_weights_and_masks():
    teacher, student = np.ones((2, 3, 4), "float32"), tf.ones((2, 3, 2))
    student._keras_mask = tf.constant([[True, True, False], [True, False, False]])
    loss = FeatureDistillation("mse", projector="dense")
    loss.build((None, 3, 4), (None, 3, 2))
    loss.set_weights([np.zeros((2, 4)), np.array([1.0, 1.0, 1.0, 3.0])])  # a squared difference of 1 at each step
    np.testing.assert_allclose(loss.compute_loss(teacher, student), 1.0)
    np.testing.assert_allclose(loss.compute_loss(teacher, student, sample_weight=np.array([3.0, 0.0])), 6 / 3)


def test_a_projector_for_several_outputs_is_refused():
    with pytest.raises(ValueError, match="layers with one output. Received: 2 outputs"):
        FeatureDistillation(projector="dense").compute_loss([TEACHER, TEACHER], [STUDENT, STUDENT])


def test_float16_features_are_projected_in_float32():
    loss = FeatureDistillation("mse", projector="dense")
    value = loss.compute_loss(tf.cast(TEACHER, "float16"), tf.cast(STUDENT[:, :2], "float16"))
    assert value.dtype == "float32" and {weight.dtype for weight in loss.weights} == {"float32"}


@pytest.mark.parametrize("projector", ["dense", keras.layers.Dense(3), keras.layers.Dense(3, "tanh", name="own")])
def test_a_built_projector_comes_back_from_the_configuration(projector):
    loss = FeatureDistillation("mae", "a", "b", projector=projector)
    loss.build((None, 3), (None, 2))
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert [tuple(weight.shape) for weight in copy.weights] == [(2, 3), (3,)]
    assert keras.saving.serialize_keras_object(copy) == config
