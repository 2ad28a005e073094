import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import AttentionMapTransfer, attention_map_transfer

GENERATOR = np.random.default_rng(0)
LOSSES = ["mse", "kl_divergence"]


def maps(heads, queries=3, keys=4, batch=2, scale=1.0):
    logits = scale * GENERATOR.normal(size=(batch, heads, queries, keys))
    return keras.ops.softmax(logits.astype("float32")).numpy()


TEACHER, STUDENT = maps(2), maps(2)


def reference(teacher, student, loss):
    teacher, student = teacher.astype("float64"), student.astype("float64")
    if teacher.shape[1] != student.shape[1]:
        teacher, student = teacher.mean(1, keepdims=True), student.mean(1, keepdims=True)
    if loss == "mse":
        return ((teacher - student) ** 2).mean(-1).mean(1)
    return (teacher * np.log(teacher / student)).sum(-1).mean(1)


def test_one_query_worked_by_hand():
    teacher, student = np.array([[[[0.75, 0.25]]]]), np.array([[[[0.5, 0.5]]]])
    np.testing.assert_allclose(attention_map_transfer(teacher, student), [[0.0625]])
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(attention_map_transfer(teacher, student, "kl_divergence"), [[expected]], rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("heads", [2, 3])
def test_values_and_gradients_are_those_of_the_definition(numerical_gradient, loss, heads):
    teacher = maps(heads)
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        values = attention_map_transfer(teacher, student, loss)
        total = tf.reduce_sum(values)
    np.testing.assert_allclose(values, reference(teacher, STUDENT, loss), rtol=1e-4, atol=1e-7)
    expected = numerical_gradient(lambda features: reference(teacher, features, loss).sum(), STUDENT)
    np.testing.assert_allclose(tape.gradient(total, student), expected, rtol=1e-3, atol=1e-6)


def test_the_divergence_is_keras_own():
    expected = keras.losses.kl_divergence(TEACHER, STUDENT).numpy().mean(1)
    np.testing.assert_allclose(attention_map_transfer(TEACHER, STUDENT, "kl_divergence"), expected, rtol=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_zero_at_equality_and_blind_to_the_order_of_heads_that_differ_in_number(loss):
    np.testing.assert_allclose(attention_map_transfer(TEACHER, TEACHER, loss), 0.0, atol=1e-7)
    teacher = maps(3)
    np.testing.assert_allclose(
        attention_map_transfer(teacher[:, ::-1], STUDENT, loss),
        attention_map_transfer(teacher, STUDENT, loss),
        rtol=1e-5,
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_queries_that_are_padding_do_not_count(loss):
    student = tf.constant(STUDENT)
    student._keras_mask = tf.constant([[True, True, False], [True, False, False]])
    values = reference(TEACHER, STUDENT, loss)
    np.testing.assert_allclose(
        AttentionMapTransfer(loss).compute_loss(TEACHER, student), (values[0, :2].sum() + values[1, 0]) / 3, rtol=1e-5
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_sample_weights_multiply_and_the_number_of_queries_divides(loss):
    value = AttentionMapTransfer(loss).compute_loss(TEACHER, STUDENT, sample_weight=np.array([0.0, 2.0]))
    np.testing.assert_allclose(value, 2 * reference(TEACHER, STUDENT, loss)[1].sum() / 6, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_attention_of_extreme_logits_is_finite(loss):
    logits = tf.Variable(tf.constant([[[[50.0, -50.0, -1e9]]]]))
    teacher = tf.constant([[[[0.0, 1.0, 0.0]]]])
    with tf.GradientTape() as tape:
        value = AttentionMapTransfer(loss).compute_loss(teacher, tf.nn.softmax(logits))
    assert np.isfinite(value) and np.isfinite(tape.gradient(value, logits)).all()
    half = AttentionMapTransfer(loss).compute_loss(
        tf.cast(teacher, "float16"), tf.nn.softmax(tf.cast(logits, "float16"))
    )
    assert half.dtype == "float32" and np.isfinite(half)


def test_no_gradient_reaches_the_teacher():
    teacher = tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        value = AttentionMapTransfer().compute_loss(teacher, STUDENT)
    assert tape.gradient(value, teacher) is None


@pytest.mark.parametrize("jit_compile", [False, True])
def test_batch_and_lengths_may_be_unknown(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec((None, 2, None, None))] * 2, jit_compile=jit_compile)
    def value(teacher, student):
        return AttentionMapTransfer("kl_divergence").compute_loss(teacher, student)

    np.testing.assert_allclose(value(TEACHER, STUDENT), reference(TEACHER, STUDENT, "kl_divergence").mean(), rtol=1e-4)


def test_outputs_that_are_no_attention_maps_are_refused():
    with pytest.raises(ValueError, match=r"Name layers such as .*MultiHeadAttention.* student \(2, 3, 4\)"):
        attention_map_transfer(TEACHER, STUDENT[:, 0])
    with pytest.raises(ValueError, match="same examples, queries and keys"):
        attention_map_transfer(TEACHER, maps(2, keys=5))


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="`loss` must be 'mse' or 'kl_divergence'. Received: loss='cosine'"):
        AttentionMapTransfer("cosine")


def test_the_configuration_round_trips():
    config = keras.saving.serialize_keras_object(AttentionMapTransfer("kl_divergence", "a", "b"))
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.loss, copy.teacher_layer_name, copy.student_layer_name) == ("kl_divergence", "a", "b")
    assert keras.saving.serialize_keras_object(copy) == config


def test_scores_of_attention_layers_with_different_heads_are_compared_before_data_flows():
    def transformer(heads, length=5):
        inputs = keras.Input((length, 4))
        attention = keras.layers.MultiHeadAttention(heads, 3, name="attention")
        return keras.Model(inputs, keras.layers.Dense(1)(attention(inputs, inputs)))

    AttentionMapTransfer("mse", "attention", "attention").validate_model_compatibility(transformer(4), transformer(2))
    with pytest.raises(ValueError, match=r"teacher \(None, 4, 6, 6\), student \(None, 2, 5, 5\)"):
        AttentionMapTransfer("mse", "attention", "attention").validate_model_compatibility(
            transformer(4, length=6), transformer(2)
        )
    with pytest.raises(ValueError, match="Name layers such as"):
        AttentionMapTransfer("mse", "dense", "attention").validate_model_compatibility(
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")]), transformer(2)
        )
