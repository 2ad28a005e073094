import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.quantization import QuantizedWeight


def built(shape, value=None, **settings):
    transform = QuantizedWeight(**settings)
    transform.build(shape)
    if value is not None:
        transform.initialize(value)
    return transform


def test_one_scale_rounds_to_multiples_of_a_127th_of_the_largest():
    value = np.array([[0.0, 1.27, 0.014], [0.006, -0.0049, -0.5]], np.float32)
    rounded = built((2, 3))(value).numpy()
    np.testing.assert_allclose(rounded, [[0, 1.27, 0.01], [0.01, 0, -0.5]], atol=1e-7)


def test_each_channel_has_a_scale_of_its_own():
    value = np.array([[1.27, 12.7], [0.014, 0.14]], np.float32)
    rounded = built((2, 2), channel_axes=(1,))(value).numpy()
    np.testing.assert_allclose(rounded, [[1.27, 12.7], [0.01, 0.1]], atol=1e-6)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("axis", (None, 1))
def test_values_are_those_of_tensorflows_fake_quantisation(bits, axis):
    value = np.random.default_rng(bits).normal(size=(40, 5)).astype(np.float32)
    limit = np.abs(value).max(axis=None if axis is None else 0)
    fake = (
        tf.quantization.fake_quant_with_min_max_vars
        if axis is None
        else tf.quantization.fake_quant_with_min_max_vars_per_channel
    )
    expected = fake(value, -limit, limit, num_bits=bits, narrow_range=True)
    rounded = built((40, 5), bits=bits, channel_axes=() if axis is None else (1,))(value)
    np.testing.assert_allclose(rounded, expected, atol=1e-6)
    assert len(np.unique(np.asarray(rounded)[:, 0])) <= 2**bits - 1


def test_zeros_stay_zeros_and_a_channel_of_zeros_is_finite():
    value = np.array([[0.0, 0.0], [0.3, 0.0]], np.float32)
    rounded = built((2, 2), channel_axes=(1,))(value).numpy()
    assert rounded[0].tolist() == [0, 0] and rounded[1, 1] == 0


@pytest.mark.parametrize("is_learned", (False, True))
def test_gradients_pass_as_if_nothing_were_rounded(is_learned):
    value = tf.constant([[0.3, -0.9, 0.1]])
    transform = built((1, 3), np.array([[1.0, 1.0, 1.0]]), is_learned=is_learned)
    with tf.GradientTape() as tape:
        tape.watch(value)
        total = tf.reduce_sum(transform(value) * [[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(tape.gradient(total, value), [[1, 2, 3]])


def test_a_learned_limit_gets_the_gradient_of_lsq():
    value = np.array([0.3, -2.0, 0.05, 0.9], np.float32)
    transform = built((4,), value, bits=3, is_learned=True)
    transform.limit.assign([0.6])  # steps of .2: 1.5 -> 2, -10 -> cut off at -3, .25 -> 0, 4.5 -> cut off at 3
    with tf.GradientTape() as tape:
        rounded = transform(tf.constant(value))
        total = tf.reduce_sum(rounded)
    np.testing.assert_allclose(rounded, [0.4, -0.6, 0.0, 0.6], atol=1e-6)
    # Of the step, Esser et al. equation 3: round(v/s) - v/s inside, -3 or 3 outside; of the limit a third of that.
    expected = ((2 - 1.5) + -3 + (0 - 0.25) + 3) / 3 / np.sqrt(4 * 3)
    np.testing.assert_allclose(tape.gradient(total, transform.limit.value), [expected], rtol=1e-4)


def test_nothing_is_rounded_before_the_delay_is_over():
    value = np.array([[0.3, 1.0]], np.float32)
    transform = built((1, 2), bits=2, delay_steps=2)
    seen = [transform(value, training=True).numpy().tolist() for _ in range(3)]
    raw, rounded = pytest.approx([0.3, 1.0]), pytest.approx([0.0, 1.0])
    assert [one[0] for one in seen] == [raw, raw, rounded]
    assert transform(value).numpy()[0].tolist() == rounded and not transform.is_waiting


def test_half_precision_stays_half_precision():
    value = keras.ops.cast(np.array([[0.3, 1.0]]), "float16")
    assert built((1, 2))(value).dtype == "float16"
